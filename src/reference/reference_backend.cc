#include "reference/reference_backend.h"

#include "backend/linear_stack.h"
#include "base/check.h"
#include "reference/reference_impl.h"

namespace fourstep {

std::unique_ptr<Backend> MakeReferenceBackend(const ReferenceOptions& options) {
  constexpr int32_t kMaxRows = 1 << 16;
  if (options.max_rows < 1 || options.max_rows > kMaxRows)
    throw Errorf("max_rows", "is {}, expected 1..{}", options.max_rows, kMaxRows);
  return std::make_unique<ReferenceBackend>(options);
}

ReferenceBackend::Rows& ReferenceBackend::rows(ActivationId id) {
  FOURSTEP_CHECK(id.id >= 0 && static_cast<size_t>(id.id) < rows_.size(), "activation {}", id.id);
  return rows_[static_cast<size_t>(id.id)];
}

const ReferenceBackend::PreparedLinear& ReferenceBackend::linear(LinearId id) const {
  FOURSTEP_CHECK(id.id >= 0 && static_cast<size_t>(id.id) < linears_.size(), "linear {}", id.id);
  return linears_[static_cast<size_t>(id.id)];
}

const std::vector<float>& ReferenceBackend::vector(VectorId id) const {
  FOURSTEP_CHECK(id.id >= 0 && static_cast<size_t>(id.id) < vectors_.size(), "vector {}", id.id);
  return vectors_[static_cast<size_t>(id.id)];
}

VectorId ReferenceBackend::AddVector(std::span<const float> values) {
  vectors_.emplace_back(values.begin(), values.end());
  return {static_cast<int32_t>(vectors_.size()) - 1};
}

EmbeddingId ReferenceBackend::AddEmbedding(const LinearWeight& table) {
  CheckTable(table);
  Embedding embedding{.n = table.n, .k = table.k, .values = {}};
  std::vector<float> row(static_cast<size_t>(table.k));
  for (int64_t n = 0; n < table.n; ++n) {
    DecodeRow(table, n, row.data());
    for (const float x : row) embedding.values.push_back(BFloat16::Encode(x));
  }
  embeddings_.push_back(std::move(embedding));
  return {static_cast<int32_t>(embeddings_.size()) - 1};
}

ActivationId ReferenceBackend::AddActivation(int32_t width) {
  FOURSTEP_CHECK(width > 0, "width {}", width);
  const auto count = static_cast<size_t>(max_rows_) * static_cast<size_t>(width);
  rows_.push_back({.width = width,
                   .values = std::vector<BFloat16>(count),
                   .blocks = std::vector<NvFp4::Block>(count / NvFp4::kBlockValues),
                   .consumer = {}});
  return {static_cast<int32_t>(rows_.size()) - 1};
}

void ReferenceBackend::BeginStep(const Batch& batch) {
  FOURSTEP_CHECK(!in_step_ && batch.num_rows() <= max_rows_, "{} rows", batch.num_rows());
  FOURSTEP_CHECK(batch.positions.size() == batch.tokens.size() && batch.slots.size() == batch.tokens.size());
  batch_ = &batch;
  in_step_ = true;
  logits_.clear();
  tokens_.assign(batch.tokens.begin(), batch.tokens.end());
  for (size_t r = 0; r < tokens_.size(); ++r) {
    if (tokens_[r] == kLastDrawnToken) tokens_[r] = slots_.LastToken(batch.slots[r]);
  }
}

void ReferenceBackend::EndStep() {
  FOURSTEP_CHECK(in_step_);
  in_step_ = false;
}

void ReferenceBackend::Draw() {
  const size_t num_draws = batch_->draw_rows.size();
  if (num_draws == 0) return;
  const size_t vocab = logits_.size() / num_draws;
  for (size_t d = 0; d < num_draws; ++d) {
    const auto row = static_cast<size_t>(batch_->draw_rows[d]);
    slots_.Draw(batch_->slots[row], std::span(logits_).subspan(d * vocab, vocab));
  }
}

}  // namespace fourstep
