// `fourstep run` as a program, on a tiny model with random weights: its text means nothing, its form does.
#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <string>
#include <vector>

#include "base/file.h"
#include "program.h"

namespace fourstep {
namespace {

using testing::HasSubstr;

const std::string kModel = std::string(FOURSTEP_SOURCE_DIR) + "/tests/model/data/tiny-qwen3-nvfp4";

std::vector<std::string> Flags(std::vector<std::string> flags) {
  const std::vector<std::string> common = {"run", kModel, "--threads", "1", "--max-tokens", "12"};
  flags.insert(flags.begin(), common.begin(), common.end());
  return flags;
}

TEST(Run, AnswersTheSameFromAFlagAndFromStandardInput) {
  const Result flag = RunProgram(Flags({"-p", "hello", "--show", "text"}));
  EXPECT_EQ(flag.status, 0) << flag.err;
  EXPECT_NE(flag.out, "");
  EXPECT_TRUE(flag.out.ends_with("\n"));
  EXPECT_EQ(RunProgram(Flags({"--show", "text"}), "hello\n").out, flag.out);
  EXPECT_EQ(RunProgram(Flags({"-p", "hello", "--show", "text"})).out, flag.out);
  EXPECT_NE(RunProgram(Flags({"-p", "hello", "--show", "text", "--seed", "1"})).out, flag.out);
}

TEST(Run, WritesJsonLines) {
  const Result result =
      RunProgram(Flags({"-p", "hello", "--json", "--policy", "reset", "--t-low", "0.3", "--tau-0", "2"}));
  EXPECT_EQ(result.status, 0) << result.err;
  const std::vector<Json> lines = Lines(result.out);
  ASSERT_GE(lines.size(), 2u);
  std::string text;
  for (size_t i = 0; i + 1 < lines.size(); ++i) {
    const Json& token = lines[i];
    EXPECT_EQ(token["type"], "token");
    EXPECT_EQ(token["position"], i);
    EXPECT_GE(token["entropy"], 0);
    EXPECT_TRUE(token["temperature"] == 0.3 || token["temperature"] == 1.0) << token;
    EXPECT_EQ(token["temperature"] == 1.0, token["entropy"] >= token["threshold"]) << token;
    text += token["text"];
  }
  const Json& summary = lines.back();
  EXPECT_EQ(summary["type"], "summary");
  EXPECT_EQ(summary["response"], text);
  EXPECT_EQ(summary["tokens"], lines.size() - 1);
  EXPECT_EQ(summary["numerics"], "w4a4");
  EXPECT_EQ(summary["kv_cache"], "bf16");
  EXPECT_GT(summary["prompt_tokens"], 0);
  EXPECT_TRUE(summary["finish"] == "length" || summary["finish"] == "stop");
}

TEST(Run, FollowsAPatternAndTellsWhatElseWasLikely) {
  const Result result = RunProgram(
      Flags({"-p", "hello", "--no-thinking", "--json", "--regex", "[ab]{3}", "--top-logprobs", "4"}));
  EXPECT_EQ(result.status, 0) << result.err;
  const std::vector<Json> lines = Lines(result.out);
  for (size_t i = 0; i + 1 < lines.size(); ++i) {
    ASSERT_EQ(lines[i]["top_logprobs"].size(), 4u);
    EXPECT_GE(lines[i]["top_logprobs"][0]["logprob"], lines[i]["logprob"]);
  }
  EXPECT_THAT(lines.back()["content"].get<std::string>(), testing::MatchesRegex("[ab][ab][ab]"));
  EXPECT_EQ(lines.back()["finish"], "stop");
  const Result choice =
      RunProgram(Flags({"-p", "hello", "--no-thinking", "--choice", "left", "--choice", "right"}));
  EXPECT_TRUE(choice.out == "left\n" || choice.out == "right\n") << choice.out;
  EXPECT_EQ(Lines(RunProgram(Flags({"-p", "hello", "--json"})).out)[0].count("top_logprobs"), 0u);
}

TEST(Run, SaysThatAnAnswerWasCutOff) {
  const Result result = RunProgram(Flags({"-p", "hello", "--max-tokens", "3"}));
  EXPECT_EQ(result.status, 2);  // the flag stands twice
  const Result cut = RunProgram({"run", kModel, "-p", "hello", "--max-tokens", "3"});
  EXPECT_EQ(cut.status, 0);
  EXPECT_THAT(cut.err, HasSubstr("cut off after 3 tokens"));
}

TEST(Run, ShowsWhatItIsAskedFor) {
  const Result all = RunProgram(Flags({"-p", "hello", "--show", "all", "--stats"}));
  EXPECT_EQ(std::count(all.out.begin(), all.out.end(), '\n'), 13);  // a heading and twelve tokens
  EXPECT_THAT(all.err, HasSubstr("w4a4 with a bf16 cache on cpu"));
  EXPECT_THAT(all.err, HasSubstr("12 tokens, "));
  const Result steps = RunProgram(Flags({"-p", "hello", "--show", "steps", "--temperature", "0.7"}));
  EXPECT_THAT(steps.out, HasSubstr("── step 1: "));
  EXPECT_THAT(steps.out, HasSubstr("temperature 0.70\n"));
  for (const Result* result : {&all, &steps}) EXPECT_EQ(result->out.find('\x1b'), std::string::npos);
}

TEST(Run, ContinuesARawPrompt) {
  const Json with_template = Lines(RunProgram(Flags({"-p", "hello", "--json"})).out).back();
  const Json raw = Lines(RunProgram(Flags({"-p", "hello", "--json", "--raw"})).out).back();
  EXPECT_LT(raw["prompt_tokens"], with_template["prompt_tokens"]);
}

std::string BatchLines(int count) {
  std::string lines;
  for (int i = 0; i < count; ++i) {
    lines += R"({"id":)" + std::to_string(i) + R"(,"problem":"What is )" + std::to_string(i % 5) +
             R"(+1?","answer":"2"})" + "\n";
  }
  return lines;
}

