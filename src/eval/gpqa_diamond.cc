// gpqa-diamond: questions of graduate-level science with four choices. The prompt and the form of the answer
// are those of simple-evals.

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <unordered_set>

#include "base/philox.h"
#include "eval/answer.h"
#include "eval/published_file.h"
#include "eval/task.h"

namespace fourstep {
namespace {

using Choices = std::array<std::string, 4>;

constexpr std::string_view kDirective =
    "Answer the following multiple choice question. The last line of your response should be of the "
    "following "
    "format: 'Answer: $LETTER' (without quotes) where LETTER is one of ABCD. Think step by step before "
    "answering.";

constexpr size_t kMaxMarkup = 64;  // bytes between "Answer:" and the letter

bool IsChoice(char c) {
  return c >= 'A' && c <= 'D';
}
bool IsWordByte(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_';
}

// A letter of a choice that stands alone at the start of `text`, behind signs that markup puts before it.
std::optional<char> LeadingChoice(std::string_view text) {
  text = text.substr(0, std::min(text.find('\n'), text.size()));
  for (;;) {
    const size_t begin = text.find_first_not_of(" \t*_\"'`:$({[");
    if (begin == text.npos) return {};
    text.remove_prefix(begin);
    bool has_command = false;
    for (const std::string_view command : {"\\text", "\\mathrm", "\\mathbf", "\\textbf", "\\boxed", "\\("}) {
      if (!text.starts_with(command)) continue;
      text.remove_prefix(command.size());
      has_command = true;
    }
    if (!has_command) break;
  }
  if (!IsChoice(text[0]) || (text.size() > 1 && IsWordByte(text[1]))) return {};
  return text[0];
}

bool EndsWithAnswer(std::string_view text) {
  constexpr std::string_view kWord = "answer";
  if (text.size() < kWord.size()) return false;
  text = text.substr(text.size() - kWord.size());
  return std::equal(text.begin(), text.end(), kWord.begin(),
                    [](char c, char small) { return (c | 0x20) == small; });
}

// The letter behind the last "Answer:", in any case, that a letter follows.
std::optional<char> BehindAnswer(std::string_view reply) {
  for (size_t colon = reply.rfind(':'); colon != reply.npos;
       colon = colon == 0 ? reply.npos : reply.rfind(':', colon - 1)) {
    const std::string_view before = reply.substr(0, colon);
    const size_t last = before.find_last_not_of(" \t*_\"'");
    if (last == before.npos || !EndsWithAnswer(before.substr(0, last + 1))) continue;
    if (const auto choice = LeadingChoice(reply.substr(colon + 1, kMaxMarkup))) return choice;
  }
  return {};
}

struct Question {
  std::string text;
  Choices choices;
  char answer;  // A..D
};

// The file of the authors: the right answer and three wrong ones, put in an order that the seed and the row
// give.
Question Shuffled(const PublishedRow& row, uint64_t seed, int64_t number) {
  const Choices given = {row.Text({"Correct Answer"}), row.Text({"Incorrect Answer 1"}),
                         row.Text({"Incorrect Answer 2"}), row.Text({"Incorrect Answer 3"})};
  std::array<size_t, 4> order = {0, 1, 2, 3};
  PhiloxStream random(seed, static_cast<uint64_t>(number));
  for (uint32_t i = 3; i > 0; --i) std::swap(order[i], order[random.Below(i + 1)]);
  Question question{.text = row.Text({"Question"}), .choices = {}, .answer = 'A'};
  for (size_t i = 0; i < 4; ++i) {
    question.choices[i] = given[order[i]];
    if (order[i] == 0) question.answer = static_cast<char>('A' + i);
  }
  return question;
}

// A file whose choices have an order already: "question", "choices", and "answer", a letter or an index.
Question InOrder(const PublishedRow& row) {
  Question question{.text = row.Text({"question", "Question", "problem"}), .choices = {}, .answer = 'A'};
  const Json& choices = row.Get({"choices", "options"});
  if (!choices.is_array() || choices.size() != 4) throw row.Fault("\"choices\" are not four");
  for (size_t i = 0; i < 4; ++i) {
    if (!choices[i].is_string()) throw row.Fault("a choice is no text");
    question.choices[i] = choices[i].get<std::string>();
  }
  const std::string answer = row.Text({"answer", "Answer"});
  const char letter = answer.size() != 1                     ? '?'
                      : answer[0] >= '0' && answer[0] <= '3' ? static_cast<char>(answer[0] - '0' + 'A')
                                                             : answer[0];
  if (!IsChoice(letter)) throw row.Fault("the answer is neither a letter of A..D nor an index of 0..3");
  question.answer = letter;
  return question;
}

class GpqaDiamond final : public PublishedTask {
 public:
  std::string_view name() const override { return "gpqa-diamond"; }
  std::string_view summary() const override { return "graduate-level science, four choices: 198 problems"; }

  std::vector<PublishedProblem> Read(const std::filesystem::path& path, uint64_t seed) const override {
    std::vector<PublishedProblem> problems;
    std::unordered_set<std::string> ids;
    ReadPublishedFile(path, [&](const PublishedRow& row, int64_t number) {
      const std::string id = row.IdOr(fmt::format("{}-{}", name(), number));
      if (!ids.insert(id).second) throw row.Fault("the id stands twice");
      const Question question = row.Has({"Correct Answer"}) ? Shuffled(row, seed, number) : InOrder(row);
      std::string text = fmt::format("{}\n\n{}\n", kDirective, TrimBlanks(question.text));
      for (size_t i = 0; i < 4; ++i) {
        text += fmt::format("\n{:c}) {}", 'A' + static_cast<int>(i), TrimBlanks(question.choices[i]));
      }
      problems.push_back({id, std::move(text), std::string{question.answer}});
    });
    return problems;
  }

  // The letter behind the last "Answer:", or else the one in the last box.
  std::optional<std::string> Extract(std::string_view reply) const override {
    std::optional<char> choice = BehindAnswer(AfterThinking(reply));
    if (!choice) {
      const std::optional<std::string> boxed = LastBoxed(reply);
      if (boxed) choice = LeadingChoice(*boxed);
    }
    if (!choice) return {};
    return std::string{*choice};
  }

  bool IsRight(std::string_view, std::string_view answer, std::string_view extracted) const override {
    const std::optional<char> right = LeadingChoice(answer);
    return right && right == LeadingChoice(extracted);
  }
};

}  // namespace

const PublishedTask& GpqaDiamondTask() {
  static const GpqaDiamond kTask;
  return kTask;
}

}  // namespace fourstep
