// What people mistype: one line on standard error that names the flag, exit status 2, nothing on standard
// output. The other commands' own tests have more; here is a table over all.
#include <gtest/gtest.h>

#include <filesystem>
#include <string>
#include <vector>

#include "program.h"

namespace fourstep {
namespace {

const std::string kModel = std::string(FOURSTEP_SOURCE_DIR) + "/tests/model/data/tiny-qwen3-nvfp4";
const std::string kTokenizer = std::string(FOURSTEP_SOURCE_DIR) + "/tests/checkpoint/data/tiny";
const std::string kBinary = "\x01\x02\xff\xfe";

struct CommandLine {
  std::vector<std::string> arguments;
  std::string named;  // what the message must name
  std::string input = "";
};

void ExpectAllRefused(const std::vector<CommandLine>& command_lines) {
  for (const CommandLine& line : command_lines) {
    const std::string shown = Shown(line.arguments);
    const Result result = RunProgram(line.arguments, line.input);
    ExpectRefusal(result, shown);
    EXPECT_EQ(result.out, "") << shown;
    EXPECT_NE(result.err.find(line.named), std::string::npos) << shown << "\n" << result.err;
  }
}

TEST(BadCommandLines, OfTheProgram) {
  ExpectAllRefused({
      {{}, "subcommand"},
      {{"nosuch"}, "nosuch"},
      {{"--nosuch"}, "--nosuch"},
      {{""}, "command"},
      {{"run", "tokenize"}, "tokenize"},
      {{"Run"}, "Run"},
      {{kBinary}, "\\x01"},
  });
}

// None of these may load the model first: the folder of all of them holds none.
TEST(BadCommandLines, OfRunBeforeItLoads) {
  std::vector<CommandLine> lines;
  const std::vector<std::pair<std::vector<std::string>, std::string>> kFlags = {
      {{"--nosuch"}, "--nosuch"},
      {{"extra"}, "extra"},
      {{"--prompt"}, "--prompt"},
      {{"-p", ""}, "--prompt"},
      {{"-p", "a\xff"}, "--prompt"},
      {{"-p", "a", "-p", "b"}, "--prompt"},
      {{"--system", "\xff"}, "--system"},
      {{"--policy"}, "--policy"},
      {{"--policy", "Reset"}, "--policy"},
      {{"--policy", kBinary}, "--policy"},
      {{"--temperature", "-0.1"}, "--temperature"},
      {{"--temperature", "hot"}, "--temperature"},
      {{"--temperature", "nan"}, "--temperature"},
      {{"--temperature", "inf"}, "--temperature"},
      {{"--temperature", "1e999"}, "--temperature"},
      {{"--temperature", "0.5x"}, "--temperature"},
      {{"--temperature", ""}, "--temperature"},
      {{"--temperature", "101"}, "--temperature"},
      {{"--t-high", "-1"}, "--t-high"},
      {{"--t-low", "nan"}, "--t-low"},
      {{"--tau-0", "-0.5"}, "--tau-0"},
      {{"--tau-0", "65"}, "--tau-0"},
      {{"--window", "0"}, "--window"},
      {{"--window", "65"}, "--window"},
      {{"--window", "3.5"}, "--window"},
      {{"--window", "99999999999"}, "--window"},
      {{"--step-estimator", "median"}, "--step-estimator"},
      {{"--token-gate-only=maybe"}, "--token-gate-only"},
      {{"--dynatemp-exponent", "-1"}, "--dynatemp-exponent"},
      {{"--top-p", "1.5"}, "--top-p"},
      {{"--top-p", "-0.0", "-p", "x"}, "config.json"},  // 0 is allowed
      {{"--top-k", "-1"}, "--top-k"},
      {{"--min-p", "2"}, "--min-p"},
      {{"--repetition-penalty", "0"}, "--repetition-penalty"},
      {{"--repetition-penalty", "nan"}, "--repetition-penalty"},
      {{"--presence-penalty", "2.1"}, "--presence-penalty"},
      {{"--frequency-penalty", "x"}, "--frequency-penalty"},
      {{"--logit-bias", "5"}, "--logit-bias"},
      {{"--logit-bias", "5="}, "--logit-bias"},
      {{"--logit-bias", "=1"}, "--logit-bias"},
      {{"--logit-bias", "-5=1"}, "--logit-bias"},
      {{"--logit-bias", "5=101"}, "--logit-bias"},
      {{"--logit-bias", "5=nan"}, "--logit-bias"},
      {{"--logit-bias", "5=1x"}, "--logit-bias"},
      {{"--logit-bias", "99999999999=1"}, "--logit-bias"},
      {{"--logit-bias", "5=1", "6=1"}, "6=1"},
      {{"--logit-bias", "5=1", "--logit-bias", "5=2"}, "logit_bias"},
      {{"--top-logprobs", "21", "--json"}, "--top-logprobs"},
      {{"--top-logprobs", "3"}, "--top-logprobs"},
      {{"--top-logprobs", "3", "--show", "steps"}, "--top-logprobs"},
      {{"--regex", "(a"}, "regex"},
      {{"--regex", "a\xff"}, "regex"},
      {{"--regex", "(a|b)*a(a|b){20}"}, "regex"},
      {{"--regex", "a", "--choice", "b"}, "choices"},
      {{"--choice", ""}, "--choice"},
      {{"--regex", ""}, "--regex"},
      {{"--seed", "-1"}, "--seed"},
      {{"--seed", "18446744073709551616"}, "--seed"},
      {{"--max-tokens", "0"}, "--max-tokens"},
      {{"--max-tokens", "2147483648"}, "--max-tokens"},
      {{"--numerics", "fp8"}, "--numerics"},
      {{"--kv-cache", "int8"}, "--kv-cache"},
      {{"--kv-cache"}, "--kv-cache"},
      {{"--backend", "tpu"}, "--backend"},
      {{"--cpu-path", "avx9"}, "--cpu-path"},
      {{"--threads", "0"}, "--threads"},
      {{"--threads", "-3"}, "--threads"},
      {{"--chat-template", "nosuch"}, "--chat-template"},
      {{"--context", "1"}, "--context"},
      {{"--show", "everything"}, "--show"},
      {{"--json", "--show", "text"}, "--json"},
      {{"--raw", "--system", "x"}, "--raw"},
      {{"--raw", "--no-thinking"}, "--raw"},
      {{"--parallel", "2"}, "--parallel"},
      {{"--batch", "-", "--parallel", "9"}, "--parallel"},
      {{"--batch", "-", "-p", "x"}, "--batch"},
      {{"--batch", "-", "--json"}, "--batch"},
      {{"--batch", "/nonexistent"}, "/nonexistent"},
      {{"--policy", "greedy", "--temperature", "1"}, "temperature"},
      {{"--policy", "fixed", "--t-low", "0.1"}, "t_low"},
      {{"--temperature", "1", "--tau-0", "0.5"}, "tau_0"},
      {{"-p", "hello"}, "config.json"},
  };
  for (const auto& [flags, named] : kFlags) {
    CommandLine line{{"run", kTokenizer}, named};
    line.arguments.insert(line.arguments.end(), flags.begin(), flags.end());
    lines.push_back(line);
  }
  ExpectAllRefused(lines);
}

TEST(BadCommandLines, OfRunWithAModel) {
  ExpectAllRefused({
      {{"run", kModel}, "standard input"},  // which is empty
      {{"run", kModel}, "standard input", "\n"},
      {{"run", kModel}, "standard input", "\xff\n"},
      {{"run", "What is 2+2?"}, "What is 2+2?", "x"},
      {{"run", kModel + "/config.json"}, "config.json", "x"},
      {{"run", kTokenizer}, "config.json", "x"},
      {{"run", kModel, "--batch", kModel}, kModel.substr(kModel.size() - 20)},
      {{"run", kModel, "--batch", "-"}, "standard input"},
      {{"run", kModel, "--batch", "-"}, "line 1", "\n"},
      {{"run", kModel, "--batch", "-"}, "line 1", "hello\n"},
      {{"run", kModel, "--batch", "-"}, "line 1", "{}\n"},
      {{"run", kModel, "--batch", "-"}, "line 1", "{\"prompt\":7}\n"},
      {{"run", kModel, "--batch", "-"}, "line 1", "{\"prompt\":\"\"}\n"},
      {{"run", kModel, "--batch", "-"}, "line 1", "{\"prompt\":\"a\",\"problem\":\"a\"}\n"},
      {{"run", kModel, "--batch", "-"},
       "line 2",
       "{\"prompt\":\"a\"}\n{\"prompt\":\"a\",\"response\":\"\"}\n"},
      {{"run", kModel}, "", std::string(100'000, 'x')},  // more than the context
      {{"run", kModel, "--batch", "-"},
       "line 2",
       "{\"prompt\":\"a\"}\n{\"prompt\":\"" + std::string(100'000, 'x') + "\"}\n"},
      {{"run", kModel, "--policy", "reset"}, "t_low", "x"},  // not known for this model
      {{"run", kModel, "--logit-bias", "320=1"}, "logit_bias", "x"},
  });
}

TEST(BadCommandLines, OfQuantize) {
  const std::string dense = std::string(FOURSTEP_SOURCE_DIR) + "/tests/model/data/tiny-qwen3";
  const std::string result = testing::TempDir() + "/bad_command_lines_test_model";
  ExpectAllRefused({
      {{"quantize"}, "source"},
      {{"quantize", dense}, "destination"},
      {{"quantize", "/nonexistent", result}, "/nonexistent"},
      {{"quantize", dense, kTokenizer}, "exists already"},
      {{"quantize", dense, "/nonexistent/model"}, "/nonexistent"},
      {{"quantize", dense, result, "extra"}, "extra"},
      {{"quantize", dense, result, "--method", "guess"}, "method"},
      {{"quantize", dense, result, "--dialect", "gguf"}, "--dialect"},
      {{"quantize", dense, result, "--weights-only", "--calibration-tokens", "5"}, "--weights-only"},
      {{"quantize", dense, result, "--calibration-tokens", "0"}, "--calibration-tokens"},
      {{"quantize", dense, result, "--calibration-text", "/nonexistent"}, "/nonexistent"},
      {{"quantize", dense, result, "--shard-size-mb", "0"}, "--shard-size-mb"},
      {{"quantize", dense, result, "--threads", "-1"}, "--threads"},
      {{"quantize", kModel, result}, "quantised already"},
      {{"quantize", kTokenizer, result}, "config.json"},
  });
  EXPECT_FALSE(std::filesystem::exists(result));
}

TEST(BadCommandLines, OfTheOtherCommands) {
  ExpectAllRefused({
      {{"inspect", "/nonexistent"}, "/nonexistent"},
      {{"inspect", kTokenizer}, "config.json"},
      {{"inspect", kModel, "extra"}, "extra"},
      {{"inspect", kModel, "--nosuch"}, "--nosuch"},
      {{"bench"}, "command"},
      {{"bench", "nosuch"}, "nosuch"},
      {{"bench", "components", "--shape", "nosuch"}, "nosuch"},
      {{"bench", "components", "--batch", "0"}, "--batch"},
      {{"bench", "components", "--shape", "abacus", "--csv", "/nonexistent/file"}, "/nonexistent/file"},
      {{"bench", "decode", "/nonexistent"}, "/nonexistent"},
      {{"bench", "decode", kModel, "--nosuch"}, "--nosuch"},
      {{"tokenize"}, "model"},
      {{"tokenize", "/nonexistent"}, "/nonexistent"},
      {{"tokenize", kTokenizer, "extra"}, "extra"},
      {{"tokenize", kTokenizer, "--skip-special"}, "--skip-special"},
      {{"tokenize", kTokenizer, "--decode", "--add-special"}, "--add-special"},
      {{"tokenize", kTokenizer}, "line 1", "7\n"},
      {{"policy"}, "subcommand"},
      {{"policy", "nosuch"}, "nosuch"},
      {{"policy", "replay", "extra"}, "extra"},
      {{"policy", "replay", "--details=perhaps"}, "--details"},
      {{"policy", "replay"}, "line 1", "{}\n"},
      {{"tasks"}, "subcommand"},
      {{"tasks", "generate", "nosuch"}, "nosuch"},
      {{"tasks", "grade"}, "task"},
      {{"tasks", "compare"}, "arms"},
      {{"tasks", "compare", "a"}, "NAME=FILE"},
      {{"tasks", "compare", "=a"}, "NAME=FILE"},
      {{"tasks", "compare", "a=/nonexistent"}, "/nonexistent"},
      {{"tasks", "compare", "a=/dev/null", "b=/dev/null"}, "/dev/null"},
      {{"tasks", "compare", "a=" + kTokenizer, "b=/dev/null"}, "tiny"},
  });
}

}  // namespace
}  // namespace fourstep
