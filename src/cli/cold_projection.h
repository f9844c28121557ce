// Copies of one projection, each with memory of its own, used one after the other: so many that no cache
// holds a copy's weights when its turn comes again.
#pragma once

#include <cstdint>
#include <vector>

#include "backend/backend.h"
#include "base/philox.h"
#include "cli/projection.h"
#include "cli/timing.h"

namespace fourstep::cli {

class ColdProjection {
 public:
  // `backend` serves nothing else. Rows of steps: up to backend.max_rows(). Throws std::runtime_error where a
  // step of one row is wrong, against double precision.
  ColdProjection(Backend& backend, const Projection& projection, int32_t num_copies);

  // That the first row of a step of `batch` rows is that of a step of one row, bit for bit, by one copy and
  // by all of them. Throws std::runtime_error.
  void Check(int32_t batch);

  // Of one use with `batch` rows: what a step that goes over all copies twice takes longer than one that goes
  // over them once, by the number of copies. `repeats` measurements of some 20 ms each.
  Spread TimeUs(int32_t batch, int32_t repeats);

 private:
  // The first row of what a step wrote.
  struct Outputs {
    std::vector<float> one, all;  // by one copy; in the end, by all
  };

  EmbeddingId AddRandomTable(int64_t width, PhiloxStream& random);
  void SetBatch(int32_t batch);
  void IssueInput();
  void IssueUse(LinearId copy, LinearId consumer);
  void RunStep(int32_t passes);
  double TimeSteps(int32_t passes, int32_t steps);
  std::vector<float> FirstRow(std::vector<float> rows) const;
  std::vector<float> ReadOutput();
  std::vector<float> RunOneCopy(LinearId copy, bool checks);
  Outputs Run(int32_t batch, bool checks);

  Backend& b_;
  const Projection& p_;
  std::vector<LinearId> copies_;
  LinearId consumer_;
  EmbeddingId input_table_, residual_table_;
  VectorId norm_;
  ActivationId x_, input_, out_;  // input_: x_ normed, in the form that the linear reads
  std::vector<int32_t> rows_;     // 0, 1, ..: token and slot of each row, and which of them draw
  std::vector<int32_t> positions_;
  Batch batch_;
  Outputs alone_;  // of a step of one row
};

}  // namespace fourstep::cli
