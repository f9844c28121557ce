#include "cuda/cuda_backend.h"

#include <fmt/format.h>

#include <algorithm>

#include "backend/kv_cache_check.h"
#include "backend/linear_stack.h"
#include "cuda/cuda_impl.h"
#include "sampling/boundary_tokens.h"

namespace fourstep {

int32_t CountCudaDevices() {
  int count = 0;
  if (cudaGetDeviceCount(&count) == cudaSuccess) return count;
  (void)cudaGetLastError();
  return 0;
}

std::unique_ptr<Backend> MakeCudaBackend(const CudaOptions& options) {
  constexpr int32_t kMaxRows = 1 << 16;
  if (options.max_rows < 1 || options.max_rows > kMaxRows)
    throw Errorf("max_rows", "is {}, expected 1..{}", options.max_rows, kMaxRows);
  const int32_t num_devices = CountCudaDevices();
  if (num_devices == 0) throw Error("cuda", "no device can be used: no NVIDIA GPU, or no driver for CUDA 13");
  if (options.device < 0 || options.device >= num_devices)
    throw Errorf("cuda", "has no device {}, expected 0..{}", options.device, num_devices - 1);
  return std::make_unique<cuda::CudaBackend>(options);
}

namespace cuda {
namespace {

constexpr size_t kRingSteps = 8;  // steps of max_rows draws that may be unread

int32_t PaddedTo64(int64_t n) {
  return static_cast<int32_t>((n + 63) / 64 * 64);
}

}  // namespace

CudaBackend::CudaBackend(const CudaOptions& options) : max_rows_(options.max_rows), device_(options.device) {
  FOURSTEP_CUDA(cudaSetDevice(device_));
  cudaDeviceProp properties{};
  FOURSTEP_CUDA(cudaGetDeviceProperties(&properties, device_));
  if (properties.major < 8)
    throw Errorf("cuda", "device {} ({}) has compute capability {}.{}, expected 8.0 or more", device_,
                 properties.name, properties.major, properties.minor);
  name_ = fmt::format("cuda ({}, {} SMs)", properties.name, properties.multiProcessorCount);
  limits_ = {.num_sms = properties.multiProcessorCount,
             .shared_bytes_per_block = static_cast<int32_t>(properties.sharedMemPerBlockOptin),
             .l2_bytes = properties.l2CacheSize};
#if defined(FOURSTEP_HAS_SM90A)
  limits_.has_wgmma = properties.major == 9;
#endif
  FOURSTEP_CUDA(cudaStreamCreateWithFlags(&stream_, cudaStreamNonBlocking));
  const auto rows = static_cast<size_t>(max_rows_);
  tokens_ = DeviceArray<int32_t>(rows, "step");
  positions_ = DeviceArray<int32_t>(rows, "step");
  slots_ = DeviceArray<int32_t>(rows, "step");
  draw_rows_ = DeviceArray<int32_t>(rows, "step");
  row_tiles_ = DeviceArray<int32_t>(2 * rows, "step");
  num_done_ = DeviceArray<int32_t>(1, "step");
  next_record_ = DeviceArray<uint64_t>(1, "step");
  num_written_ = PinnedArray<uint64_t>(1);
  ring_ = PinnedArray<TokenRecord>(kRingSteps * rows);
}

CudaBackend::~CudaBackend() {
  (void)cudaStreamSynchronize(stream_);
  DropGraphs();
  (void)cudaStreamDestroy(stream_);
}

CudaBackend::Activation& CudaBackend::activation(ActivationId id) {
  FOURSTEP_CHECK(id.id >= 0 && static_cast<size_t>(id.id) < activations_.size(), "activation {}", id.id);
  return activations_[static_cast<size_t>(id.id)];
}

const PackedLinear& CudaBackend::linear(LinearId id) const {
  FOURSTEP_CHECK(id.id >= 0 && static_cast<size_t>(id.id) < linears_.size(), "linear {}", id.id);
  return linears_[static_cast<size_t>(id.id)];
}

const float* CudaBackend::VectorData(VectorId id) const {
  if (id.id < 0) return nullptr;
  FOURSTEP_CHECK(static_cast<size_t>(id.id) < vectors_.size(), "vector {}", id.id);
  return vectors_[static_cast<size_t>(id.id)].data();
}

LinearId CudaBackend::AddLinear(std::span<const LinearWeight> weights, Numerics numerics) {
  CheckStack(weights, numerics);
  linears_.emplace_back(weights, numerics);
  return {static_cast<int32_t>(linears_.size()) - 1};
}

VectorId CudaBackend::AddVector(std::span<const float> values) {
  if (values.size() > kMaxNormColumns)
    throw Errorf("norm", "has {} weights, expected at most {} on a GPU", values.size(), kMaxNormColumns);
  std::vector<float> padded(values.begin(), values.end());
  padded.resize(static_cast<size_t>(PaddedTo64(static_cast<int64_t>(values.size()))), 0.0f);
  vectors_.emplace_back(padded, "weights");
  vector_sizes_.push_back(static_cast<int32_t>(values.size()));
  return {static_cast<int32_t>(vectors_.size()) - 1};
}

EmbeddingId CudaBackend::AddEmbedding(const LinearWeight& table) {
  CheckTable(table);
  const int32_t stride = PaddedTo64(table.k);
  std::vector<uint16_t> values(static_cast<size_t>(table.n * stride));
  std::vector<float> row(static_cast<size_t>(table.k));
  for (int64_t n = 0; n < table.n; ++n) {
    uint16_t* to = values.data() + n * stride;
    if (table.format == WeightFormat::kBf16) {
      std::memcpy(to, table.values.data() + n * 2 * table.k, static_cast<size_t>(2 * table.k));
      continue;
    }
    DecodeRow(table, n, row.data());
    for (const float x : row) *to++ = BFloat16::Encode(x).bits;
  }
  embeddings_.push_back({DeviceArray<uint16_t>(values, "weights"), table.n, stride});
  return {static_cast<int32_t>(embeddings_.size()) - 1};
}

ActivationId CudaBackend::AddActivation(int32_t width) {
  FOURSTEP_CHECK(width > 0, "width {}", width);
  const int32_t stride = PaddedTo64(width);
  const size_t count = static_cast<size_t>(max_rows_) * static_cast<size_t>(stride);
  activations_.push_back({DeviceArray<uint16_t>(count, "activations"), width, stride, {}});
  return {static_cast<int32_t>(activations_.size()) - 1};
}

void CudaBackend::AllocateKvCache(const KvCacheShape& shape, const RopeTable& rope) {
  CheckKvCache(shape, rope);
  const AttentionShape& a = shape.attention;
  FOURSTEP_CHECK(a.head_dim <= 256, "heads of {}", a.head_dim);
  cache_shape_ = shape;
  inv_freq_ = DeviceArray<float>(rope.inv_freq, "rope");
  int32_t padded_dim = PaddedTo64(a.head_dim);
  if (padded_dim == 192) padded_dim = 256;
  cache_ = {.k = nullptr,
            .v = nullptr,
            .is_fp8 = shape.format == KvCacheFormat::kFp8,
            .k_scale = 1,
            .v_scale = 1,
            .inv_freq = inv_freq_.data(),
            .rope_factor = rope.attention_factor,
            .num_heads = a.num_heads,
            .num_kv_heads = a.num_kv_heads,
            .head_dim = a.head_dim,
            .padded_dim = padded_dim,
            .block_tokens = shape.block_tokens,
            .groups_per_block = (shape.block_tokens + kGroupTokens - 1) / kGroupTokens};
  const size_t num_bytes = static_cast<size_t>(shape.num_layers) * static_cast<size_t>(shape.num_blocks) *
                           static_cast<size_t>(a.num_kv_heads) *
                           static_cast<size_t>(cache_.groups_per_block * kGroupTokens) *
                           static_cast<size_t>(padded_dim * KvCacheValueBytes(shape.format));
  k_cache_ = {};
  v_cache_ = {};
  k_cache_ = DeviceArray<uint8_t>(num_bytes, "kv cache");
  v_cache_ = DeviceArray<uint8_t>(num_bytes, "kv cache");
  turns_ = DeviceArray<float2>(static_cast<size_t>(max_rows_) * static_cast<size_t>(a.head_dim / 2), "rope");
  attention_partial_ = DeviceArray<float>(static_cast<size_t>(WorkspaceFloats(cache_)), "attention");
  attention_arrived_ = DeviceArray<int32_t>(static_cast<size_t>(WorkspaceCounters(cache_)), "attention");
  AllocateSlots(shape.max_slots);
  DropGraphs();
}

// Keeps what running answers have.
void CudaBackend::AllocateSlots(int32_t count) {
  if (count <= num_slots_) return;
  FOURSTEP_CUDA(cudaStreamSynchronize(stream_));
  DeviceArray<SlotState> states(static_cast<size_t>(count), "slots");
  DeviceArray<int32_t> last(static_cast<size_t>(count), "slots");
  if (num_slots_ > 0) {
    FOURSTEP_CUDA(
        cudaMemcpy(states.data(), slot_states_.data(), slot_states_.bytes(), cudaMemcpyDeviceToDevice));
    FOURSTEP_CUDA(
        cudaMemcpy(last.data(), last_tokens_.data(), last_tokens_.bytes(), cudaMemcpyDeviceToDevice));
  }
  slot_states_ = std::move(states);
  last_tokens_ = std::move(last);
  adjustments_.Resize(count);
  num_slots_ = count;
  DropGraphs();
}

void CudaBackend::ReserveLogits(int32_t num_draws, int32_t vocab) {
  if (num_draws <= logits_rows_ && vocab == vocab_) return;
  FOURSTEP_CUDA(cudaStreamSynchronize(stream_));
  const int32_t rows = std::min(max_rows_, std::max({num_draws, 2 * logits_rows_, 8}));
  const auto count = static_cast<size_t>(rows);
  logits_ = {};
  logits_ = DeviceArray<float>(count * static_cast<size_t>(vocab), "logits");
  part_stats_ = DeviceArray<PartStats>(count * kStatParts, "logits");
  part_mass_ = DeviceArray<uint64_t>(count * kStatParts, "logits");
  part_bins_ = DeviceArray<uint64_t>(count * kStatParts * kMassBins, "logits");
  decisions_ = DeviceArray<RowDecision>(count, "logits");
  list_ = DeviceArray<ListedToken>(count * kListCapacity, "logits");
  list_count_ = DeviceArray<int32_t>(count, "logits");
  adjusted_ = {};
  part_top_ = {};
  logits_rows_ = rows;
  vocab_ = vocab;
  DropGraphs();
}

// What extras need beside the logits, for as many rows: before the first step there are none, and Draw asks
// again.
void CudaBackend::ReserveExtras(const DrawExtras& extras) {
  const bool needs_adjusted = extras.adjusts && adjusted_.size() == 0;
  const bool needs_top = extras.has_top && part_top_.size() == 0;
  if (!needs_adjusted && !needs_top) return;
  FOURSTEP_CUDA(cudaStreamSynchronize(stream_));
  const auto count = static_cast<size_t>(logits_rows_);
  if (needs_adjusted)
    adjusted_ = DeviceArray<float>(count * static_cast<size_t>(vocab_), "penalties, logit bias or pattern");
  if (needs_top) part_top_ = DeviceArray<uint64_t>(count * kStatParts * kMaxTopLogprobs, "top_logprobs");
  if (needs_top && top_ring_.size() == 0) top_ring_ = PinnedArray<TopTokens>(ring_.size());
  DropGraphs();
}

void CudaBackend::SetSlot(int32_t slot, const SamplingRequest& request, std::span<const int32_t> prompt) {
  FOURSTEP_CHECK(slot >= 0, "slot {}", slot);
  AllocateSlots(slot + 1);
  adjustments_.Set(slot, request, prompt, num_drawable_, stream_);
  ReserveExtras(adjustments_.ExtrasOf(slot));  // now, so that for want of memory this request fails alone
  const SlotState state{.params = request.params, .policy = {}, .output_position = 0};
  constexpr int32_t kNone = -1;
  FOURSTEP_CUDA(
      cudaMemcpyAsync(slot_states_.data() + slot, &state, sizeof state, cudaMemcpyHostToDevice, stream_));
  FOURSTEP_CUDA(
      cudaMemcpyAsync(last_tokens_.data() + slot, &kNone, sizeof kNone, cudaMemcpyHostToDevice, stream_));
  FOURSTEP_CUDA(cudaStreamSynchronize(stream_));
}

void CudaBackend::SetBoundaryTokens(std::span<const int32_t> contains_blank_line,
                                    std::span<const int32_t> is_newline, int32_t num_drawable) {
  FOURSTEP_CUDA(cudaStreamSynchronize(stream_));
  const BoundaryTokens tokens(contains_blank_line, is_newline, num_drawable);
  std::vector<uint8_t> classes;
  for (const TokenClass c : tokens.classes()) classes.push_back(static_cast<uint8_t>(c));
  classes_ = DeviceArray<uint8_t>(classes, "boundary tokens");
  num_drawable_ = num_drawable;
  DropGraphs();
}

std::vector<DrawResult> CudaBackend::ReadRecords(bool wait) {
  if (wait) FOURSTEP_CUDA(cudaStreamSynchronize(stream_));
  const uint64_t written = *const_cast<volatile uint64_t*>(num_written_.data());
  __atomic_thread_fence(__ATOMIC_ACQUIRE);
  std::vector<DrawResult> records;
  for (; num_read_ < written; ++num_read_) {
    const size_t at = num_read_ % ring_.size();
    records.push_back({ring_.data()[at]});
    if (top_ring_.size() == 0) continue;
    const TopTokens& top = top_ring_.data()[at];
    if (top.record == num_read_) records.back().top.assign(top.tokens, top.tokens + top.count);
  }
  return records;
}

std::vector<float> CudaBackend::ReadLogits() {
  FOURSTEP_CUDA(cudaStreamSynchronize(stream_));
  return logits_.Read(static_cast<size_t>(shape_.num_draws) * static_cast<size_t>(vocab_));
}

std::vector<float> CudaBackend::ReadActivation(ActivationId id) {
  if (in_step_) {
    has_split_ = true;
    LaunchAll();
    program_.clear();
  }
  FOURSTEP_CUDA(cudaStreamSynchronize(stream_));
  const Activation& x = activation(id);
  const float scale = x.consumer.id >= 0 ? linear(x.consumer).input_scale() : 1.0f;
  const std::vector<uint16_t> rows =
      x.values.Read(static_cast<size_t>(shape_.num_rows) * static_cast<size_t>(x.stride));
  std::vector<float> out;
  for (int32_t r = 0; r < shape_.num_rows; ++r) {
    for (int32_t i = 0; i < x.width; ++i)
      out.push_back(
          BFloat16::Decode(
              {rows[static_cast<size_t>(r) * static_cast<size_t>(x.stride) + static_cast<size_t>(i)]}) *
          scale);
  }
  return out;
}

}  // namespace cuda
}  // namespace fourstep
