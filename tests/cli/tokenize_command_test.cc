// `fourstep tokenize` run as a program.
#include <gtest/gtest.h>
#include <sys/wait.h>

#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <string>

#include "base/file.h"

namespace fourstep {
namespace {

namespace fs = std::filesystem;

const std::string kModel = std::string(FOURSTEP_SOURCE_DIR) + "/tests/checkpoint/data/tiny";

struct Result {
  int status;
  std::string out;  // standard output and error
};

// `arguments` need no quoting by the shell.
Result Tokenize(const std::string& arguments, const std::string& input) {
  const fs::path path = fs::path(testing::TempDir()) / "tokenize_command_test.in";
  WriteFile(path, input);
  const std::string command =
      std::string(FOURSTEP_PROGRAM) + " tokenize " + arguments + " <" + path.string() + " 2>&1";
  FILE* pipe = popen(command.c_str(), "r");
  std::string out;
  char buffer[4096];
  for (size_t n; (n = fread(buffer, 1, sizeof buffer, pipe)) > 0;) out.append(buffer, n);
  const int status = pclose(pipe);
  fs::remove(path);
  return {WIFEXITED(status) ? WEXITSTATUS(status) : -1, out};
}

TEST(TokenizeCommand, GoesThereAndBack) {
  const std::string texts = "\"Let x = 12.\\n\\n<|im_end|>\"\n\"\"\n\"caf\u00e9 \U0001F642\"\n";
  const Result ids = Tokenize(kModel, texts);
  EXPECT_EQ(ids.status, 0) << ids.out;
  EXPECT_NE(ids.out.find("1021]\n[]\n["), std::string::npos) << ids.out;
  const Result back = Tokenize(kModel + " --decode", ids.out);
  EXPECT_EQ(back.status, 0);
  EXPECT_EQ(back.out, texts);
  EXPECT_EQ(Tokenize(kModel + " --decode --skip-special", "[1021, 1022]").out, "\"<think>\"\n");
}

TEST(TokenizeCommand, TakesSpecialTokensForTextOnRequest) {
  EXPECT_EQ(Tokenize(kModel, "\"<|im_end|>\"").out, "[1021]\n");
  EXPECT_EQ(Tokenize(kModel + " --plain-special", "\"<|im_end|>\"").out.find("1021"), std::string::npos);
  const std::string llama = kModel + "_llama3";
  EXPECT_EQ(Tokenize(llama, "\"\"").out, "[]\n");
  EXPECT_EQ(Tokenize(llama + " --add-special", "\"\"").out, "[703]\n");
}

TEST(TokenizeCommand, RefusesBadInputInOneLine) {
  struct Case {
    std::string arguments, input, fault;
  };
  const Case cases[] = {
      {kModel, "\"a\"\n7\n", "fourstep: line 2: not a JSON string\n"},
      {kModel, "a\n", "fourstep: line 1: not valid JSON"},
      {kModel, "\n", "fourstep: line 1: not valid JSON"},
      {kModel, "\"\xff\"\n", "fourstep: line 1: not valid JSON"},
      {kModel + " --decode", "\"a\"\n", "fourstep: line 1: not an array of token ids\n"},
      {kModel + " --decode", "[1024]\n", "fourstep: line 1: 1024 is no token, ids are 0..1023\n"},
      {kModel + " --decode", "[-1]\n", "fourstep: line 1: -1 is no token, ids are 0..1023\n"},
      {kModel + " --decode", "[1.0]\n", "fourstep: line 1: 1.0 is no token, ids are 0..1023\n"},
      {kModel + " --decode", "[99999999999999999999]\n", "is no token"},
      {kModel + " --decode --plain-special", "", "--decode"},
      {kModel + " --skip-special", "", "--decode"},
      {"", "", "model is required"},
      {"/nonexistent", "", "/nonexistent/tokenizer.json"},
  };
  for (const Case& c : cases) {
    const Result result = Tokenize(c.arguments, c.input);
    EXPECT_EQ(result.status, 2) << result.out;
    EXPECT_NE(result.out.find(c.fault), std::string::npos) << result.out;
    EXPECT_EQ(result.out.find("fourstep: "), result.out.rfind("fourstep: ")) << result.out;
  }
}

}  // namespace
}  // namespace fourstep
