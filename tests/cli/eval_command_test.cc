// `fourstep eval` and `fourstep study` as programs, on tiny models with random weights.
#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <filesystem>
#include <thread>

#include "eval/stand_in_server.h"
#include "eval/study.h"
#include "program.h"

namespace fourstep {
namespace {

using testing::HasSubstr;
using testing::Not;

const std::string kModels = std::string(FOURSTEP_SOURCE_DIR) + "/tests/model/data/";
const std::string kModel = kModels + "tiny-qwen3-nvfp4";

class Eval : public testing::Test {
 protected:
  void SetUp() override {
    std::string pattern = testing::TempDir() + "/eval_XXXXXX";
    folder_ = mkdtemp(pattern.data());
  }
  void TearDown() override { std::filesystem::remove_all(folder_); }

  std::string Store(const std::string& name = "study") const { return (folder_ / (name + ".db")).string(); }
  static std::vector<std::string> Flags(const std::string& store, std::vector<std::string> more) {
    std::vector<std::string> flags = {"eval",       kModel, "--task",       "arithmetic", "--threads", "1",
                                      "--problems", "6",    "--max-tokens", "12",         "--store",   store,
                                      "--seed",     "5"};
    flags.insert(flags.end(), more.begin(), more.end());
    return flags;
  }
  static std::vector<Json> Answers(const std::string& store) {
    return Lines(RunProgram({"study", "answers", store}).out);
  }

