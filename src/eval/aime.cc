// aime120 and aime2025: the American Invitational Mathematics Examination. Every answer is an integer of
// 0..999.

#include <fmt/format.h>

#include "eval/answer.h"
#include "eval/math_task.h"

namespace fourstep {
namespace {

class Aime : public MathTask {
 protected:
  std::string AnswerOf(const PublishedRow& row) const override {
    std::string text = MathTask::AnswerOf(row);
    const std::optional<int64_t> answer = ParseInteger(text);
    if (!answer || *answer < 0 || *answer > 999) {
      throw row.Fault(fmt::format("the answer is \"{}\", expected an integer of 0..999", Printable(text)));
    }
    return text;
  }
};

class Aime120 final : public Aime {
 public:
  std::string_view name() const override { return "aime120"; }
  std::string_view summary() const override { return "AIME of four years, 2022 to 2025: 120 problems"; }
};

class Aime2025 final : public Aime {
 public:
  std::string_view name() const override { return "aime2025"; }
  std::string_view summary() const override {
    return "AIME 2025: 30 problems, also out of a file of aime120";
  }

 protected:
  bool Holds(const std::string& id) const override {
    return !id.starts_with("aime-") || id.starts_with("aime-2025-");
  }
};

}  // namespace

const PublishedTask& Aime120Task() {
  static const Aime120 kTask;
  return kTask;
}

const PublishedTask& Aime2025Task() {
  static const Aime2025 kTask;
  return kTask;
}

}  // namespace fourstep
