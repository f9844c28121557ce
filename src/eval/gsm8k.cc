// gsm8k: word problems of grade school mathematics.

#include "eval/answer.h"
#include "eval/math_task.h"

namespace fourstep {
namespace {

constexpr std::string_view kMark = "####";  // the published solutions write their answer behind it

// What stands behind the last mark, to the end of its line.
std::optional<std::string> BehindMark(std::string_view text) {
  const size_t mark = text.rfind(kMark);
  if (mark == text.npos) return {};
  text.remove_prefix(mark + kMark.size());
  const std::string_view answer = TrimBlanks(text.substr(0, std::min(text.find('\n'), text.size())));
  if (answer.empty()) return {};
  return std::string(answer);
}

class Gsm8k final : public MathTask {
 public:
  std::string_view name() const override { return "gsm8k"; }
  std::string_view summary() const override { return "grade school word problems: 1,319 problems"; }

  // The box, or else, as the published solutions have it, "#### 18".
  std::optional<std::string> Extract(std::string_view reply) const override {
    if (std::optional<std::string> boxed = LastBoxed(reply)) return boxed;
    return BehindMark(AfterThinking(reply));
  }

 protected:
  std::string AnswerOf(const PublishedRow& row) const override {
    const std::string answer = MathTask::AnswerOf(row);
    return BehindMark(answer).value_or(answer);
  }
};

}  // namespace

const PublishedTask& Gsm8kTask() {
  static const Gsm8k kTask;
  return kTask;
}

}  // namespace fourstep
