// `fourstep bench` on the shape of the shipped model, in sizes that take seconds.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <set>
#include <sstream>
#include <string>
#include <vector>

#include "program.h"

namespace fourstep {
namespace {

class BenchCommand : public testing::Test {
 protected:
  BenchCommand() {
    std::string pattern = testing::TempDir() + "/fourstep_bench_XXXXXX";
    folder_ = mkdtemp(pattern.data());
  }
  ~BenchCommand() override { std::filesystem::remove_all(folder_); }
  std::string path(const std::string& name) const { return (folder_ / name).string(); }

  static std::vector<std::string> LinesOf(const std::string& file) {
    std::ifstream in(file);
    std::vector<std::string> lines;
    for (std::string line; std::getline(in, line);) lines.push_back(line);
    return lines;
  }

  static std::vector<Json> Run(const std::vector<std::string>& arguments) {
    const Result result = RunProgram(arguments);
    EXPECT_EQ(result.status, 0) << Shown(arguments) << "\n" << result.err;
    EXPECT_EQ(result.err, "");
    return Lines(result.out);
  }

  std::filesystem::path folder_;
};

// Fields of a line, of which only the backend's name is quoted and has a comma.
size_t NumFields(const std::string& line) {
  bool is_quoted = false;
  size_t commas = 0;
  for (const char c : line) {
    if (c == '"') is_quoted = !is_quoted;
    if (c == ',' && !is_quoted) ++commas;
  }
  return commas + 1;
}

TEST_F(BenchCommand, KernelsTimesEveryProjection) {
  for (const std::string backend : {"cpu", "reference"}) {
    const std::vector<Json> rows =
        Run({"bench", "kernels", "--shape", "abacus", "--numerics", "w4a4,w4a16,bf16", "--batch", "3,1",
             "--cold-mb", "1", "--repeats", "1", "--json", "--backend", backend});
    ASSERT_EQ(rows.size(), 3u * 5 * 2);
    std::set<std::string> seen;
    for (const Json& row : rows) {
      seen.insert(row["numerics"].get<std::string>() + " " + row["linear"].get<std::string>());
      const double bytes_a_weight = row["numerics"] == "bf16" ? 2 : 0.5625;
      const double weights = row["outputs"].get<double>() * row["inputs"].get<double>();
      EXPECT_EQ(row["bytes"].get<double>(), weights * bytes_a_weight) << row;
      EXPECT_GE(row["bytes"].get<double>() * row["copies"].get<double>(), 1e6) << row;
      EXPECT_GE(row["copies"], 2) << row;
      EXPECT_LE(row["us_best"].get<double>(), row["us"].get<double>()) << row;
      EXPECT_LE(row["us"].get<double>(), row["us_worst"].get<double>()) << row;
      EXPECT_GT(row["floor_us"].get<double>(), 0) << row;
      EXPECT_GT(row["read_gbps"].get<double>(), 0) << row;
      EXPECT_TRUE(row["cublas_us"].is_null()) << row;
    }
    EXPECT_EQ(seen.size(), 15u);
    EXPECT_THAT(seen, testing::Contains("w4a4 gate|up"));
  }
}

TEST_F(BenchCommand, KernelsCompareWithNothingOnACpu) {
  const Result result = RunProgram({"bench", "kernels", "--shape", "abacus", "--numerics", "w4a4", "--batch",
                                    "1", "--cold-mb", "1", "--repeats", "1", "--csv", path("csv")});
  EXPECT_EQ(result.status, 0) << result.err;
  EXPECT_EQ(result.err, "");
  std::istringstream out(result.out);
  std::vector<std::string> lines;
  for (std::string line; std::getline(out, line);) lines.push_back(line);
  ASSERT_EQ(lines.size(), 8u) << result.out;  // what is measured, nothing, names, five projections
  EXPECT_THAT(lines[2], testing::EndsWith("  of floor  cuBLAS, us   times"));
  for (size_t i = 3; i < lines.size(); ++i) {
    EXPECT_EQ(lines[i].size(), lines[2].size()) << lines[i];
    EXPECT_THAT(lines[i], testing::EndsWith(" %           -       -"));
  }
  const std::vector<std::string> csv = LinesOf(path("csv"));
  ASSERT_EQ(csv.size(), 6u);
  EXPECT_THAT(csv[0], testing::EndsWith(",of_floor,cublas_us"));
  for (size_t i = 1; i < csv.size(); ++i) EXPECT_THAT(csv[i], testing::EndsWith(",")) << csv[i];
}

TEST_F(BenchCommand, KernelsTakesAHeadOfAnyFormat) {
  for (const auto& [head, bytes_a_weight] :
       std::vector<std::pair<std::string, double>>{{"bf16", 2}, {"fp8", 1}, {"nvfp4", 0.5625}}) {
    const std::vector<Json> rows =
        Run({"bench", "kernels", "--shape", "abacus", "--numerics", "w4a4", "--head", head, "--batch", "2",
             "--cold-mb", "1", "--repeats", "1", "--json"});
    ASSERT_EQ(rows.size(), 5u);
    for (const Json& row : rows) {
      const bool is_head = row["linear"] == "head";
      EXPECT_EQ(row["weights"], is_head ? head : "nvfp4") << row;
      EXPECT_EQ(row["numerics"], is_head && head != "nvfp4" ? "bf16" : "w4a4") << row;
      if (!is_head) continue;
      const double outputs = row["outputs"].get<double>(), scales = head == "fp8" ? 4 * outputs : 0;
      EXPECT_EQ(row["bytes"].get<double>(), outputs * row["inputs"].get<double>() * bytes_a_weight + scales);
    }
  }
}

TEST_F(BenchCommand, PolicyComparesWithinARepeat) {
  const std::vector<Json> rows = Run({"bench", "policy", "--shape", "abacus", "--batch", "1,2", "--context",
                                      "32", "--tokens", "4", "--repeats", "2", "--json"});
  std::vector<std::string> policies;
  for (const Json& row : rows) {
    policies.push_back(row["policy"]);
    EXPECT_GT(row["step_us"].get<double>(), 0) << row;
    for (const std::string over : {"over_none_us", "over_fixed_us", "over_none_percent"}) {
      EXPECT_LE(row[over + "_lowest"].get<double>(), row[over].get<double>()) << row;
      EXPECT_LE(row[over].get<double>(), row[over + "_highest"].get<double>()) << row;
    }
    if (row["policy"] == "none") {
      EXPECT_EQ(row["over_none_us"], 0);
    }
    if (row["policy"] == "fixed") {
      EXPECT_EQ(row["over_fixed_us"], 0);
    }
  }
  EXPECT_THAT(policies, testing::ElementsAre("none", "greedy", "fixed", "reset", "dynatemp", "none", "greedy",
                                             "fixed", "reset", "dynatemp"));
}

TEST_F(BenchCommand, ComponentsReadWhatAStepReads) {
  for (const std::string head : {"bf16", "fp8", "nvfp4"}) {
    const std::vector<Json> rows =
        Run({"bench", "components", "--shape", "abacus", "--numerics", "w4a4,bf16", "--head", head, "--batch",
             "1,3", "--context", "32", "--tokens", "2", "--repeats", "2", "--json"});
    ASSERT_EQ(rows.size(), 2u * 2 * 8);
    for (size_t first = 0; first < rows.size(); first += 8) {
      EXPECT_EQ(rows[first]["component"], "step");
      EXPECT_EQ(rows[first]["of_step"], 1.0);
      double bytes = 0;
      std::set<std::string> names;
      for (size_t i = first; i < first + 8; ++i) {
        const Json& row = rows[i];
        EXPECT_GT(row["us"].get<double>(), 0) << row;
        EXPECT_LE(row["us_best"].get<double>(), row["us"].get<double>()) << row;
        EXPECT_LE(row["us"].get<double>(), row["us_worst"].get<double>()) << row;
        names.insert(row["component"]);
        if (i > first) bytes += row["bytes"].get<double>();
      }
      EXPECT_THAT(names,
                  testing::ElementsAre("attention", "down", "gate|up", "head", "norms", "o", "qkv", "step"));
      // All but vectors and the rows of the embedding.
      EXPECT_NEAR(bytes / rows[first]["bytes"].get<double>(), 1, 0.01) << rows[first];
    }
  }
}

TEST_F(BenchCommand, AnFp8CacheIsHalfTheBytes) {
  double attention_bytes[2] = {};
  for (const bool is_fp8 : {false, true}) {
    const std::string kv_cache = is_fp8 ? "fp8" : "bf16";
    const std::vector<Json> rows =
        Run({"bench", "components", "--shape", "abacus", "--batch", "2", "--context", "32", "--tokens", "2",
             "--repeats", "1", "--kv-cache", kv_cache, "--json"});
    for (const Json& row : rows) {
      EXPECT_EQ(row["kv_cache"], kv_cache);
      if (row["component"] == "attention") attention_bytes[is_fp8] = row["bytes"].get<double>();
    }
    const std::vector<Json> steps =
        Run({"bench", "decode", "--shape", "abacus", "--batch", "1,2", "--context", "32", "--tokens", "2",
             "--kv-cache", kv_cache, "--json"});
    for (const Json& row : steps) EXPECT_EQ(row["kv_cache"], kv_cache);
  }
  // 8 layers of 2 heads of 64; 36 positions in the cache of each sequence at the mean of the steps.
  EXPECT_EQ(attention_bytes[0], 2.0 * 36 * 8 * 2 * 64 * 2 * 2);
  EXPECT_EQ(attention_bytes[1], attention_bytes[0] / 2);
}

TEST_F(BenchCommand, CsvGrows) {
  const std::vector<std::vector<std::string>> kCommands = {
      {"bench", "kernels", "--shape", "abacus", "--numerics", "w4a4", "--batch", "2", "--cold-mb", "1",
       "--repeats", "1"},
      {"bench", "policy", "--shape", "abacus", "--batch", "1", "--context", "16", "--tokens", "2",
       "--repeats", "1"},
      {"bench", "decode", "--shape", "abacus", "--batch", "1,2", "--context", "16", "--tokens", "2",
       "--numerics", "w4a4", "--head", "fp8", "--policy", "greedy,reset"},
      {"bench", "components", "--shape", "abacus", "--batch", "1", "--context", "16", "--tokens", "2",
       "--repeats", "1"},
  };
  const std::vector<size_t> kRows = {5, 5, 4, 8};
  for (size_t i = 0; i < kCommands.size(); ++i) {
    std::vector<std::string> arguments = kCommands[i];
    const std::string file = path(std::to_string(i));
    arguments.insert(arguments.end(), {"--csv", file});
    for (int time = 0; time < 2; ++time) EXPECT_EQ(RunProgram(arguments).status, 0) << Shown(arguments);
    const std::vector<std::string> lines = LinesOf(file);
    ASSERT_EQ(lines.size(), 1 + 2 * kRows[i]) << Shown(arguments);
    EXPECT_THAT(lines[0], testing::StartsWith("date,commit,backend,core_mhz,memory_mhz,shape,numerics,"));
    for (size_t line = 1; line < lines.size(); ++line) {
      EXPECT_EQ(NumFields(lines[line]), NumFields(lines[0])) << lines[line];
      EXPECT_THAT(lines[line],
                  testing::MatchesRegex("20..-..-..T..:..:..Z,[^,]+,\"cpu .*\",,,abacus,w4a4,.*"));
    }
    // Another command's results have other columns.
    arguments = kCommands[(i + 1) % kCommands.size()];
    arguments.insert(arguments.end(), {"--csv", file});
    const Result refused = RunProgram(arguments);
    ExpectRefusal(refused, Shown(arguments));
    EXPECT_THAT(refused.err, testing::HasSubstr("other columns"));
    EXPECT_EQ(LinesOf(file), lines);
  }
}

TEST_F(BenchCommand, RefusesOptionsWithoutSense) {
  const std::vector<std::pair<std::vector<std::string>, std::string>> kFlags = {
      {{"kernels", "--shape", "nosuch"}, "--shape"},
      {{"kernels", "--shape", "abacus,nosuch"}, "nosuch"},
      {{"kernels", "--batch", "0"}, "--batch"},
      {{"kernels", "--batch", "257"}, "--batch"},
      {{"kernels", "--numerics", "fp8"}, "--numerics"},
      {{"kernels", "--kv-cache", "fp8"}, "--kv-cache"},
      {{"components", "--kv-cache", "fp4"}, "--kv-cache"},
      {{"kernels", "--cold-mb", "0"}, "--cold-mb"},
      {{"kernels", "--repeats", "0"}, "--repeats"},
      {{"kernels", "--backend", "tpu"}, "--backend"},
      {{"kernels", "--backend", "reference", "--threads", "2"}, "--threads"},
      {{"kernels", "--backend", "reference", "--cpu-path", "portable"}, "--cpu-path"},
      {{"kernels", "--head", "int8"}, "--head"},
      {{"kernels", "--context", "100"}, "--context"},
      {{"kernels", "--csv", ""}, "--csv"},
      {{"kernels", "--csv", "/nonexistent/file"}, "/nonexistent/file"},
      {{"kernels", "--csv", "/"}, "/"},
      {{"policy", "--shape", "abacus,qwen3-8b"}, "--shape"},
      {{"policy", "--context", "1"}, "--context"},
      {{"policy", "--tokens", "0"}, "--tokens"},
      {{"policy", "--head", "fp16"}, "--head"},
      {{"policy", "--policy", "reset"}, "--policy"},
      {{"policy", "--backend", "reference", "--threads", "2"}, "--threads"},
      {{"decode", "--csv", path("x")}, "--csv"},
      {{"decode", "--head", "nvfp4"}, "--head"},
      {{"decode", "--shape", "abacus", "--prompt-tokens", "5"}, "--prompt-tokens"},
  };
  for (const auto& [flags, named] : kFlags) {
    std::vector<std::string> arguments = {"bench"};
    arguments.insert(arguments.end(), flags.begin(), flags.end());
    const Result result = RunProgram(arguments);
    ExpectRefusal(result, Shown(arguments));
    EXPECT_EQ(result.out, "") << Shown(arguments);
    EXPECT_THAT(result.err, testing::HasSubstr(named)) << Shown(arguments);
  }
  EXPECT_FALSE(std::filesystem::exists(path("x")));
}

}  // namespace
}  // namespace fourstep
