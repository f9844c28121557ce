// `fourstep tasks` run as a program: what people and hostile files can give it.
#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

#include "base/json.h"
#include "program.h"

namespace fourstep {
namespace {

using testing::HasSubstr;
using testing::StartsWith;

TEST(TasksGenerate, WritesTheDocumentedLines) {
  const Result result =
      RunProgram({"tasks", "generate", "dag", "--n", "3", "--seed", "4", "--with-traces", "--with-choices"});
  EXPECT_EQ(result.status, 0) << result.err;
  EXPECT_EQ(result.err, "");
  const std::vector<Json> lines = Lines(result.out);
  ASSERT_EQ(lines.size(), 3u);
  for (size_t i = 0; i < lines.size(); ++i) {
    EXPECT_EQ(lines[i].size(), 6u);
    EXPECT_EQ(lines[i]["id"], "dag-evaluation-4-" + std::to_string(i));
    EXPECT_EQ(lines[i]["task"], "dag");
    EXPECT_TRUE(lines[i]["problem"].is_string() && lines[i]["answer"].is_string());
    const std::string trace = lines[i]["trace"];
    ASSERT_GT(lines[i]["choices"].size(), 10u);
    size_t before = 0;
    for (const Json& choice : lines[i]["choices"]) {
      EXPECT_GE(choice[0].get<size_t>(), before);
      EXPECT_LT(choice[0].get<size_t>(), trace.size());
      EXPECT_GT(choice[1].get<double>(), 0);
      before = choice[0];
    }
  }
  EXPECT_EQ(Lines(RunProgram({"tasks", "generate", "dag"}).out).at(0).size(), 4u);
}

TEST(TasksGenerate, WritesTheSameBytesForEveryThreadCount) {
  for (const char* task : {"countdown", "dag", "ledger", "equation", "arithmetic"}) {
    const auto Output = [&](const std::string& threads, const std::string& seed) {
      return RunProgram({"tasks", "generate", task, "--split", "training", "--n", "60", "--seed", seed,
                         "--with-traces", "--with-choices", "--threads", threads})
          .out;
    };
    const std::string bytes = Output("1", "9");
    EXPECT_GT(bytes.size(), 1000u);
    EXPECT_EQ(Output("2", "9"), bytes);
    EXPECT_EQ(Output("7", "9"), bytes);
    EXPECT_NE(Output("1", "10"), bytes);
  }
}

TEST(TasksGenerate, FailsWhereItsOutputCannotBeWritten) {
  if (!std::filesystem::exists("/dev/full")) GTEST_SKIP() << "no /dev/full";
  for (const char* n : {"1", "3000"}) {
    const Result result =
        RunProgram({"tasks", "generate", "arithmetic", "--n", n, "--split", "training"}, "", "/dev/full");
    EXPECT_EQ(result.status, 1);
    EXPECT_EQ(result.err, "fourstep: failed: standard output cannot be written\n");
  }
  EXPECT_EQ(RunProgram({"tasks", "list"}, "", "/dev/full").status, 1);
  EXPECT_EQ(RunProgram({"tasks", "grade", "dag"}, R"({"id":1,"problem":"","answer":"5","response":""})",
                       "/dev/full")
                .status,
            1);
}

TEST(TasksList, ShowsEveryKnob) {
  const Result as_json = RunProgram({"tasks", "list", "--json"});
  EXPECT_EQ(as_json.status, 0);
  const Json tasks = Lines(as_json.out).at(0);
  ASSERT_EQ(tasks.size(), 11u);
  const std::string text = RunProgram({"tasks", "list"}).out;
  for (const Json& task : tasks) {
    EXPECT_THAT(text, HasSubstr(task["name"].get<std::string>() + ": " + task["summary"].get<std::string>()));
    EXPECT_EQ(task["published"], task["knobs"].empty());
    for (const Json& knob : task["knobs"]) {
      EXPECT_THAT(text, HasSubstr(knob["help"].get<std::string>()));
      for (const char* range : {"allowed", "training", "evaluation"}) EXPECT_EQ(knob[range].size(), 2u);
    }
  }
}

TEST(TasksCommand, RefusesBadCommandLines) {
  const std::string nul_free_binary = "\x01\x02\xff\xfe";
  const std::vector<std::vector<std::string>> kCommandLines = {
      {},
      {"nosuch"},
      {"--nosuch"},
      {"tasks"},
      {"tasks", "nosuch"},
      {"tasks", "tasks"},
      {"tasks", ""},
      {"tasks", "line\nbreak"},
      {"tasks", nul_free_binary},
      {"tasks", std::string(100'000, 'x')},
      {"tasks", "list", "extra"},
      {"tasks", "list", "--nosuch"},
      {"tasks", "list", "--json=maybe"},
      {"tasks", "grade"},
      {"tasks", "grade", "nosuch"},
      {"tasks", "grade", ""},
      {"tasks", "grade", "dag", "extra"},
      {"tasks", "grade", "dag", "--n", "3"},
      {"tasks", "generate"},
      {"tasks", "generate", "nosuch"},
      {"tasks", "generate", "Dag"},
      {"tasks", "generate", "line\nbreak"},
      {"tasks", "generate", "dag", "extra"},
      {"tasks", "generate", "dag="},
      {"tasks", "generate", "dag=/dev/null"},
      {"tasks", "generate", "math500"},
      {"tasks", "generate", "math500="},
      {"tasks", "generate", "math500=/no/such/file"},
      {"tasks", "generate", "math500=/dev/null"},
      {"tasks", "generate", "math500=/"},
      {"tasks", "generate", "=/dev/null"},
      {"tasks", "generate", "dag", "extra\nline\x1b[31m"},
      {"tasks", "generate", "dag", "--nosuch"},
      {"tasks", "generate", "dag", "--n"},
      {"tasks", "generate", "dag", "--n", "0"},
      {"tasks", "generate", "dag", "--n", "-1"},
      {"tasks", "generate", "dag", "--n", "1.5"},
      {"tasks", "generate", "dag", "--n", "1e3"},
      {"tasks", "generate", "dag", "--n", "many"},
      {"tasks", "generate", "dag", "--n", "99999999999999999999"},
      {"tasks", "generate", "dag", "--n", "1", "--n", "2"},
      {"tasks", "generate", "dag", "--seed", "-1"},
      {"tasks", "generate", "dag", "--seed", "abc"},
      {"tasks", "generate", "dag", "--seed", "1.5"},
      {"tasks", "generate", "dag", "--seed", "18446744073709551616"},
      {"tasks", "generate", "dag", "--split", "test"},
      {"tasks", "generate", "dag", "--split", ""},
      {"tasks", "generate", "dag", "--threads", "0"},
      {"tasks", "generate", "dag", "--threads", "-2"},
      {"tasks", "generate", "dag", "--threads", "1025"},
      {"tasks", "generate", "dag", "--with-traces=maybe"},
      {"tasks", "generate", "dag", "--knob"},
      {"tasks", "generate", "dag", "--knob", ""},
      {"tasks", "generate", "dag", "--knob", "needed"},
      {"tasks", "generate", "dag", "--knob", "needed="},
      {"tasks", "generate", "dag", "--knob", "needed=1"},
      {"tasks", "generate", "dag", "--knob", "needed=25"},
      {"tasks", "generate", "dag", "--knob", "needed=9..8"},
      {"tasks", "generate", "dag", "--knob", "needed=2.."},
      {"tasks", "generate", "dag", "--knob", "needed=..9"},
      {"tasks", "generate", "dag", "--knob", "needed=2..9..10"},
      {"tasks", "generate", "dag", "--knob", "needed=99999999999"},
      {"tasks", "generate", "dag", "--knob", "needed=" + nul_free_binary},
      {"tasks", "generate", "dag", "--knob", "needed=3\n"},
      {"tasks", "generate", "dag", "--knob", std::string(100'000, 'k') + "=1"},
      {"tasks", "generate", "dag", "--knob", "numbers=4"},
      {"tasks", "generate", "arithmetic", "--knob", "limit=9", "--n", "1000"},
  };
  EXPECT_GE(kCommandLines.size(), 20u);
  for (const auto& arguments : kCommandLines) {
    ExpectRefusal(RunProgram(arguments), Shown(arguments));
  }
}

TEST(TasksCommand, HelpsWithStatusZero) {
  for (const std::vector<std::string>& arguments : {std::vector<std::string>{"--help"},
                                                    {"--version"},
                                                    {"tasks", "--help"},
                                                    {"tasks", "generate", "--help"}}) {
    const Result result = RunProgram(arguments);
    EXPECT_EQ(result.status, 0);
    EXPECT_GT(result.out.size(), 5u);
  }
}

std::string Line(const std::string& response, const std::string& id = "7") {
  return R"({"id":)" + id +
         R"(,"problem":"Use each of the numbers 1,2,3 once, with + - * /, to make 9.","answer":"?",)" +
         R"("response":)" + response + "}\n";
}
const char kRight[] = R"("<think>\n3*3\n\n</think>\n\n\\boxed{(1+2)*3}")";

TEST(TasksGrade, WritesAVerdictForEachLine) {
  const std::string input = Line(kRight) + Line(R"("\\boxed{1+2+3}")", R"("b")") + Line(R"("none")", "null") +
                            Line(kRight, R"({"deep":[1,"é"]})");
  const Result result = RunProgram({"tasks", "grade", "countdown"}, input);
  EXPECT_EQ(result.status, 0) << result.err;
  EXPECT_EQ(
      result.out,
      "{\"correct\":true,\"extracted\":\"(1+2)*3\",\"id\":7,\"task\":\"countdown\"}\n"
      "{\"correct\":false,\"extracted\":\"1+2+3\",\"id\":\"b\",\"task\":\"countdown\"}\n"
      "{\"correct\":null,\"extracted\":null,\"id\":null,\"task\":\"countdown\"}\n"
      "{\"correct\":true,\"extracted\":\"(1+2)*3\",\"id\":{\"deep\":[1,\"é\"]},\"task\":\"countdown\"}\n");
  std::string unended = input;
  unended.pop_back();
  EXPECT_EQ(RunProgram({"tasks", "grade", "countdown"}, unended).out, result.out);
  const Result empty = RunProgram({"tasks", "grade", "countdown"});
  EXPECT_EQ(empty.status, 0);
  EXPECT_EQ(empty.out, "");
}

TEST(TasksGrade, AgreesWithTheGeneratorOfEveryTask) {
  for (const char* task : {"countdown", "dag", "ledger", "equation", "arithmetic"}) {
    const Result generated =
        RunProgram({"tasks", "generate", task, "--n", "100", "--split", "training", "--with-traces"});
    std::string input;
    for (Json line : Lines(generated.out)) {
      line["response"] = line["trace"];
      input += line.dump() + "\n";
    }
    const std::vector<Json> verdicts = Lines(RunProgram({"tasks", "grade", task}, input).out);
    EXPECT_EQ(verdicts.size(), 100u);
    for (const Json& verdict : verdicts) EXPECT_EQ(verdict["correct"], true) << task << " " << verdict;
  }
}

// What stands on line 2 here, after a good line, is refused by number, and the good line has its verdict.
TEST(TasksGrade, RefusesHostileLinesByNumber) {
  const std::string deep(100'000, '[');
  std::string nested = "1";
  for (int i = 0; i < 100; ++i) nested = "[" + nested + "]";
  const std::vector<std::string> kLines = {
      "",
      " ",
      "\r",
      "not JSON",
      "{",
      "}",
      "null",
      "true",
      "7",
      "\"text\"",
      "[]",
      "[{}]",
      "{}",
      R"({"id":1})",
      R"({"id":1,"problem":"p","answer":"a"})",
      R"({"id":1,"problem":"p","response":"r"})",
      R"({"id":1,"answer":"a","response":"r"})",
      R"({"problem":"p","answer":"a","response":"r"})",
      R"({"id":1,"problem":"p","answer":"a","response":null})",
      R"({"id":1,"problem":"p","answer":"a","response":7})",
      R"({"id":1,"problem":"p","answer":"a","response":["r"]})",
      R"({"id":1,"problem":"p","answer":7,"response":"r"})",
      R"({"id":1,"problem":{},"answer":"a","response":"r"})",
      R"({"id":1,"problem":false,"answer":"a","response":"r"})",
      R"({"id":1,"id":2,"problem":"p","answer":"a","response":"r"})",
      R"({"id":1,"problem":"p","answer":"a","response":"r"} x)",
      R"({"id":1,"problem":"p","answer":"a","response":"r"}{})",
      R"({"id":1,"problem":"p","answer":"a","response":"r",})",
      R"({"id":1e999,"problem":"p","answer":"a","response":"r"})",
      R"({"id":1,"problem":"p","answer":"a","response":"\ud800"})",
      R"({"id":1,"problem":"p","answer":"a","response":"\x41"})",
      R"({"id":1,"problem":"p","answer":"a","response":"tab	tab"})",
      R"({'id':1,'problem':'p','answer':'a','response':'r'})",
      R"({"ID":1,"Problem":"p","Answer":"a","Response":"r"})",
      "{\"id\":1,\"problem\":\"p\",\"answer\":\"a\",\"response\":\"\xff\"}",
      "{\"id\":1,\"problem\":\"\xc0\x80\",\"answer\":\"a\",\"response\":\"r\"}",
      "{\"id\":1,\"problem\":\"\xed\xa0\x80\",\"answer\":\"a\",\"response\":\"r\"}",
      "{\"id\":1,\"problem\":\"p\",\"answer\":\"a\",\"response\":\"r",
      std::string("{\"id\":1,\0\"problem\":\"p\"}", 22),
      std::string(1000, '\0'),
      std::string(10'000'000, 'x'),
      "\"" + std::string(10'000'000, 'x'),
      "\xff\xfe\x01\x1b[31m",
      deep,
      R"({"id":)" + deep,
      R"({"id":)" + nested + R"(,"problem":"p","answer":"a","response":"r"})",
  };
  for (const std::string& line : kLines) {
    const Result result =
        RunProgram({"tasks", "grade", "countdown"}, Line(kRight) + line + "\n" + Line(kRight));
    ExpectRefusal(result, line.substr(0, 100));
    EXPECT_THAT(result.err, StartsWith("fourstep: line 2: ")) << line.substr(0, 100);
    EXPECT_EQ(Lines(result.out).size(), 1u) << line.substr(0, 100);
  }
}

TEST(TasksGrade, JudgesHostileResponses) {
  for (const char* task : {"countdown", "dag", "ledger", "equation", "arithmetic"}) {
    const size_t bytes = task[0] == 'c' ? 10'000'000 : 200'000;  // what reads the reply is common to all
    const std::string big(bytes, 'x'), parentheses(bytes, '(');
    std::string boxes, sum = "1";
    while (boxes.size() < bytes) boxes += R"(\\boxed{)";
    while (sum.size() < bytes) sum += "+1";
    const std::string input = Line("\"" + big + "\"") + Line("\"" + boxes + "\"") +
                              Line("\"" + boxes + "5}\"") + Line(R"("\\boxed{)" + parentheses + "}\"") +
                              Line(R"("\\boxed{)" + sum + "}\"") +
                              Line(R"("\\boxed{\u0000\uffff\ud83d\ude00}")") + Line(R"("\\boxed{1/0}")");
    const Result result = RunProgram({"tasks", "grade", task}, input);
    EXPECT_EQ(result.status, 0) << result.err.substr(0, 300);
    const std::vector<Json> verdicts = Lines(result.out);
    ASSERT_EQ(verdicts.size(), 7u);
    for (size_t i = 0; i < verdicts.size(); ++i) {
      EXPECT_EQ(verdicts[i]["correct"], i < 2 ? Json() : Json(false)) << task << " " << i;
    }
  }
}

// Published problems are read from a file, and graded without their text too.
TEST(TasksGrade, GradesPublishedProblems) {
  const auto path = std::filesystem::path(testing::TempDir()) / "tasks_published.jsonl";
  std::ofstream(path) << R"({"unique_id":"a","problem":"Half of $\\pi$?","answer":"\\frac{\\pi}{2}"})"
                      << "\n"
                      << R"({"unique_id":"b","problem":"One?","answer":"1"})"
                      << "\n";
  const std::string task = "math500=" + path.string();
  const std::vector<Json> problems = Lines(RunProgram({"tasks", "generate", task}).out);
  ASSERT_EQ(problems.size(), 2u);
  EXPECT_EQ(problems[0]["id"], "a");
  EXPECT_EQ(Lines(RunProgram({"tasks", "generate", task, "--n", "1"}).out).size(), 1u);
  for (const std::vector<std::string>& more : {std::vector<std::string>{"--n", "3"},
                                               {"--with-traces"},
                                               {"--with-choices"},
                                               {"--knob", "limit=9"},
                                               {"--split", "training"}}) {
    std::vector<std::string> arguments = {"tasks", "generate", task};
    arguments.insert(arguments.end(), more.begin(), more.end());
    ExpectRefusal(RunProgram(arguments), Shown(arguments));
  }
  Json line = problems[0];
  line["response"] = "It is $\\boxed{\\pi/2}$.";
  const Json bare = {{"id", 1}, {"answer", "\\frac{\\pi}{2}"}, {"response", "\\boxed{1.57}"}};
  const Json none = {{"id", 2}, {"answer", "7"}, {"response", "7"}};
  const Result result =
      RunProgram({"tasks", "grade", "math500"}, line.dump() + "\n" + bare.dump() + "\n" + none.dump() + "\n");
  EXPECT_EQ(result.status, 0) << result.err;
  EXPECT_EQ(result.out,
            "{\"correct\":true,\"extracted\":\"\\\\pi/2\",\"id\":\"a\",\"task\":\"math500\"}\n"
            "{\"correct\":false,\"extracted\":\"1.57\",\"id\":1,\"task\":\"math500\"}\n"
            "{\"correct\":null,\"extracted\":null,\"id\":2,\"task\":\"math500\"}\n");
  std::filesystem::remove(path);
}

TEST(TasksGrade, JudgesHostileResponsesToPublishedProblems) {
  for (const char* task : {"aime120", "math500", "gsm8k", "gpqa-diamond"}) {
    std::string boxes, answers;
    while (boxes.size() < 1'000'000) boxes += R"(\\boxed{)";
    while (answers.size() < 1'000'000) answers += "Answer: #### ";
    const std::string input = Line("\"" + boxes + "\"") + Line("\"" + answers + "\"") +
                              Line("\"" + boxes + "5}\"") +
                              Line(R"("\\boxed{)" + std::string(1'000'000, '(') + "}\"") +
                              Line(R"("\\boxed{\u0000\uffff\ud83d\ude00}")");
    const Result result = RunProgram({"tasks", "grade", task}, input);
    EXPECT_EQ(result.status, 0) << result.err.substr(0, 300);
    const std::vector<Json> verdicts = Lines(result.out);
    ASSERT_EQ(verdicts.size(), 5u);
    for (const Json& verdict : verdicts) EXPECT_NE(verdict["correct"], true) << task;
  }
}

// A program that trains asks and waits: each verdict must come before the next question.
TEST(TasksGrade, AnswersWhileThePipeStaysOpen) {
  int to_child[2], from_child[2];
  ASSERT_EQ(pipe2(to_child, O_CLOEXEC), 0);
  ASSERT_EQ(pipe2(from_child, O_CLOEXEC), 0);
  const pid_t child = Start({"tasks", "grade", "countdown"}, to_child[0], from_child[1], 2);
  close(to_child[0]);
  close(from_child[1]);
  const std::string line = Line(kRight);
  for (int i = 0; i < 3; ++i) {
    ASSERT_EQ(write(to_child[1], line.data(), line.size()), static_cast<ssize_t>(line.size()));
    pollfd ready{from_child[0], POLLIN, 0};
    ASSERT_EQ(poll(&ready, 1, 20'000), 1) << "no verdict within 20 s";
    char buffer[1000];
    const ssize_t n = read(from_child[0], buffer, sizeof buffer);
    ASSERT_GT(n, 0);
    EXPECT_EQ(Lines(std::string(buffer, static_cast<size_t>(n))).at(0)["correct"], true);
  }
  close(to_child[1]);
  EXPECT_EQ(StatusOf(child), 0);
  close(from_child[0]);
}

}  // namespace
}  // namespace fourstep
