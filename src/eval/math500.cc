// math500: 500 problems of the MATH test set.

#include "eval/math_task.h"

namespace fourstep {
namespace {

class Math500 final : public MathTask {
 public:
  std::string_view name() const override { return "math500"; }
  std::string_view summary() const override {
    return "competition mathematics of seven subjects: 500 problems";
  }
};

}  // namespace

const PublishedTask& Math500Task() {
  static const Math500 kTask;
  return kTask;
}

}  // namespace fourstep
