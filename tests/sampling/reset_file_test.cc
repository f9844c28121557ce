#include "sampling/reset_file.h"

#include <gtest/gtest.h>

#include <filesystem>
#include <string>

#include "base/error.h"
#include "base/file.h"

namespace fourstep {
namespace {

class ResetFileTest : public testing::Test {
 protected:
  void SetUp() override {
    folder_ = std::filesystem::path(testing::TempDir()) /
              testing::UnitTest::GetInstance()->current_test_info()->name();
    std::filesystem::remove_all(folder_);
    std::filesystem::create_directories(folder_);
  }
  void TearDown() override { std::filesystem::remove_all(folder_); }

  std::string FaultOf(const std::string& text) {
    WriteFile(path(), text);
    try {
      ReadResetFile(path());
    } catch (const Error& error) {
      const std::string what = error.what();
      EXPECT_EQ(what.find(path().string() + ": "), 0u) << what;
      EXPECT_EQ(what.find('\n'), what.npos);
      return what.substr(path().string().size() + 2);
    }
    return "none";
  }
  std::filesystem::path path() const { return folder_ / "reset.json"; }

  std::filesystem::path folder_;
};

TEST_F(ResetFileTest, RoundTrips) {
  ResetFile file{.t_low = 0.1, .t_high = 1.1, .tau_0 = 0.5505, .window = 16, .percentile = 75};
  file.tau_0_from = "5 problems, \"quoted\"\nnext line";
  file.temperatures_from = "held out";
  file.choice = {{"contestants", {{{"t_low", 0.1}, {"accuracy", {{"mean", 0.5}}}}}}};
  WriteResetFile(path(), file);
  WriteResetFile(path(), file);  // replaces
  const ResetFile read = ReadResetFile(path());
  EXPECT_EQ(read.t_low, file.t_low);
  EXPECT_EQ(read.t_high, file.t_high);
  EXPECT_EQ(read.tau_0, file.tau_0);
  EXPECT_EQ(read.window, file.window);
  EXPECT_EQ(read.percentile, file.percentile);
  EXPECT_EQ(read.tau_0_from, file.tau_0_from);
  EXPECT_EQ(read.temperatures_from, file.temperatures_from);
  EXPECT_EQ(read.choice, file.choice);
  const PolicyParams params = read.policy();
  EXPECT_EQ(params.kind, PolicyKind::kReset);
  EXPECT_EQ(params.tau_0, 0.5505f);
  EXPECT_EQ(params.window, 16);
}

TEST_F(ResetFileTest, RefusesWhatItDoesNotKnow) {
  const std::string good =
      R"({"format":"fourstep-reset-1","t_low":0.1,"t_high":1,"tau_0":0.5,"window":32,"percentile":80})";
  EXPECT_EQ(FaultOf(good), "none");
  const auto changed = [&](const std::string& from, const std::string& to) {
    return FaultOf(std::string(good).replace(good.find(from), from.size(), to));
  };
  EXPECT_EQ(changed("reset-1", "reset-2"),
            "\"format\" is \"fourstep-reset-2\", expected \"fourstep-reset-1\"");
  EXPECT_EQ(changed("\"t_low\":0.1,", ""), "\"t_low\" is missing");
  EXPECT_EQ(changed("\"t_low\":0.1", "\"t_low\":-0.1"), "\"t_low\" is -0.1, expected 0..100");
  EXPECT_EQ(changed("\"window\":32", "\"window\":65"), "\"window\" is 65, expected 1..64");
  EXPECT_EQ(changed("\"tau_0\"", "\"tau\":1,\"tau_0\""), "unknown key \"tau\"");
  EXPECT_NE(FaultOf("[]"), "none");
  EXPECT_NE(FaultOf(""), "none");
  EXPECT_NE(FaultOf(std::string(70'000, ' ') + good), "none");
  EXPECT_THROW(ReadResetFile(folder_ / "absent.json"), Error);
}

TEST_F(ResetFileTest, WritesNothingThatCannotBeRead) {
  EXPECT_THROW(WriteResetFile(path(), {.window = 0}), Error);
  EXPECT_THROW(WriteResetFile(path(), {.tau_0 = std::numeric_limits<double>::quiet_NaN()}), Error);
  EXPECT_THROW(WriteResetFile(path(), {.tau_0_from = std::string(70'000, 'x')}), Error);
  EXPECT_FALSE(std::filesystem::exists(path()));
}

}  // namespace
}  // namespace fourstep
