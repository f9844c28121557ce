#include "sampling/policy_trace.h"

#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <string>

#include "base/error.h"

namespace fourstep {
namespace {

#ifndef FOURSTEP_SHARED_DIR
#define FOURSTEP_SHARED_DIR ""
#endif

int ReplayFile(const std::filesystem::path& path) {
  std::ifstream file(path);
  std::string line;
  int num_traces = 0;
  for (; std::getline(file, line); ++num_traces) {
    const Json out = ReplayPolicyTrace(ParsePolicyTrace(line, "line"), false);
    const Json expected = Json::parse(line);
    EXPECT_EQ(out["id"], expected["id"]);
    EXPECT_EQ(out["temperatures"], expected["temperatures"]) << "trace " << expected["id"];
  }
  return num_traces;
}

TEST(PolicyTrace, ReproducesTheOraclesTraces) {
  EXPECT_EQ(ReplayFile(std::filesystem::path(FOURSTEP_SOURCE_DIR) / "tests/sampling/reset_traces.jsonl"), 28);
}

TEST(PolicyTrace, ReproducesTheReferenceImplementationsTraces) {
  const char* variable = std::getenv("FOURSTEP_SHARED_DIR");
  const std::filesystem::path folder = variable != nullptr ? variable : FOURSTEP_SHARED_DIR;
  const std::filesystem::path path = folder / "conformance/reset_traces.jsonl";
  if (folder.empty() || !std::filesystem::exists(path)) {
    GTEST_SKIP() << "FOURSTEP_SHARED_DIR names no folder with the reference implementation's traces";
  }
  EXPECT_EQ(ReplayFile(path), 40);
}

constexpr const char* kGood =
    R"({"id":7,"t_high":1.0,"t_low":0.3,"tau_0":0.5,"window":2,"entropies":[0.25,0.75,0.5,1],"tokens":"wdnn"})";

TEST(PolicyTrace, ShowsDetails) {
  const Json out = ReplayPolicyTrace(ParsePolicyTrace(kGood, "line 1"), true);
  EXPECT_EQ(DumpJson(out),
            R"({"id":7,"mean_entropies":[0.25,0.25,0.5,0.5],"step_entropies":[0.25,0.25,0.5,0.625],)"
            R"("steps":[0,0,1,1],"temperatures":[0.3,1.0,1.0,1.0],"thresholds":[0.5,0.5,0.5,0.625]})");
}

TEST(PolicyTrace, AppliesTheAblations) {
  const auto replay = [](const std::string& more) {
    return ReplayPolicyTrace(
        ParsePolicyTrace("{" + more + R"("id":1,"t_high":1,"t_low":0.3,"tau_0":0.5,"window":2,)" +
                             R"("entropies":[0.25,1,0.75,0.25,0.7],"tokens":"wdwww"})",
                         "line 1"),
        true);
  };
  // The step begins at the third token; the means of all before are 0.25, 0.625, 2/3, 0.5625.
  const auto estimates = [&](const std::string& estimator) {
    return replay("\"ema_decay\":0.75,\"estimator\":\"" + estimator + "\",")["step_entropies"].dump();
  };
  EXPECT_EQ(estimates("hybrid"), "[0.25,0.25,0.625,0.875,0.5]");
  EXPECT_EQ(estimates("causal-mean"), "[0.25,0.25,0.625,0.75,0.5]");
  EXPECT_EQ(estimates("ema-from-first"), "[0.25,0.25,0.625,0.75,0.625]");
  EXPECT_EQ(estimates("ema-from-window"), "[0.25,0.25,0.625,0.65625,0.5546875]");
  EXPECT_EQ(replay("")["thresholds"].dump(), "[0.5,0.5,0.5,0.875,0.5]");
  EXPECT_EQ(replay("\"token_gate_only\":true,")["thresholds"].dump(), "[0.5,0.5,0.5,0.5,0.5]");
  EXPECT_EQ(replay("\"estimator\":\"ema-from-first\",\"ema_decay\":0.75,")["thresholds"].dump(),
            "[0.5,0.5,0.5,0.75,0.625]");
}

TEST(PolicyTrace, NamesWhatIsWrong) {
  const auto fault = [](const std::string& from, const std::string& to) {
    std::string line = kGood;
    line.replace(line.find(from), from.size(), to);
    try {
      ParsePolicyTrace(line, "line 3");
    } catch (const Error& error) {
      return std::string(error.what());
    }
    return std::string("none");
  };
  EXPECT_EQ(fault("wdnn", "wdnn"), "none");
  EXPECT_EQ(fault("\"wdnn\"", "\"wdn\""), "line 3: \"tokens\" has 3 letters for 4 entropies");
  EXPECT_EQ(fault("wdnn", "wdxn"), "line 3: tokens[2] is \"x\", expected d, n or w");
  EXPECT_EQ(fault("0.75", "-1"), "line 3: entropies[1] is -1, expected a number in 0..64");
  EXPECT_EQ(fault("0.75", "null"), "line 3: entropies[1] is null, expected a number in 0..64");
  EXPECT_EQ(fault("\"id\":7", "\"id\":[]"), "line 3: \"id\" is [], expected a string or an integer");
  EXPECT_EQ(fault("\"id\":7,", ""), "line 3: \"id\" is missing");
  EXPECT_EQ(fault("\"window\":2", "\"window\":65"), "line 3: \"window\" is 65, expected 1..64");
  EXPECT_EQ(fault("\"window\":2", "\"window\":2.5"), "line 3: \"window\" is 2.5, expected an integer");
  EXPECT_EQ(fault("\"window\"", "\"windows\""), "line 3: unknown key \"windows\"");
  EXPECT_EQ(fault("\"window\"", "\"estimator\":\"mean\",\"window\""),
            "line 3: \"mean\" is not one of hybrid, causal-mean, ema-from-window, ema-from-first");
  EXPECT_EQ(fault("[0.25,0.75,0.5,1]", "0"), "line 3: \"entropies\" is not an array of numbers");
  for (const char* line : {"", "[]", "7", "{", "null", "{\"id\":1}"}) {
    EXPECT_THROW(ParsePolicyTrace(line, "line 1"), Error) << line;
  }
  std::string many = "[0";
  for (size_t i = 0; i < kMaxTraceTokens; ++i) many += ",0";
  EXPECT_EQ(fault("[0.25,0.75,0.5,1]", many + "]"),
            "line 3: 1048577 entropies, at most 1048576 are replayed");
}

}  // namespace
}  // namespace fourstep
