// A model that reads one sequence in one step.
#pragma once

#include <cstdint>
#include <memory>
#include <numeric>
#include <span>
#include <vector>

#include "model/model.h"

namespace fourstep {

class OneStepModel {
 public:
  // `backend` has room for num_tokens rows.
  OneStepModel(Checkpoint& checkpoint, Backend& backend, int32_t num_tokens,
               std::optional<Numerics> numerics = std::nullopt)
      : backend_(backend) {
    ModelOptions options;
    options.numerics = numerics;
    options.max_slots = 1;
    options.block_tokens = num_tokens;
    options.num_cache_blocks = 1;
    model_ = Model::Load(checkpoint, backend, options);
  }

  const Model& model() const { return *model_; }

  // Logits of `rows`: [rows, vocab].
  std::vector<float> Read(const std::vector<int32_t>& tokens, std::span<const int32_t> rows,
                          LinearObserver* observer = nullptr) {
    std::vector<int32_t> positions(tokens.size());
    std::iota(positions.begin(), positions.end(), 0);
    const std::vector<int32_t> slots(tokens.size(), 0), block_table = {0};
    Batch batch;
    batch.tokens = tokens;
    batch.positions = positions;
    batch.slots = slots;
    batch.draw_rows = rows;
    batch.block_tables = block_table;
    batch.max_blocks = 1;
    backend_.BeginStep(batch);
    model_->Forward(observer);
    backend_.EndStep();
    return backend_.ReadLogits();
  }

 private:
  Backend& backend_;
  std::unique_ptr<Model> model_;
};

}  // namespace fourstep
