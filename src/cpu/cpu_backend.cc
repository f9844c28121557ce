#include "cpu/cpu_backend.h"

#include <cmath>

#include "backend/linear_stack.h"
#include "base/check.h"
#include "base/error.h"
#include "cpu/cpu_impl.h"

namespace fourstep {

std::unique_ptr<Backend> MakeCpuBackend(const CpuOptions& options) {
  constexpr int32_t kMaxRows = 1 << 16, kMaxThreads = ThreadPool::kMaxThreads;
  if (options.max_rows < 1 || options.max_rows > kMaxRows)
    throw Errorf("max_rows", "is {}, expected 1..{}", options.max_rows, kMaxRows);
  if (options.num_threads < 0 || options.num_threads > kMaxThreads)
    throw Errorf("num_threads", "is {}, expected 0..{}", options.num_threads, kMaxThreads);
  const cpu::Kernels* kernels = cpu::FindKernels(options.path.c_str());
  if (kernels == nullptr)
    throw Errorf("cpu path", "'{}' is not one that this machine has: expected avx512-vnni, avx2 or portable",
                 Printable(options.path));
  const int num_threads = options.num_threads > 0 ? options.num_threads : NumUsableCores();
  return std::make_unique<cpu::CpuBackend>(*kernels, num_threads, options.max_rows);
}

namespace cpu {

std::string CpuBackend::name() const {
  const int n = threads_.num_threads();
  return fmt::format("cpu ({}, {} thread{})", kernels_.name, n, n == 1 ? "" : "s");
}

Rows& CpuBackend::rows(ActivationId id) {
  FOURSTEP_CHECK(id.id >= 0 && static_cast<size_t>(id.id) < rows_.size(), "activation {}", id.id);
  return rows_[static_cast<size_t>(id.id)];
}

const PreparedLinear& CpuBackend::linear(LinearId id) const {
  FOURSTEP_CHECK(id.id >= 0 && static_cast<size_t>(id.id) < linears_.size(), "linear {}", id.id);
  return linears_[static_cast<size_t>(id.id)];
}

const CpuBackend::Vector& CpuBackend::vector(VectorId id) const {
  FOURSTEP_CHECK(id.id >= 0 && static_cast<size_t>(id.id) < vectors_.size(), "vector {}", id.id);
  return vectors_[static_cast<size_t>(id.id)];
}

VectorId CpuBackend::AddVector(std::span<const float> values) {
  Vector v{.n = static_cast<int64_t>(values.size()), .values = {values.begin(), values.end()}};
  v.values.resize(static_cast<size_t>(RoundUp16(v.n)), 0.0f);
  vectors_.push_back(std::move(v));
  return {static_cast<int32_t>(vectors_.size()) - 1};
}

EmbeddingId CpuBackend::AddEmbedding(const LinearWeight& table) {
  CheckTable(table);
  Embedding embedding{.n = table.n, .k = table.k, .values = {}};
  embedding.values.reserve(static_cast<size_t>(table.n * table.k));
  std::vector<float> row(static_cast<size_t>(table.k));
  for (int64_t n = 0; n < table.n; ++n) {
    DecodeRow(table, n, row.data());
    for (const float x : row) embedding.values.push_back(BFloat16::Encode(x).bits);
  }
  embeddings_.push_back(std::move(embedding));
  return {static_cast<int32_t>(embeddings_.size()) - 1};
}

ActivationId CpuBackend::AddActivation(int32_t width) {
  FOURSTEP_CHECK(width > 0, "width {}", width);
  rows_.emplace_back(width, max_rows_);
  return {static_cast<int32_t>(rows_.size()) - 1};
}

void CpuBackend::BeginStep(const Batch& batch) {
  FOURSTEP_CHECK(!in_step_ && batch.num_rows() <= max_rows_, "{} rows", batch.num_rows());
  FOURSTEP_CHECK(batch.positions.size() == batch.tokens.size() && batch.slots.size() == batch.tokens.size());
  batch_ = &batch;
  in_step_ = true;
  logits_.clear();
  tokens_.assign(batch.tokens.begin(), batch.tokens.end());
  const size_t half = rope_.inv_freq.size();
  cos_.resize(tokens_.size() * half);
  sin_.resize(tokens_.size() * half);
  for (size_t r = 0; r < tokens_.size(); ++r) {
    if (tokens_[r] == kLastDrawnToken) tokens_[r] = slots_.LastToken(batch.slots[r]);
    for (size_t i = 0; i < half; ++i) {
      const double angle = static_cast<float>(batch.positions[r]) * rope_.inv_freq[i];
      cos_[r * half + i] = static_cast<float>(std::cos(angle)) * rope_.attention_factor;
      sin_[r * half + i] = static_cast<float>(std::sin(angle)) * rope_.attention_factor;
    }
  }
}

void CpuBackend::EndStep() {
  FOURSTEP_CHECK(in_step_);
  in_step_ = false;
}

void CpuBackend::Draw() {
  const size_t num_draws = batch_->draw_rows.size();
  if (num_draws == 0) return;
  const size_t vocab = logits_.size() / num_draws;
  for (size_t d = 0; d < num_draws; ++d) {
    const auto row = static_cast<size_t>(batch_->draw_rows[d]);
    slots_.Draw(batch_->slots[row], std::span(logits_).subspan(d * vocab, vocab));
  }
}

}  // namespace cpu
}  // namespace fourstep
