#include "analysis/forced_reader.h"

#include <numeric>
#include <string>

#include "base/check.h"
#include "runtime/backends.h"

namespace fourstep {
namespace {

std::vector<int32_t> Counting(int32_t first, size_t count) {
  std::vector<int32_t> numbers(count);
  std::iota(numbers.begin(), numbers.end(), first);
  return numbers;
}

}  // namespace

ForcedReader::ForcedReader(const EngineOptions& options, int32_t max_tokens) {
  Checkpoint checkpoint = Checkpoint::Open(options.model);
  vocab_size_ = static_cast<int32_t>(checkpoint.config().vocab_size);
  backend_ = MakeBackend({.name = options.backend,
                          .cpu_path = options.cpu_path,
                          .num_threads = options.num_threads,
                          .max_rows = kChunkTokens});
  const int32_t num_blocks = (max_tokens + kCacheBlockTokens - 1) / kCacheBlockTokens;
  model_ = Model::Load(checkpoint, *backend_,
                       {.numerics = ParseNumerics(options.numerics),
                        .kv_cache = ParseKvCacheFormat(options.kv_cache),
                        .max_slots = 1,
                        .block_tokens = kCacheBlockTokens,
                        .num_cache_blocks = num_blocks});
  block_table_ = Counting(0, static_cast<size_t>(num_blocks));
}

std::vector<float> ForcedReader::Read(std::span<const int32_t> tokens, int32_t begin, int32_t first_row) {
  const auto num_rows = static_cast<int32_t>(tokens.size());
  FOURSTEP_CHECK(num_rows > 0 && num_rows <= kChunkTokens && first_row <= num_rows &&
                     static_cast<size_t>(begin + num_rows) <= block_table_.size() * kCacheBlockTokens,
                 "{} tokens from {}, logits from {}", num_rows, begin, first_row);
  const std::vector<int32_t> positions = Counting(begin, tokens.size());
  const std::vector<int32_t> slots(tokens.size(), 0);
  const std::vector<int32_t> draw_rows = Counting(first_row, static_cast<size_t>(num_rows - first_row));
  Batch batch;
  batch.tokens = tokens;
  batch.positions = positions;
  batch.slots = slots;
  batch.draw_rows = draw_rows;
  batch.block_tables = block_table_;
  batch.max_blocks = static_cast<int32_t>(block_table_.size());
  backend_->BeginStep(batch);
  model_->Forward();
  backend_->EndStep();
  return draw_rows.empty() ? std::vector<float>() : backend_->ReadLogits();
}

}  // namespace fourstep
