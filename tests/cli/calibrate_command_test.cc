// `fourstep calibrate` as a program, on a tiny model with random weights.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>

#include "base/file.h"
#include "eval/entropy_calibration.h"
#include "program.h"

namespace fourstep {
namespace {

using testing::HasSubstr;

const std::string kModel = std::string(FOURSTEP_SOURCE_DIR) + "/tests/model/data/tiny-qwen3-nvfp4";
const std::string kProblems =
    "{\"problem\": \"one\"}\n{\"prompt\": \"two and two\"}\n{\"problem\": \"three\"}\n";

class Calibrate : public testing::Test {
 protected:
  void SetUp() override {
    folder_ = std::filesystem::temp_directory_path() / ("calibrate_" + std::to_string(getpid()));
    std::filesystem::create_directories(folder_);
  }
  void TearDown() override { std::filesystem::remove_all(folder_); }

  std::string Out() const { return (folder_ / "reset.json").string(); }
  Result Run(std::vector<std::string> flags, const std::string& input = kProblems) const {
    const std::vector<std::string> common = {"calibrate", kModel,  "--threads", "1",          "--max-tokens",
                                             "20",        "--out", Out(),       "--problems", "-"};
    flags.insert(flags.begin(), common.begin(), common.end());
    return RunProgram(flags, input);
  }
  Json Written() const { return ParseJson(ReadFile(Out(), 1 << 16), Out()); }

  std::filesystem::path folder_;
};

// numpy.percentile([4, 1, 2, 7], q).
TEST(Percentile, InterpolatesAsNumpyDoes) {
  const std::vector<float> values = {4, 1, 2, 7};
  EXPECT_DOUBLE_EQ(Percentile(values, 0), 1);
  EXPECT_DOUBLE_EQ(Percentile(values, 25), 1.75);
  EXPECT_DOUBLE_EQ(Percentile(values, 50), 3);
  EXPECT_DOUBLE_EQ(Percentile(values, 80), 5.2);
  EXPECT_DOUBLE_EQ(Percentile(values, 100), 7);
  EXPECT_DOUBLE_EQ(Percentile({3}, 80), 3);
}

// What it measures is the percentile of the entropies that `run` shows for the same answers.
TEST_F(Calibrate, MeasuresWhatRunShows) {
  const Result result = Run({"--json", "--seed", "5"});
  ASSERT_EQ(result.status, 0) << result.err;
  const Json summary = Lines(result.out).at(0);
  std::vector<float> entropies;
  const char* texts[] = {"one", "two and two", "three"};
  for (int i = 0; i < 3; ++i) {
    const Result run =
        RunProgram({"run", kModel, "--threads", "1", "--max-tokens", "20", "-p", texts[i], "--json",
                    "--temperature", "0.6", "--top-p", "0.95", "--seed", std::to_string(5 + i)});
    for (const Json& line : Lines(run.out))
      if (line["type"] == "token") entropies.push_back(line["entropy"].get<float>());
  }
  EXPECT_EQ(summary["tokens"], entropies.size());
  EXPECT_NEAR(summary["tau_0"].get<double>(), Percentile(entropies, 80), 1e-5);
  EXPECT_NEAR(Written()["tau_0"].get<double>(), summary["tau_0"].get<double>(), 1e-12);
  EXPECT_EQ(summary["answers"], 3);
}

TEST_F(Calibrate, KeepsTemperaturesThatStandInTheFile) {
  ASSERT_EQ(Run({"--t-low", "0.15", "--t-high", "0.9"}).status, 0);
  EXPECT_EQ(Written()["t_low"], 0.15);
  EXPECT_EQ(Written()["temperatures_from"], "given by hand");
  const Result again = Run({"--percentile", "50"});
  EXPECT_THAT(again.out, HasSubstr("T_low 0.15, T_high 0.9: given by hand"));
  EXPECT_EQ(Written()["t_low"], 0.15);
  EXPECT_EQ(Written()["percentile"], 50);
}

// With --task it races temperatures too, on calibration problems, and reset.json says how.
TEST_F(Calibrate, ChoosesTemperatures) {
  const std::string store = (folder_ / "races.db").string();
  const std::vector<std::string> flags = {
      "calibrate",    kModel, "--threads", "1",        "--max-tokens", "8",       "--out",       Out(),
      "--task",       "dag",  "--task",    "equation", "--try-fixed",  "0.3,0.6", "--try-t-low", "0.1",
      "--try-t-high", "0.9",  "--budget",  "200",      "--store",      store};
  const Result result = RunProgram(flags);
  ASSERT_EQ(result.status, 0) << result.err;
  EXPECT_THAT(result.out, HasSubstr(" won among 3 candidates on "));
  const Json written = Written();
  const Json& choice = written["choice"];
  EXPECT_EQ(choice["tasks"], (Json{"dag", "equation"}));
  EXPECT_EQ(choice["contestants"].size(), 3u);
  EXPECT_EQ(choice["check"]["problems"], 25);
  EXPECT_LE(choice["answers"], 200);
  // What the model answers is noise, so any candidate may have won.
  const bool is_fixed = written["t_low"] == written["t_high"];
  EXPECT_TRUE(is_fixed || (written["t_low"] == 0.1 && written["t_high"] == 0.9)) << written;

  const std::vector<Json> answers = Lines(RunProgram({"study", "answers", store}).out);
  EXPECT_EQ(answers.size(), choice["answers"].get<size_t>());
  for (const Json& answer : answers) {
    EXPECT_THAT(answer["id"].get<std::string>(), HasSubstr("-calibration-"));
  }
  const Result run = RunProgram({"run", kModel, "--threads", "1", "--max-tokens", "4", "-p", "x"});
  EXPECT_EQ(run.status, 0);  // the model's own folder is as it was

  // What was chosen stays when tau_0 alone is measured again.
  ASSERT_EQ(Run({}).status, 0);
  EXPECT_EQ(Written()["choice"], choice);
  EXPECT_EQ(Written()["t_low"], written["t_low"]);
  ASSERT_EQ(Run({"--t-low", "0.2"}).status, 0);
  EXPECT_FALSE(Written().contains("choice"));
}

TEST_F(Calibrate, RefusesBadInput) {
  ExpectRefusal(Run({}, ""), "standard input");
  ExpectRefusal(Run({}, "{\"id\": 1}\n"), "problem");
  ExpectRefusal(Run({"--percentile", "101"}), "percentile");
  ExpectRefusal(Run({"--percentile", "nan"}), "percentile");
  ExpectRefusal(Run({"--t-low", "-1"}), "t-low");
  EXPECT_FALSE(std::filesystem::exists(Out()));
  ExpectRefusal(Run({"--task", "dag", "--t-low", "0.1"}), "--task");
  ExpectRefusal(Run({"--task", "chess"}), "chess");
  ExpectRefusal(Run({"--task", "dag", "--budget", "20"}), "--budget");
  ExpectRefusal(Run({"--task", "dag", "--try-fixed", "-1"}), "--try-fixed");
  EXPECT_FALSE(std::filesystem::exists(Out()));
  WriteFile(Out(), "{}");
  // Before a model is loaded: the folder holds none.
  ExpectRefusal(RunProgram({"calibrate", folder_.string(), "--out", Out()}), "reset.json");
  ExpectRefusal(RunProgram({"calibrate", folder_.string(), "--out", "/nowhere/reset.json"}), "/nowhere");
  ExpectRefusal(Run({}), "reset.json");
  EXPECT_EQ(ReadFile(Out(), 100), "{}");
}

}  // namespace
}  // namespace fourstep