// Lines may be answered alone or together: the answers are the same, in the same order.
TEST(RunBatch, AnswersInOrderWhateverRunsTogether) {
  const std::string input = BatchLines(11);
  const Result one = RunProgram(Flags({"--batch", "-", "--parallel", "1"}), input);
  EXPECT_EQ(one.status, 0) << one.err;
  EXPECT_EQ(one.err, "");
  const std::vector<Json> lines = Lines(one.out);
  ASSERT_EQ(lines.size(), 11u);
  for (size_t i = 0; i < lines.size(); ++i) {
    EXPECT_EQ(lines[i]["id"], i);
    EXPECT_EQ(lines[i]["answer"], "2");
    EXPECT_TRUE(lines[i]["response"].is_string());
    EXPECT_GT(lines[i]["response_tokens"], 0);
    EXPECT_LE(lines[i]["response_tokens"], 12);
  }
  EXPECT_NE(lines[0]["response"], lines[5]["response"]);  // the same question, another seed
  EXPECT_EQ(RunProgram(Flags({"--batch", "-"}), input).out, one.out);
  EXPECT_EQ(RunProgram(Flags({"--batch", "-", "--parallel", "3", "--seed", "0"}), input).out, one.out);
  EXPECT_NE(RunProgram(Flags({"--batch", "-", "--seed", "1"}), input).out, one.out);
  const std::filesystem::path file = std::filesystem::path(testing::TempDir()) / "run_command_test.jsonl";
  WriteFile(file, input);
  EXPECT_EQ(RunProgram(Flags({"--batch", file.string()})).out, one.out);
  std::filesystem::remove(file);
  const Result graded = RunProgram({"tasks", "grade", "arithmetic"}, one.out);
  EXPECT_EQ(graded.status, 0) << graded.err;
  EXPECT_EQ(Lines(graded.out).size(), 11u);
}

// An installed program, with a model in the place of the default one.
TEST(Run, FindsTheDefaultModelBesideAnInstalledProgram) {
  namespace fs = std::filesystem;
  std::string pattern = testing::TempDir() + "/fourstep_installed_XXXXXX";
  const fs::path folder = fs::canonical(mkdtemp(pattern.data()));
  const fs::path model = folder / "share" / "fourstep" / "models" / "abacus",
                 program = folder / "bin" / "fourstep";
  fs::create_directories(model);
  fs::create_directories(program.parent_path());
  fs::copy(kModel, model);
  fs::copy_file(ProgramPath(), program);
  const std::string command =
      program.string() + " run -p hello --stats --threads 1 --max-tokens 2 2>&1 >/dev/null";
  FILE* pipe = popen(command.c_str(), "r");
  std::string messages;
  char buffer[4096];
  for (size_t n; (n = fread(buffer, 1, sizeof buffer, pipe)) > 0;) messages.append(buffer, n);
  EXPECT_EQ(pclose(pipe), 0);
  EXPECT_EQ(messages.find(model.string() + ": Qwen3ForCausalLM"), 0u) << messages;
  fs::remove_all(folder);
}

TEST(Run, EndsQuietlyWhereNobodyReads) {
  int pipe_ends[2];
  ASSERT_EQ(pipe2(pipe_ends, O_CLOEXEC), 0);
  close(pipe_ends[0]);
  const std::string err_file = testing::TempDir() + "/run_command_test.err";
  const int in = open("/dev/null", O_RDONLY | O_CLOEXEC);
  const int err = open(err_file.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
  EXPECT_EQ(StatusOf(Start(Flags({"-p", "hello", "--show", "all"}), in, pipe_ends[1], err)), -SIGPIPE);
  for (const int fd : {pipe_ends[1], in, err}) close(fd);
  EXPECT_EQ(std::filesystem::file_size(err_file), 0u);
  std::filesystem::remove(err_file);
}

TEST(Run, FailsWhereItsOutputCannotBeWritten) {
  if (!std::filesystem::exists("/dev/full")) GTEST_SKIP() << "no /dev/full";
  const Result result = RunProgram(Flags({"-p", "hello", "--json"}), "", "/dev/full");
  EXPECT_EQ(result.status, 1);
  EXPECT_EQ(result.err, "fourstep: failed: standard output cannot be written\n");
}

}  // namespace
}  // namespace fourstep
