// A step as it is recorded: what it works on, and its operations. cuda_program.cc runs it.
#include <algorithm>

#include "cuda/context_splits.h"
#include "cuda/cuda_impl.h"

namespace fourstep::cuda {
namespace {

constexpr size_t kStagingValues = 1 << 16;

// Whether no two rows are of one sequence: none then reads what another appends.
bool HasSlotsApart(const Batch& batch) {
  std::vector<int32_t> slots(batch.slots.begin(), batch.slots.end());
  std::sort(slots.begin(), slots.end());
  return std::adjacent_find(slots.begin(), slots.end()) == slots.end();
}

}  // namespace

// --- Recording

void CudaBackend::CheckBatch(const Batch& batch) const {
  FOURSTEP_CHECK(batch.num_rows() <= max_rows_, "{} rows", batch.num_rows());
  FOURSTEP_CHECK(batch.positions.size() == batch.tokens.size() && batch.slots.size() == batch.tokens.size() &&
                 batch.draw_rows.size() <= batch.tokens.size());
  for (size_t r = 0; r < batch.tokens.size(); ++r) {
    FOURSTEP_CHECK(batch.slots[r] >= 0 && batch.positions[r] >= 0 && batch.tokens[r] >= kLastDrawnToken,
                   "row {}: slot {}, position {}, token {}", r, batch.slots[r], batch.positions[r],
                   batch.tokens[r]);
    if (batch.tokens[r] == kLastDrawnToken)
      FOURSTEP_CHECK(batch.slots[r] < num_slots_, "slot {}", batch.slots[r]);
  }
}

void CudaBackend::BeginStep(const Batch& batch) {
  FOURSTEP_CHECK(!in_step_);
  CheckBatch(batch);
  in_step_ = true;
  has_split_ = false;
  program_.clear();
  shape_ = {.num_rows = batch.num_rows(),
            .num_draws = static_cast<int32_t>(batch.draw_rows.size()),
            .max_blocks = batch.max_blocks,
            .has_slots_apart = HasSlotsApart(batch)};
  for (const int32_t row : batch.draw_rows) {
    const DrawExtras extras = adjustments_.ExtrasOf(batch.slots[static_cast<size_t>(row)]);
    shape_.extras.adjusts |= extras.adjusts;
    shape_.extras.has_top |= extras.has_top;
  }
  for (const int32_t position : batch.positions)
    shape_.max_context = std::max(shape_.max_context, position + 1);
  shape_.max_context = RoundedContext(shape_.max_context);
  max_token_ = 0;
  for (const int32_t token : batch.tokens) max_token_ = std::max(max_token_, token);
  Upload(batch);
  UploadTiles(batch);
}

void CudaBackend::SetForm(Activation& out, LinearId consumer) {
  out.consumer = {};
  if (consumer.id < 0) return;
  FOURSTEP_CHECK(linear(consumer).view().k == out.width, "consumer reads {} values, rows have {}",
                 linear(consumer).view().k, out.width);
  if (linear(consumer).reads_special_form()) out.consumer = consumer;
}

void CudaBackend::ExpectForm(const Activation& x, LinearId reader) const {
  const PackedLinear& l = linear(reader);
  FOURSTEP_CHECK(l.view().k == x.width, "linear reads {} values, rows have {}", l.view().k, x.width);
  const bool fits = x.consumer.id < 0 ? !l.reads_special_form() : l.ReadsFormOf(linear(x.consumer));
  FOURSTEP_CHECK(fits, "rows are not in the form that linear {} reads", reader.id);
}

void CudaBackend::Embed(ActivationId out, EmbeddingId table) {
  Activation& to = activation(out);
  const Embedding& from = embeddings_.at(static_cast<size_t>(table.id));
  FOURSTEP_CHECK(from.stride == to.stride && max_token_ < from.n, "token {} of {}", max_token_, from.n);
  SetForm(to, {});
  program_.push_back({.kind = Kind::kEmbed, .out = out.id, .x = table.id});
}

void CudaBackend::Norm(ActivationId out, ActivationId x, VectorId weight, float epsilon, LinearId consumer) {
  Activation& to = activation(out);
  const Activation& from = activation(x);
  FOURSTEP_CHECK(from.consumer.id < 0 && from.width == to.width &&
                     vector_sizes_.at(static_cast<size_t>(weight.id)) == from.width,
                 "norm of {} values to {}", from.width, to.width);
  SetForm(to, consumer);
  program_.push_back({.kind = Kind::kNorm,
                      .out = out.id,
                      .x = x.id,
                      .linear = to.consumer.id,
                      .vector = weight.id,
                      .epsilon = epsilon});
}

void CudaBackend::Linear(ActivationId out, ActivationId x, LinearId linear_id) {
  Activation& to = activation(out);
  ExpectForm(activation(x), linear_id);
  FOURSTEP_CHECK(linear(linear_id).view().n == to.width, "{} outputs, rows have {}",
                 linear(linear_id).view().n, to.width);
  SetForm(to, {});
  program_.push_back({.kind = Kind::kLinear, .out = out.id, .x = x.id, .linear = linear_id.id});
}

void CudaBackend::LinearResidual(ActivationId residual, ActivationId x, LinearId linear_id) {
  const Activation& to = activation(residual);
  ExpectForm(activation(x), linear_id);
  FOURSTEP_CHECK(linear(linear_id).view().n == to.width && to.consumer.id < 0, "{} outputs, rows have {}",
                 linear(linear_id).view().n, to.width);
  program_.push_back({.kind = Kind::kResidual, .out = residual.id, .x = x.id, .linear = linear_id.id});
}

void CudaBackend::GatedLinear(ActivationId out, ActivationId x, LinearId gate_up, LinearId consumer) {
  Activation& to = activation(out);
  ExpectForm(activation(x), gate_up);
  FOURSTEP_CHECK(linear(gate_up).view().pair_outputs == to.width, "{} gated outputs, rows have {}",
                 linear(gate_up).view().pair_outputs, to.width);
  SetForm(to, consumer);
  program_.push_back(
      {.kind = Kind::kGated, .out = out.id, .x = x.id, .linear = gate_up.id, .vector2 = to.consumer.id});
}

void CudaBackend::RotateAndAppend(ActivationId qkv, int32_t layer, VectorId q_norm, VectorId k_norm,
                                  float epsilon) {
  const Activation& x = activation(qkv);
  FOURSTEP_CHECK(x.consumer.id < 0 && x.width == cache_shape_.attention.qkv_width() && layer >= 0 &&
                     layer < cache_shape_.num_layers,
                 "qkv of width {}, layer {}", x.width, layer);
  program_.push_back({.kind = Kind::kRotate,
                      .x = qkv.id,
                      .vector = q_norm.id,
                      .vector2 = k_norm.id,
                      .layer = layer,
                      .epsilon = epsilon});
}

void CudaBackend::Attention(ActivationId out, ActivationId qkv, int32_t layer, LinearId consumer) {
  Activation& to = activation(out);
  FOURSTEP_CHECK(to.width == cache_.num_heads * cache_.head_dim && layer >= 0 &&
                 layer < cache_shape_.num_layers);
  SetForm(to, consumer);
  program_.push_back(
      {.kind = Kind::kAttention, .out = out.id, .x = qkv.id, .linear = to.consumer.id, .layer = layer});
}

void CudaBackend::Head(ActivationId x, VectorId norm, float epsilon, LinearId head) {
  const Activation& from = activation(x);
  FOURSTEP_CHECK(from.consumer.id < 0 && linear(head).view().k == from.width);
  if (head_rows_.width != from.width) {
    head_rows_ = {
        DeviceArray<uint16_t>(static_cast<size_t>(max_rows_) * static_cast<size_t>(from.stride), "head"),
        from.width,
        from.stride,
        {}};
    DropGraphs();
  }
  ReserveLogits(shape_.num_draws, linear(head).view().n);
  program_.push_back(
      {.kind = Kind::kHead, .x = x.id, .linear = head.id, .vector = norm.id, .epsilon = epsilon});
}

void CudaBackend::Draw() {
  ReserveExtras(shape_.extras);
  program_.push_back({.kind = Kind::kDraw});
}

void CudaBackend::EndStep() {
  FOURSTEP_CHECK(in_step_);
  in_step_ = false;
  RunProgram();
}

// --- What a step works on

// Brings `to` to `wanted`. Small pieces travel through a ring of pinned memory; the host waits where it laps
// the device, which a run of steps that upload nothing never does.
void CudaBackend::UploadArray(std::vector<int32_t>& held, std::span<const int32_t> wanted, int32_t* to) {
  if (wanted.empty()) return;
  if (held.size() >= wanted.size() && std::equal(wanted.begin(), wanted.end(), held.begin())) return;
  if (held.size() < wanted.size()) held.resize(wanted.size());
  std::copy(wanted.begin(), wanted.end(), held.begin());
  if (staging_.size() == 0) staging_ = PinnedArray<int32_t>(kStagingValues);
  for (size_t done = 0; done < wanted.size();) {
    const size_t count = std::min(wanted.size() - done, staging_.size() / 2);
    if (staging_at_ + count > staging_.size()) {
      FOURSTEP_CUDA(cudaStreamSynchronize(stream_));
      staging_at_ = 0;
    }
    int32_t* from = staging_.data() + staging_at_;
    std::copy_n(wanted.begin() + static_cast<ptrdiff_t>(done), count, from);
    FOURSTEP_CUDA(cudaMemcpyAsync(to + done, from, count * sizeof(int32_t), cudaMemcpyHostToDevice, stream_));
    staging_at_ += count;
    done += count;
  }
}

void CudaBackend::ReserveTables(size_t count) {
  if (count <= block_tables_.size()) return;
  FOURSTEP_CUDA(cudaStreamSynchronize(stream_));
  block_tables_ = DeviceArray<int32_t>(count, "block tables");
  held_.block_tables.clear();
  DropGraphs();
}

void CudaBackend::Upload(const Batch& batch) {
  ReserveTables(batch.block_tables.size());
  UploadArray(held_.tokens, batch.tokens, tokens_.data());
  UploadArray(held_.positions, batch.positions, positions_.data());
  UploadArray(held_.slots, batch.slots, slots_.data());
  UploadArray(held_.draw_rows, batch.draw_rows, draw_rows_.data());
  UploadArray(held_.block_tables, batch.block_tables, block_tables_.data());
  step_ = {.tokens = tokens_.data(),
           .positions = positions_.data(),
           .slots = slots_.data(),
           .draw_rows = draw_rows_.data(),
           .block_tables = block_tables_.data(),
           .max_blocks = batch.max_blocks,
           .turns = turns_.data()};
}

// Which rows attention computes together: in numbers for the shape, and their list for the device.
void CudaBackend::UploadTiles(const Batch& batch) {
  shape_.num_alone = shape_.num_rows;
  shape_.num_shared = 0;
  if (shape_.has_slots_apart || cache_.block_tokens == 0) return;
  const RowTiles tiles = RowTilesOf(batch, cache_);
  shape_.num_alone = tiles.num_alone;
  shape_.num_shared = tiles.num_shared;
  UploadArray(held_.row_tiles, tiles.tiles, row_tiles_.data());
}

}  // namespace fourstep::cuda
