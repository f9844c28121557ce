// `fourstep analyze` as a program, on a tiny model with random weights and its quantised form.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>

#include "base/file.h"
#include "program.h"

namespace fourstep {
namespace {

using testing::HasSubstr;
using testing::Not;

const std::string kModels = std::string(FOURSTEP_SOURCE_DIR) + "/tests/model/data/";

class Analyze : public testing::Test {
 protected:
  void SetUp() override {
    std::string pattern = testing::TempDir() + "/analyze_XXXXXX";
    folder_ = mkdtemp(pattern.data());
  }
  void TearDown() override { std::filesystem::remove_all(folder_); }

  Result Run(const std::string& quantised, const std::vector<std::string>& more) const {
    std::vector<std::string> flags = {"analyze",
                                      kModels + "tiny-qwen3",
                                      quantised,
                                      "--task",
                                      "arithmetic",
                                      "--threads",
                                      "1",
                                      "--problems",
                                      "5",
                                      "--max-tokens",
                                      "40",
                                      "--seed",
                                      "3",
                                      "--out",
                                      (folder_ / "out").string()};
    flags.insert(flags.end(), more.begin(), more.end());
    return RunProgram(flags);
  }
  bool Has(const std::string& file) const { return std::filesystem::exists(folder_ / "out" / file); }

  std::filesystem::path folder_;
};

TEST_F(Analyze, WritesFiguresChartsAndAReport) {
  const Result result = Run(kModels + "tiny-qwen3-nvfp4", {"--json"});
  ASSERT_EQ(result.status, 0) << result.err;
  const Json json = Lines(result.out).at(0);
  const Json &reference = json["arms"][0], &all = json["all"][0];
  // Read back, the reference's answers have the entropies that they were drawn with: the numeric contract.
  EXPECT_EQ(all["tokens"], reference["tokens"]);
  EXPECT_NEAR(all["entropy"][0].get<double>(), reference["mean_token_entropy"].get<double>(), 1e-5);
  EXPECT_GT(all["kl"]["mean"].get<double>(), 0);  // 4 bits do something
  EXPECT_EQ(json["by_entropy_decile"].size(), 10u);
  EXPECT_EQ(json["step_estimators"].size(), 4u);
  EXPECT_EQ(json["study"]["arms"].size(), 3u);
  EXPECT_THAT(json["study"]["arms"][2]["identity"]["policy"].get<std::string>(),
              HasSubstr("reset (T_low 0.3, T_high 1"));
  const std::string page = ReadFile(folder_ / "out" / "report.html", size_t{64} << 20);
  EXPECT_THAT(page, HasSubstr("Answers under ReSET"));
  if (std::system("command -v gnuplot >/dev/null 2>&1") == 0) {
    for (const char* chart : {"token_entropy", "divergence_by_kind", "reset_temperature"}) {
      EXPECT_TRUE(Has(std::string(chart) + ".svg")) << chart;
      EXPECT_TRUE(Has(std::string(chart) + ".png")) << chart;
      // A symbol of size 0 is a matrix that librsvg refuses, and with it the whole drawing.
      EXPECT_THAT(ReadFile(folder_ / "out" / (std::string(chart) + ".svg"), size_t{1} << 20),
                  Not(HasSubstr("scale(0.00)")));
    }
    EXPECT_THAT(page, HasSubstr("data:image/svg+xml"));
  }
  EXPECT_FALSE(Has("token_entropy.gnuplot"));
  // Again: nothing is answered twice, the figures are the same.
  const Result again = Run(kModels + "tiny-qwen3-nvfp4", {"--json"});
  EXPECT_EQ(again.out, result.out);
}

// A model beside itself: no divergence at all.
TEST_F(Analyze, FindsNothingWhereNothingIs) {
  const Result result = Run(kModels + "tiny-qwen3", {"--json", "--reset", "t-low=0.2,t-high=0.9,tau-0=3"});
  ASSERT_EQ(result.status, 0) << result.err;
  const Json json = Lines(result.out).at(0);
  EXPECT_EQ(json["all"][0]["kl"]["mean"], 0.0);
  EXPECT_EQ(json["all"][0]["flips"]["mean"], 0.0);
  EXPECT_EQ(json["study"]["comparisons"][0]["difference"]["mean"], 0.0);
}

TEST_F(Analyze, RefusesBadInput) {
  ExpectRefusal(Run(std::string(FOURSTEP_SOURCE_DIR) + "/models/abacus", {}), "same tokens");
  ExpectRefusal(Run("/nowhere", {}), "/nowhere");
  ExpectRefusal(Run(kModels + "tiny-qwen3-nvfp4", {"--reset", "heat=1"}), "heat");
  ExpectRefusal(Run(kModels + "tiny-qwen3-nvfp4", {"--task", "chess"}), "chess");
  ExpectRefusal(RunProgram({"analyze", kModels + "tiny-qwen3"}), "quantised");
}

}  // namespace
}  // namespace fourstep
