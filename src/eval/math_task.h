// Published mathematical problems with a boxed answer: AIME, MATH-500, GSM8K.
#pragma once

#include <string>

#include "eval/published_file.h"
#include "eval/task.h"

namespace fourstep {

class MathTask : public PublishedTask {
 public:
  std::vector<PublishedProblem> Read(const std::filesystem::path& path, uint64_t seed) const override;
  bool IsRight(std::string_view problem, std::string_view answer, std::string_view extracted) const override;

 protected:
  // Whether the row is one of this task's, by its id.
  virtual bool Holds(const std::string&) const { return true; }
  // The right answer of a row. Throws Error where the row has none that this task can have.
  virtual std::string AnswerOf(const PublishedRow& row) const;
};

}  // namespace fourstep
