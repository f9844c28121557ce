#include "cli/shape_decoder.h"

#include <algorithm>
#include <numeric>
#include <stdexcept>

#include "base/philox.h"
#include "cli/head_format.h"
#include "model/published_shapes.h"
#include "model/random_decoder.h"
#include "runtime/backends.h"
#include "runtime/request_runner.h"
#include "sampling/params.h"

namespace fourstep::cli {
namespace {

// Steps before those that are timed: a backend may record a step, capture it the second time and replay it
// from the third on.
constexpr int32_t kLeadInSteps = 3;

std::vector<int32_t> FirstTokens(int32_t batch) {
  std::vector<int32_t> tokens(static_cast<size_t>(batch));
  std::iota(tokens.begin(), tokens.end(), 11);
  return tokens;
}

std::vector<int32_t> FirstSlots(int32_t batch) {
  std::vector<int32_t> slots(static_cast<size_t>(batch));
  std::iota(slots.begin(), slots.end(), 0);
  return slots;
}

}  // namespace

BenchRow StepColumns(const ShapeOptions& options, const std::string& numerics, const std::string& policy,
                     int32_t batch, const Spread& step_us) {
  return {{"shape", options.shape},
          {"numerics", numerics},
          {"head", options.head},
          {"kv_cache", options.kv_cache},
          {"policy", policy},
          {"batch", batch},
          {"context_tokens", options.context_tokens},
          {"step_us", step_us.median},
          {"step_us_best", step_us.lowest},
          {"step_us_worst", step_us.highest}};
}

ShapeDecoder::ShapeDecoder(const ShapeOptions& options, const std::string& numerics)
    : shape_(PublishedShape(options.shape)),
      context_tokens_(options.context_tokens),
      tokens_(options.tokens),
      prefill_rows_(DefaultPrefillChunk(options.backend)),
      blocks_each_((context_tokens_ + kLeadInSteps + tokens_) / kCacheBlockTokens + 1) {
  const int32_t max_batch = *std::max_element(options.batches.begin(), options.batches.end());
  backend_ = std::make_unique<ComponentFilter>(MakeBackend({.name = options.backend,
                                                            .cpu_path = options.cpu_path,
                                                            .num_threads = options.num_threads,
                                                            .max_rows = std::max(max_batch, prefill_rows_)}));
  model_ = MakeRandomDecoder(shape_, *backend_,
                             {.numerics = ParseNumerics(numerics),
                              .kv_cache = ParseKvCacheFormat(options.kv_cache),
                              .max_slots = max_batch,
                              .block_tokens = kCacheBlockTokens,
                              .num_cache_blocks = blocks_each_ * max_batch},
                             ParseHeadFormat(options.head));
  backend_->SetBoundaryTokens({}, {}, static_cast<int32_t>(shape_.vocab_size));
  tables_.resize(static_cast<size_t>(blocks_each_) * static_cast<size_t>(max_batch));
  std::iota(tables_.begin(), tables_.end(), 0);
  const auto started = Clock::now();
  for (int32_t slot = 0; slot < max_batch; ++slot) Prefill(slot);
  (void)backend_->ReadLogits();  // waits
  prefill_tokens_per_s_ = 1e6 * context_tokens_ * max_batch / MicrosecondsSince(started);
}

double ShapeDecoder::bytes_per_step(int32_t batch) const {
  return static_cast<double>(model_->weight_bytes_per_token()) + cache_bytes(batch);
}

double ShapeDecoder::cache_bytes(int32_t batch) const {
  const double cached = context_tokens_ + kLeadInSteps + tokens_ / 2.0;
  return cached * batch * 2.0 * KvCacheValueBytes(model_->kv_cache()) *
         static_cast<double>(shape_.num_layers * shape_.num_kv_heads * shape_.head_dim);
}

double ShapeDecoder::bytes_of(Component component, int32_t batch) const {
  const double cached = component == Component::kAttention ? cache_bytes(batch) : 0;
  return static_cast<double>(backend_->weight_bytes(component)) + cached;
}

StepTiming ShapeDecoder::TimePolicy(int32_t batch, const std::string& policy) {
  SamplingParams params;
  params.policy.kind = ParsePolicyKind(policy, "--policy");
  const std::vector<int32_t> slots = FirstSlots(batch);
  for (const int32_t slot : slots) {
    params.seed = static_cast<uint64_t>(slot);
    backend_->SetSlot(slot, {.params = params}, {});
  }
  StepTiming timing;
  int64_t num_unread = 0;
  const auto read = [&](bool wait) {
    for (const TokenRecord& record : backend_->ReadRecords(wait)) {
      --num_unread;
      if (record.token < 0) throw std::runtime_error("the logits are not valid");
      if (record.slot == 0) timing.tokens.push_back(record.token);
    }
  };
  std::vector<int32_t> tokens = FirstTokens(batch);
  Clock::time_point started;
  for (int32_t step = 0; step < kLeadInSteps + tokens_; ++step) {
    if (step == kLeadInSteps) {
      read(true);
      started = Clock::now();
    }
    const std::vector<int32_t> positions(tokens.size(), context_tokens_ + step);
    RunStep(tokens, positions, slots, slots, true);
    std::fill(tokens.begin(), tokens.end(), kLastDrawnToken);
    num_unread += batch;
    do read(false);
    while (num_unread > int64_t{kMaxUnreadSteps} * batch);
  }
  read(true);
  timing.step_us = MicrosecondsSince(started) / tokens_;
  return timing;
}

StepTiming ShapeDecoder::TimeForward(int32_t batch, std::optional<Component> only) {
  backend_->Pass(only);
  const std::vector<int32_t> slots = FirstSlots(batch), tokens = FirstTokens(batch);
  const std::vector<int32_t> positions(tokens.size(), context_tokens_ + kLeadInSteps + tokens_ / 2);
  Clock::time_point started;
  for (int32_t step = 0; step < kLeadInSteps + tokens_; ++step) {
    if (step == kLeadInSteps) {
      (void)backend_->ReadRecords(true);  // waits
      started = Clock::now();
    }
    RunStep(tokens, positions, slots, slots, false);
  }
  (void)backend_->ReadRecords(true);
  backend_->Pass({});
  return {MicrosecondsSince(started) / tokens_, {}};
}

void ShapeDecoder::RunStep(const std::vector<int32_t>& tokens, const std::vector<int32_t>& positions,
                           const std::vector<int32_t>& slots, const std::vector<int32_t>& draw_rows,
                           bool draws) {
  const Batch batch{.tokens = tokens,
                    .positions = positions,
                    .slots = slots,
                    .draw_rows = draw_rows,
                    .block_tables = tables_,
                    .max_blocks = blocks_each_};
  backend_->BeginStep(batch);
  model_->Forward();
  if (draws) backend_->Draw();
  backend_->EndStep();
}

void ShapeDecoder::Prefill(int32_t slot) {
  PhiloxStream random(7, static_cast<uint64_t>(slot));
  for (int32_t first = 0; first < context_tokens_; first += prefill_rows_) {
    std::vector<int32_t> tokens, positions, slots;
    for (int32_t t = first; t < std::min(context_tokens_, first + prefill_rows_); ++t) {
      tokens.push_back(static_cast<int32_t>(random.Below(static_cast<uint32_t>(shape_.vocab_size))));
      positions.push_back(t);
      slots.push_back(slot);
    }
    RunStep(tokens, positions, slots, {0}, false);
  }
}

}  // namespace fourstep::cli
