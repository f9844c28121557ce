// Verdicts on tests/eval/data: pairs that say the same, near misses, and, where they are there, the published
// answers.
#include "eval/math_equality.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <chrono>
#include <cstdlib>
#include <fstream>

#include "base/json.h"

namespace fourstep {
namespace {

std::vector<Json> LinesOf(const std::string& path) {
  std::ifstream file(path);
  std::vector<Json> lines;
  for (std::string line; std::getline(file, line);) lines.push_back(ParseJson(line, path));
  return lines;
}

std::vector<Json> Pairs(const std::string& name) {
  return LinesOf(std::string(FOURSTEP_SOURCE_DIR) + "/tests/eval/data/" + name);
}

TEST(SaysTheSame, TakesOtherSpellings) {
  const std::vector<Json> pairs = Pairs("math_same.jsonl");
  EXPECT_GE(pairs.size(), 200u);
  for (const Json& pair : pairs) {
    const std::string answer = pair["answer"], given = pair["given"];
    EXPECT_TRUE(SaysTheSame(answer, given, "")) << pair;
    EXPECT_TRUE(SaysTheSame(answer, " $" + given + "$ ", "")) << pair;
    EXPECT_TRUE(SaysTheSame(given, given, "")) << pair;
  }
}

TEST(SaysTheSame, TellsNearMissesApart) {
  const std::vector<Json> pairs = Pairs("math_different.jsonl");
  EXPECT_GE(pairs.size(), 200u);
  for (const Json& pair : pairs) {
    const std::string answer = pair["answer"], given = pair["given"];
    EXPECT_FALSE(SaysTheSame(answer, given, "")) << pair;
    EXPECT_FALSE(SaysTheSame(given, answer, "")) << pair;
    EXPECT_TRUE(SaysTheSame(answer, answer, "")) << pair;
  }
}

// Every answer of one problem given to another is right only where the two say the same to a reader.
TEST(SaysTheSame, TellsAllAnswersOfTheNearMissesFromEachOther) {
  const std::vector<Json> pairs = Pairs("math_different.jsonl");
  std::vector<std::string> answers;
  for (const Json& pair : pairs) {
    const std::string answer = pair["answer"];
    if (std::find(answers.begin(), answers.end(), answer) == answers.end()) answers.push_back(answer);
  }
  std::vector<std::string> same;
  for (size_t i = 0; i < answers.size(); ++i) {
    for (size_t j = 0; j < i; ++j) {
      if (SaysTheSame(answers[i], answers[j], "")) same.push_back(answers[i] + "   " + answers[j]);
    }
  }
  EXPECT_EQ(same, std::vector<std::string>({"0.\\overline{3}   \\frac{1}{3}",
                                            "\\sqrt{5+2\\sqrt{6}}   \\sqrt{2}+\\sqrt{3}", "|x|   \\sqrt{x^2}",
                                            "x > 5   (5,\\infty)", "15\\%   0.15", "50\\%   \\frac{1}{2}"}));
}

TEST(SaysTheSame, TakesPercentAsTheProblemMeansIt) {
  EXPECT_TRUE(SaysTheSame("15", "15\\%", "What percent is it?"));
  EXPECT_TRUE(SaysTheSame("15\\%", "15", "Express it as a percentage."));
  EXPECT_TRUE(SaysTheSame("15", "15 \\text{ percent}", "How many %?"));
  EXPECT_FALSE(SaysTheSame("15", "15\\%", "What is the probability?"));
  EXPECT_TRUE(SaysTheSame("0.15", "15\\%", "What is the probability?"));
  EXPECT_FALSE(SaysTheSame("15", "16\\%", "What percent is it?"));
}

// Whatever can be written in 1,000 bytes, or beyond them, is judged at once.
TEST(SaysTheSame, TakesHostileTextsInBoundedTime) {
  const auto repeated = [](std::string_view part, size_t bytes) {
    std::string text;
    while (text.size() + part.size() <= bytes) text += part;
    return text;
  };
  for (const std::string_view part : {"(",
                                      "{",
                                      "[",
                                      "\\{",
                                      "|",
                                      "-",
                                      "^",
                                      "9^",
                                      "\\frac",
                                      "\\sqrt",
                                      "\\text{",
                                      "\\begin{pmatrix}",
                                      "\\pm",
                                      "1,",
                                      "1=",
                                      "1<",
                                      "\\cup",
                                      "x^{0.5}",
                                      "\\tan(1e-249i+1e-200)+",
                                      "\\arcsin(1e249i)+",
                                      "100!",
                                      "(1+i)^{9999}",
                                      "\\binom{x}{140}",
                                      "\xff",
                                      "\\",
                                      "_",
                                      "1_",
                                      "\\left",
                                      "&",
                                      "\\\\",
                                      "1e99999999999",
                                      "$"}) {
    for (const size_t bytes : {size_t{1000}, size_t{1'000'000}}) {
      const std::string text = repeated(part, bytes);
      const auto begin = std::chrono::steady_clock::now();
      EXPECT_FALSE(SaysTheSame("7", text, "")) << part;
      SaysTheSame(text, text + "1", "");
      const double seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
      EXPECT_LT(seconds, 10) << part << " takes " << seconds << " s";
    }
  }
  for (const char* text :
       {"9^{9^{9^{9^{9}}}}", "((100!)!)!", "1/0", "0^{-1}", "\\ln 0", "\\tan \\frac{\\pi}{2}",
        "1e999999999999", "2^{100000000}", "\\sqrt[0]{2}", "\\log_1 2", "0.\\overline{}"}) {
    EXPECT_FALSE(SaysTheSame("7", text, "")) << text;
  }
}

std::vector<std::string> Changed(const std::string& answer) {
  std::vector<std::string> all;
  for (size_t i = 0; i < answer.size(); ++i) {
    if (answer[i] < '0' || answer[i] > '9') continue;
    std::string changed = answer;
    changed[i] = answer[i] == '9' ? '1' : static_cast<char>(answer[i] + 1);
    all.push_back(changed);
  }
  return all;
}

TEST(SaysTheSame, JudgesThePublishedAnswers) {
  const char* shared = std::getenv("FOURSTEP_SHARED_DIR");
  if (shared == nullptr) GTEST_SKIP() << "FOURSTEP_SHARED_DIR is not set";
  size_t num_answers = 0, num_changed = 0;
  for (const char* name : {"aime120", "math500", "gsm8k_test"}) {
    for (const Json& line : LinesOf(fmt::format("{}/data/eval/{}.jsonl", shared, name))) {
      const std::string answer = line["answer"], problem = line["problem"];
      EXPECT_TRUE(SaysTheSame(answer, answer, problem)) << line["id"];
      EXPECT_TRUE(SaysTheSame(answer, "\\mathbf{" + answer + "}", problem) || answer[0] == '\\')
          << line["id"];
      ++num_answers;
      for (const std::string& changed : Changed(answer)) {
        EXPECT_FALSE(SaysTheSame(answer, changed, problem)) << answer << " " << changed;
        ++num_changed;
      }
    }
  }
  EXPECT_EQ(num_answers, 1939u);
  EXPECT_GT(num_changed, 4000u);
}

}  // namespace
}  // namespace fourstep
