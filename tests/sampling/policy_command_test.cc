// `fourstep policy replay` as a program: exit statuses, messages, output before a bad line.

#include <gtest/gtest.h>
#include <sys/wait.h>

#include <cstdio>
#include <filesystem>
#include <fstream>
#include <string>

namespace {

struct Outcome {
  int status;
  std::string out, err;
};

std::string Slurp(const std::filesystem::path& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

Outcome Replay(const std::string& input, const std::string& flags = "") {
  const std::filesystem::path folder = std::filesystem::path(testing::TempDir()) / "policy_command_test";
  std::filesystem::create_directories(folder);
  std::ofstream(folder / "in", std::ios::binary) << input;
  const std::string command = "'" FOURSTEP_PROGRAM "' policy replay " + flags + " < '" +
                              (folder / "in").string() + "' > '" + (folder / "out").string() + "' 2> '" +
                              (folder / "err").string() + "'";
  const int status = std::system(command.c_str());
  Outcome outcome{WIFEXITED(status) ? WEXITSTATUS(status) : -1, Slurp(folder / "out"), Slurp(folder / "err")};
  std::filesystem::remove_all(folder);
  return outcome;
}

const std::string kGood =
    R"({"id":"a","t_high":1.0,"t_low":0.3,"tau_0":0.5,"window":2,"entropies":[0.25,0.75],"tokens":"wd"})";
const std::string kAnswer = "{\"id\":\"a\",\"temperatures\":[0.3,1.0]}\n";

TEST(PolicyReplay, AnswersLineByLine) {
  for (const char* end : {"", "\n"}) {
    const Outcome outcome = Replay(kGood + "\n" + kGood + end);
    EXPECT_EQ(outcome.status, 0) << outcome.err;
    EXPECT_EQ(outcome.out, kAnswer + kAnswer);
    EXPECT_EQ(outcome.err, "");
  }
  EXPECT_EQ(Replay("").status, 0);
  EXPECT_NE(Replay(kGood, "--details").out.find("\"thresholds\":[0.5,0.5]"), std::string::npos);
}

TEST(PolicyReplay, NamesTheLineThatIsBad) {
  const Outcome outcome = Replay(kGood + "\n{\"id\":\n" + kGood);
  EXPECT_EQ(outcome.status, 2);
  EXPECT_EQ(outcome.out, kAnswer);
  EXPECT_EQ(outcome.err.find("fourstep: line 2: "), 0u) << outcome.err;
  EXPECT_EQ(outcome.err.find('\n'), outcome.err.size() - 1);
  const std::string hostile[] = {"\n", std::string("\0\xff\n", 3), std::string(1'000'000, '['),
                                 std::string(33'000'000, 'x')};
  for (const std::string& line : hostile) {
    const Outcome bad = Replay(line);
    EXPECT_EQ(bad.status, 2);
    EXPECT_EQ(bad.err.find("fourstep: line 1: "), 0u) << bad.err;
    EXPECT_LT(bad.err.size(), 400u);
  }
  EXPECT_EQ(Replay(kGood, "--bogus").status, 2);
}

}  // namespace