  std::filesystem::path folder_;
};

const std::vector<std::string> kTwoArms = {"--arm", "warm=fixed,temperature=0.8", "--arm",
                                           "reset=reset,t-low=0.1,t-high=0.9,tau-0=5"};

// The answers are those that `run` gives with the seed of the problem and sample.
TEST_F(Eval, AnswersAreThoseOfRun) {
  const Result result =
      RunProgram(Flags(Store(), {"--arm", "bf16=fixed,temperature=0.9,numerics=bf16", "--samples", "2",
                                 "--entropies", "--json", "--top-p", "0.9"}));
  ASSERT_EQ(result.status, 0) << result.err;
  const Json report = Lines(result.out).at(0);
  EXPECT_EQ(report["problems"], 6);
  EXPECT_EQ(report["samples"], 2);
  EXPECT_THAT(report["arms"][0]["identity"]["policy"].get<std::string>(),
              HasSubstr("fixed (T 0.9), top-p 0.9"));
  const std::vector<Json> answers = Lines(RunProgram({"study", "answers", Store(), "--entropies"}).out);
  ASSERT_EQ(answers.size(), 12u);
  const auto num_cut = std::count_if(answers.begin(), answers.end(),
                                     [](const Json& answer) { return answer["finish"] == "length"; });
  EXPECT_GT(num_cut, 0);
  EXPECT_DOUBLE_EQ(report["arms"][0]["cut"].get<double>(), static_cast<double>(num_cut) / 12);
  for (const size_t i : {size_t{0}, size_t{7}}) {
    const Json& answer = answers[i];
    const Result run = RunProgram(
        {"run", kModel, "--threads", "1", "--max-tokens", "12", "--numerics", "bf16", "--temperature", "0.9",
         "--top-p", "0.9", "-p", answer["problem"].get<std::string>(), "--json", "--seed",
         std::to_string(DrawSeed(5, answer["id"].get<std::string>(), answer["sample"].get<int>()))});
    std::vector<int32_t> tokens;
    for (const Json& line : Lines(run.out)) {
      if (line["type"] == "token") tokens.push_back(line["token"].get<int32_t>());
    }
    EXPECT_EQ(answer["token_ids"].get<std::vector<int32_t>>(), tokens) << i;
    EXPECT_EQ(answer["entropies"].size(), tokens.size());
  }
}

TEST_F(Eval, TheScheduleDoesNotMatter) {
  std::vector<std::string> one = kTwoArms, many = kTwoArms;
  one.insert(one.end(), {"--parallel", "1"});
  many.insert(many.end(), {"--parallel", "5", "--threads", "2"});
  ASSERT_EQ(RunProgram(Flags(Store("one"), one)).status, 0);
  std::vector<std::string> flags = Flags(Store("many"), many);
  flags.erase(std::find(flags.begin(), flags.end(), "--threads"),
              std::find(flags.begin(), flags.end(), "--threads") + 2);
  const Result result = RunProgram(flags);
  ASSERT_EQ(result.status, 0) << result.err;
  EXPECT_EQ(Answers(Store("one")), Answers(Store("many")));
  EXPECT_EQ(Answers(Store("one")).size(), 12u);
}

TEST_F(Eval, KilledItGoesOnToTheSameResult) {
  std::vector<std::string> more = kTwoArms;
  more.insert(more.end(), {"--samples", "12", "--json"});
  const Result whole = RunProgram(Flags(Store("whole"), more));
  ASSERT_EQ(whole.status, 0) << whole.err;

  int num_kills = 0;
  for (const size_t enough : {size_t{1}, size_t{20}, size_t{70}}) {
    const int null = open("/dev/null", O_RDWR | O_CLOEXEC);
    const pid_t child = Start(Flags(Store(), more), null, null, null);
    for (int i = 0; i < 2000; ++i) {
      try {
        if (StudyStore(Store(), Database::Mode::kRead).AnswerKeys().size() >= enough) break;
      } catch (const std::exception&) {  // not there yet
      }
      std::this_thread::sleep_for(std::chrono::milliseconds(5));
    }
    kill(child, SIGKILL);
    num_kills += StatusOf(child) == -SIGKILL ? 1 : 0;
    close(null);
  }
  EXPECT_GT(num_kills, 0);  // the later ones may come too late
  const Result resumed = RunProgram(Flags(Store(), more));
  ASSERT_EQ(resumed.status, 0) << resumed.err;
  EXPECT_THAT(resumed.err, HasSubstr("144 answers are in"));
  EXPECT_EQ(Answers(Store()), Answers(Store("whole")));
  Json a = Lines(whole.out).at(0), b = Lines(resumed.out).at(0);
  a.erase("store");
  b.erase("store");
  EXPECT_EQ(a, b);
}

TEST_F(Eval, ComparesModelsAndWritesAReport) {
  const Result result =
      RunProgram(Flags(Store(), {"--arm", "nvfp4=fixed,temperature=0.7", "--arm",
                                 "dense=fixed,temperature=0.7,model=" + kModels + "tiny-qwen3", "--arm",
                                 "gate=reset,t-low=0.2,tau-0=5,token-gate-only", "--half-width", "2"}));
  ASSERT_EQ(result.status, 0) << result.err;
  for (const char* text :
       {"6 problems, 1 answer each", "dense - nvfp4", "gate - nvfp4", "McNemar p", "no answer"}) {
    EXPECT_THAT(result.out, HasSubstr(text));
  }
  EXPECT_THAT(result.err, HasSubstr("2 points need 2401 problems at worst"));
  EXPECT_THAT(result.err, Not(HasSubstr("\r")));  // no progress line in a pipe
  const Result again = RunProgram({"study", "report", Store()});
  EXPECT_EQ(again.status, 0);
  EXPECT_EQ(result.out.substr(0, again.out.size()), again.out);
  const Result of_arm = RunProgram({"study", "answers", Store(), "--arm", "dense"});
  EXPECT_EQ(Lines(of_arm.out).size(), 6u);
}

TEST_F(Eval, SetsKnobsOfSeveralTasks) {
  const Result result = RunProgram(Flags(Store(), {"--task", "dag", "--knob", "arithmetic.limit=9", "--knob",
                                                   "dag.needed=3", "--knob", "dag.distractors=0"}));
  ASSERT_EQ(result.status, 0) << result.err;
  for (const Json& answer : Answers(Store())) {
    const std::string problem = answer["problem"].get<std::string>();
    if (answer["task"] == "dag") {  // three values, so three definitions
      EXPECT_EQ(std::count(problem.begin(), problem.end(), '='), 3) << problem;
    }
  }
}

// More than any machine answers before the line is drawn; so it is stopped.
TEST_F(Eval, ShowsProgressOnATerminal) {
  std::vector<std::string> more = kTwoArms;
  more.insert(more.end(), {"--samples", "4000"});
  AtTerminal terminal(Flags(Store(), more));
  EXPECT_TRUE(terminal.WaitFor("warm 0.0±"));
  EXPECT_THAT(terminal.shown(), HasSubstr("/48000 answers"));
  terminal.Type("\x03");
  EXPECT_EQ(terminal.Wait(), 130);
}

TEST_F(Eval, CtrlCKeepsTheAnswers) {
  AtTerminal terminal(Flags(Store(), {"--samples", "4000"}));
  ASSERT_TRUE(terminal.WaitFor("answers"));
  terminal.Type("\x03");
  EXPECT_EQ(terminal.Wait(), 130);
  EXPECT_THAT(terminal.shown(), HasSubstr("the same command goes on"));
  EXPECT_GT(StudyStore(Store(), Database::Mode::kRead).AnswerKeys().size(), 0u);
}

// A server that knows its sums and forgets some of them.
TEST_F(Eval, ScoresAServer) {
  const StandInServer server([](const StandInServer::Request& request) {
    const Json asked = Json::parse(request.body);
    const bool is_warm = asked["temperature"].get<double>() > 0.5;
    const std::string answer = is_warm ? "I forgot" : "\\boxed{" + std::to_string(391) + "}";
    return StandInServer::Response(
        200, DumpJson({{"choices", {{{"message", {{"content", answer}}}, {"finish_reason", "stop"}}}}}));
  });
  const Result result = RunProgram({"eval", "their-model", "--endpoint", server.url(), "--task", "arithmetic",
                                    "--problems", "20", "--store", Store(), "--arm", "cold=greedy", "--arm",
                                    "warm=fixed,temperature=1", "--json"});
  ASSERT_EQ(result.status, 0) << result.err;
  const Json report = Lines(result.out).at(0);
  EXPECT_EQ(report["arms"][0]["no_answer"], 0.0);
  EXPECT_EQ(report["arms"][1]["no_answer"], 1.0);
  EXPECT_EQ(report["arms"][1]["accuracy"]["mean"], 0.0);
  EXPECT_EQ(report["arms"][0]["identity"]["model"], "their-model");
  for (const Json& answer : Answers(Store())) {
    EXPECT_EQ(answer["correct"], answer["arm"] == "cold" ? Json(answer["answer"] == "391") : Json());
  }
  ExpectRefusal(RunProgram({"eval", "m", "--endpoint", "ftp://x", "--task", "dag", "--store", Store("x")}),
                "--endpoint");
  ExpectRefusal(RunProgram({"eval", "--endpoint", server.url(), "--task", "dag", "--store", Store("x")}),
                "MODEL");
  ExpectRefusal(RunProgram({"eval", "m", "--endpoint", server.url(), "--task", "dag", "--store", Store("x"),
                            "--kv-cache", "fp8"}),
                "--kv-cache");
  ExpectRefusal(RunProgram({"eval", "m", "--endpoint", server.url(), "--task", "dag", "--store", Store("x"),
                            "--arm", "a=reset,t-low=0.1,tau-0=1"}),
                "fixed and greedy");
  EXPECT_FALSE(std::filesystem::exists(Store("x")));
}

TEST_F(Eval, RefusesBadInput) {
  const auto refused = [&](const std::vector<std::string>& more, const std::string& named) {
    const Result result = RunProgram(Flags(Store(), more));
    ExpectRefusal(result, named);
    EXPECT_THAT(result.err, HasSubstr(named));
    EXPECT_FALSE(std::filesystem::exists(Store())) << named;
  };
  refused({"--arm", "a=fixd"}, "fixd");
  refused({"--arm", "a=fixed", "--arm", "a=greedy"}, "called a");
  refused({"--arm", "a=fixed,model=/nowhere"}, "/nowhere");
  refused({"--arm", "a=fixed,numerics=w2a2"}, "w2a2");
  refused({"--arm", "a=fixed,kv-cache=fp4"}, "fp4");
  refused({"--arm", "a=fixed,backend=abacus"}, "abacus");
  refused({"--task", "nosuch"}, "nosuch");
  refused({"--task", "arithmetic"}, "arithmetic stands twice");
  refused({"--split", "tests"}, "tests");
  refused({"--samples", "0"}, "--samples");
  refused({"--knob", "size=3"}, "size");
  refused({"--knob", "dag.needed=3"}, "dag.needed");
  refused({"--task", "dag", "--knob", "limit=9"}, "does not say of which task");
  refused({"--top-p", "2"}, "--top-p");
  ExpectRefusal(RunProgram({"eval", kModel}), "--task");
  ExpectRefusal(RunProgram({"study", "report", Store()}), "study.db");
  ExpectRefusal(RunProgram({"study", "answers", kModel + "/config.json"}), "config.json");
  ExpectRefusal(RunProgram({"study", "merge", Store("merged"), kModel + "/config.json"}), "config.json");
  ExpectRefusal(RunProgram({"study", "merge", Store("merged")}), "sources");
  ASSERT_EQ(RunProgram(Flags(Store(), {"--arm", "a=fixed"})).status, 0);
  ExpectRefusal(RunProgram({"study", "answers", Store(), "--arm", "b"}), "b");
  ExpectRefusal(RunProgram({"study", "answers", Store(), "--entropies"}), "--entropies");
  ExpectRefusal(RunProgram(Flags(Store(), {"--arm", "a=greedy"})), "another name");
}

}  // namespace
}  // namespace fourstep
