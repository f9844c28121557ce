// A recorded step as it runs: as a captured graph where a step of the same shape ran before, else launch by
// launch.
#include <algorithm>

#include "cuda/cuda_impl.h"

namespace fourstep::cuda {
namespace {

// Steps of more rows than this are long enough to launch kernel by kernel.
constexpr int32_t kMaxGraphRows = 64;
constexpr size_t kMaxGraphs = 96;
// For more rows linears wait for their arithmetic, not for memory.
constexpr int32_t kMostAheadRows = 8;

}  // namespace

void CudaBackend::DropGraphs() {
  for (const Graph& graph : graphs_) {
    if (graph.exec != nullptr) (void)cudaGraphExecDestroy(graph.exec);
  }
  graphs_.clear();
}

void CudaBackend::RunProgram() {
  const bool draws = !program_.empty() && program_.back().kind == Kind::kDraw;
  if (draws) {
    num_launched_ += static_cast<uint64_t>(shape_.num_draws);
    FOURSTEP_CHECK(num_launched_ - num_read_ <= ring_.size(), "{} records were not read",
                   num_launched_ - num_read_);
  }
  const bool may_capture = !has_split_ && shape_.num_rows <= kMaxGraphRows;
  const auto found = std::find_if(graphs_.begin(), graphs_.end(),
                                  [&](const Graph& g) { return g.shape == shape_ && g.program == program_; });
  if (!may_capture) {
    LaunchAll();
  } else if (found == graphs_.end()) {
    if (graphs_.size() == kMaxGraphs) {
      FOURSTEP_CUDA(cudaStreamSynchronize(stream_));
      DropGraphs();
    }
    graphs_.push_back({shape_, program_, nullptr});
    LaunchAll();
  } else {
    if (found->exec == nullptr) {  // the second time: it will come again
      cudaGraph_t graph;
      FOURSTEP_CUDA(cudaStreamBeginCapture(stream_, cudaStreamCaptureModeThreadLocal));
      is_capturing_ = true;
      LaunchAll();
      is_capturing_ = false;
      FOURSTEP_CUDA(cudaStreamEndCapture(stream_, &graph));
      FOURSTEP_CUDA(cudaGraphInstantiate(&found->exec, graph, 0));
      FOURSTEP_CUDA(cudaGraphDestroy(graph));
    }
    FOURSTEP_CUDA(cudaGraphLaunch(found->exec, stream_));
  }
  if (draws) {  // the device did the same (LaunchDraw)
    for (int32_t d = 0; d < shape_.num_draws; ++d) {
      const auto row = static_cast<size_t>(held_.draw_rows[static_cast<size_t>(d)]);
      held_.tokens[row] = kLastDrawnToken;
      ++held_.positions[row];
    }
  }
}

void CudaBackend::LaunchAll() {
  // Attention reads what earlier steps have written before it waits for the kernel before it: steps must not
  // overlap. Graphs do not.
  if (!is_capturing_) LaunchFence(stream_);
  const auto rotates = [](const Op& op) { return op.kind == Kind::kRotate; };
  if (shape_.num_rows > 0 && std::any_of(program_.begin(), program_.end(), rotates))
    LaunchTurns(cache_, step_, shape_.num_rows, stream_);
  for (size_t i = 0; i < program_.size(); ++i) {
    if (JoinsNext(i)) {
      LaunchAttentionOp(program_[i + 1], &program_[i]);
      ++i;
    } else {
      LaunchOp(i);
    }
  }
}

// Whether this is a rotation that the attention after it does too, on the way.
bool CudaBackend::JoinsNext(size_t i) const {
  if (has_split_ || shape_.num_rows == 0 || !shape_.has_slots_apart || i + 1 == program_.size()) return false;
  const Op &op = program_[i], &next = program_[i + 1];
  return op.kind == Kind::kRotate && next.kind == Kind::kAttention && next.x == op.x &&
         next.layer == op.layer && IsOnlyReader(i + 1);
}

// Whether no operation after `i` reads what it reads, before that is written anew.
bool CudaBackend::IsOnlyReader(size_t i) const {
  const int32_t id = program_[i].x;
  for (size_t j = i + 1; j < program_.size(); ++j) {
    const Op& op = program_[j];
    if (op.kind != Kind::kEmbed && op.x == id) return false;
    if (op.out == id) return op.kind != Kind::kResidual;
  }
  return true;
}

RowForm CudaBackend::FormOf(LinearId consumer) const {
  return consumer.id < 0 ? RowForm{} : linear(consumer).input_form();
}

void CudaBackend::LaunchOp(size_t i) {
  const Op& op = program_[i];
  const int32_t rows = shape_.num_rows;
  if (rows == 0) return;
  switch (op.kind) {
    case Kind::kEmbed:
      return LaunchEmbed(activation({op.out}).view(), embeddings_[static_cast<size_t>(op.x)].values.data(),
                         step_, last_tokens_.data(), rows, stream_);
    case Kind::kNorm:
      return LaunchNorm(activation({op.out}).view(), activation({op.x}).view(), VectorData({op.vector}),
                        op.epsilon, FormOf({op.linear}), nullptr, rows, stream_);
    case Kind::kLinear:
      return LaunchLinearOp(i, Epilogue::kStore);
    case Kind::kResidual:
      return LaunchLinearOp(i, Epilogue::kResidual);
    case Kind::kGated:
      return LaunchLinearOp(i, Epilogue::kGated);
    case Kind::kRotate:
      return LaunchRotateAndAppend(LayerCache(op.layer), activation({op.x}).view(), step_, NormsOf(op), rows,
                                   stream_);
    case Kind::kAttention:
      return LaunchAttentionOp(op, nullptr);
    case Kind::kHead:
      return LaunchHead(op);
    case Kind::kDraw:
      if (shape_.num_draws > 0) LaunchDraw(Sampling(), step_, shape_.num_draws, shape_.extras, stream_);
      return;
  }
}

HeadNorms CudaBackend::NormsOf(const Op& rotate) const {
  return {VectorData({rotate.vector}), VectorData({rotate.vector2}), rotate.epsilon};
}

// Of the linear after linear `i`, where a norm or nothing stands between them, and where it is long enough
// that memory is what it waits for. As much as memory brings while it is idle: tried on an H200 for the 8B,
// twice as much was slower.
WeightsAhead CudaBackend::WeightsAheadOf(size_t i) const {
  constexpr int32_t kPartOfL2 = 5;
  constexpr int64_t kLongBytes = 24'000'000, kBytesDuringNorm = 10'000'000, kBytes = 5'000'000;
  const auto kind_at = [&](size_t j) { return j < program_.size() ? program_[j].kind : Kind::kDraw; };
  const bool has_norm = kind_at(i + 1) == Kind::kNorm;
  const size_t next = i + (has_norm ? 2 : 1);
  const Kind kind = kind_at(next);
  const bool follows = has_norm ? kind == Kind::kLinear || kind == Kind::kGated
                                : kind_at(i) == Kind::kGated && kind == Kind::kResidual;
  if (!follows || shape_.num_rows > kMostAheadRows) return {};
  const LinearView v = linear({program_[next].linear}).view();
  const int64_t bytes = int64_t{v.num_tiles} * v.num_units * v.unit_bytes();
  if (v.kind != UnitKind::kFourBit || bytes < kLongBytes) return {};
  const int64_t wanted =
      std::min<int64_t>(has_norm ? kBytesDuringNorm : kBytes, limits_.l2_bytes / kPartOfL2);
  return {v.units, static_cast<int32_t>(wanted / 16 * 16)};
}

// Of the attention after linear `i`, where it fits the L2 cache beside what passes through meanwhile. Of a
// longer context a quarter was brought, in every split: one row at 32k then took 3.21 ms for 3.10, for what
// is not read soon has left again.
CacheAhead CudaBackend::CacheAheadOf(size_t i) const {
  if (i + 1 >= program_.size() || program_[i + 1].kind != Kind::kRotate || shape_.num_rows > kMostAheadRows)
    return {};
  const CacheView cache = LayerCache(program_[i + 1].layer);
  const int64_t block_bytes = int64_t{cache.num_kv_heads} * cache.groups_per_block * kGroupTokens *
                              cache.padded_dim * (cache.is_fp8 ? 1 : 2);
  const int64_t row_blocks = (shape_.max_context + cache.block_tokens - 1) / cache.block_tokens;
  const int64_t bytes = 2 * shape_.num_rows * row_blocks * block_bytes;
  if (block_bytes % kCachePieceBytes != 0 || bytes > int64_t{limits_.l2_bytes} / 5 * 4) return {};
  return {.k = static_cast<const uint8_t*>(cache.k),
          .v = static_cast<const uint8_t*>(cache.v),
          .step = step_,
          .num_rows = shape_.num_rows,
          .block_tokens = cache.block_tokens,
          .block_pieces = static_cast<int32_t>(2 * block_bytes / kCachePieceBytes),
          .block_bytes = static_cast<int32_t>(block_bytes)};
}

void CudaBackend::LaunchLinearOp(size_t i, Epilogue epilogue) {
  const Op& op = program_[i];
  const RowsView x = activation({op.x}).view(), out = activation({op.out}).view();
  LaunchLinear({.linear = linear({op.linear}).view(),
                .x = x.values,
                .x_stride = x.stride,
                .num_rows = shape_.num_rows,
                .out = out.values,
                .out_stride = out.stride,
                .epilogue = epilogue,
                .form = FormOf({op.vector2}),
                .weights_ahead = WeightsAheadOf(i),
                .cache_ahead = CacheAheadOf(i)},
               limits_, stream_);
}

void CudaBackend::LaunchAttentionOp(const Op& op, const Op* rotate) {
  // Blocks of 16 values must not cross heads where the kernel is to quantise them; where they do, afterwards.
  const RowForm form = FormOf({op.linear});
  const bool is_apart = form.is_nvfp4 && cache_.head_dim % 16 != 0;
  const RowsView out = activation({op.out}).view();
  LaunchAttention({.cache = LayerCache(op.layer),
                   .out = out,
                   .qkv = activation({op.x}).view(),
                   .form = is_apart ? RowForm{} : form,
                   .workspace = {attention_partial_.data(), attention_arrived_.data()},
                   .rotates = rotate != nullptr,
                   .norms = rotate != nullptr ? NormsOf(*rotate) : HeadNorms{}},
                  step_,
                  {.tiles = shape_.num_shared == 0 ? nullptr : row_tiles_.data(),
                   .num_alone = shape_.num_alone,
                   .num_shared = shape_.num_shared,
                   .num_rows = shape_.num_rows},
                  shape_.max_context, stream_);
  if (is_apart) LaunchEncode(out, form, shape_.num_rows, stream_);
}

void CudaBackend::LaunchHead(const Op& op) {
  if (shape_.num_draws == 0) return;
  const LinearId head{op.linear};
  LaunchNorm(head_rows_.view(), activation({op.x}).view(), VectorData({op.vector}), op.epsilon, FormOf(head),
             draw_rows_.data(), shape_.num_draws, stream_);
  LaunchLinear({.linear = linear(head).view(),
                .x = head_rows_.values.data(),
                .x_stride = head_rows_.stride,
                .num_rows = shape_.num_draws,
                .out = logits_.data(),
                .out_stride = vocab_,
                .epilogue = Epilogue::kLogits,
                .form = {}},
               limits_, stream_);
}

CacheView CudaBackend::LayerCache(int32_t layer) const {
  CacheView cache = cache_;
  const int64_t layer_bytes = static_cast<int64_t>(k_cache_.size()) / cache_shape_.num_layers;
  const KvScales scales = cache_shape_.scales_of(layer);
  cache.k = k_cache_.data() + layer * layer_bytes;
  cache.v = v_cache_.data() + layer * layer_bytes;
  cache.k_scale = scales.k;
  cache.v_scale = scales.v;
  return cache;
}

SamplingView CudaBackend::Sampling() const {
  return {.logits = logits_.data(),
          .drawn_logits = shape_.extras.adjusts ? adjusted_.data() : logits_.data(),
          .adjusted = adjusted_.data(),
          .vocab = vocab_,
          .num_drawable = std::min(num_drawable_, vocab_),
          .slots = slot_states_.data(),
          .adjustments = adjustments_.views(),
          .last_tokens = last_tokens_.data(),
          .classes = classes_.data(),
          .num_classes = static_cast<int32_t>(classes_.size()),
          .stats = part_stats_.data(),
          .part_mass = part_mass_.data(),
          .part_bins = part_bins_.data(),
          .decisions = decisions_.data(),
          .list = list_.data(),
          .list_count = list_count_.data(),
          .part_top = part_top_.data(),
          .num_done = num_done_.data(),
          .ring = ring_.device_data(),
          .top_ring = top_ring_.device_data(),
          .num_written = num_written_.device_data(),
          .next_record = next_record_.data(),
          .ring_capacity = static_cast<int32_t>(ring_.size())};
}

}  // namespace fourstep::cuda
