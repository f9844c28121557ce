#include "quantize/calibration.h"

#include <algorithm>
#include <numeric>
#include <span>

#include "base/check.h"
#include "base/error.h"
#include "formats/bfloat16.h"
#include "model/model.h"
#include "runtime/backends.h"

namespace fourstep {
namespace {

constexpr int32_t kStepTokens = 256;

class AmaxObserver final : public LinearObserver {
 public:
  AmaxObserver(Backend& backend, const std::function<void(const std::string&)>& progress)
      : backend_(backend), progress_(progress) {}

  void Observe(std::span<const std::string> modules, ActivationId input) override {
    uint32_t max_bits = 0;  // as in WeightAmax: NaN and infinity come last
    for (const float x : backend_.ReadActivation(input))
      max_bits = std::max(max_bits, FloatBits(x) & 0x7FFFFFFFu);
    if (max_bits >= 0x7F800000u)
      throw Error(modules.front(), "its input becomes NaN or infinite while the calibration text is read");
    for (const std::string& module : modules) {
      float& amax = amax_[module];
      amax = std::max(amax, FloatFromBits(max_bits));
    }
    progress_(modules.front());
  }

  std::map<std::string, float> Take() { return std::move(amax_); }

 private:
  Backend& backend_;
  const std::function<void(const std::string&)>& progress_;
  std::map<std::string, float> amax_;
};

// One sequence from position 0, whose cache blocks are 0, 1, 2, ...
void Read(Model& model, Backend& backend, std::span<const int32_t> tokens, AmaxObserver& observer) {
  std::vector<int32_t> block_table((tokens.size() + kCacheBlockTokens - 1) / kCacheBlockTokens);
  std::iota(block_table.begin(), block_table.end(), 0);
  for (size_t begin = 0; begin < tokens.size(); begin += kStepTokens) {
    const size_t count = std::min<size_t>(kStepTokens, tokens.size() - begin);
    std::vector<int32_t> positions(count);
    std::iota(positions.begin(), positions.end(), static_cast<int32_t>(begin));
    const std::vector<int32_t> slots(count, 0);
    Batch batch;
    batch.tokens = tokens.subspan(begin, count);
    batch.positions = positions;
    batch.slots = slots;
    batch.block_tables = block_table;
    batch.max_blocks = static_cast<int32_t>(block_table.size());
    backend.BeginStep(batch);
    model.Forward(&observer);
    backend.EndStep();
  }
}

}  // namespace

CalibrationSequences TokenizeCalibrationText(const Tokenizer& tokenizer, std::string_view text,
                                             int64_t max_tokens, int64_t sequence_tokens) {
  const std::vector<int32_t> prefix = tokenizer.Encode("", {.add_special_tokens = true});
  const std::vector<int32_t> ids = tokenizer.Encode(text);
  if (ids.empty()) throw Error("calibration text", "is empty, expected some text");
  const auto prefix_tokens = static_cast<int64_t>(prefix.size());
  FOURSTEP_CHECK(max_tokens >= 1);
  // A context that has no room for the prefix and a token gets the token alone.
  const bool has_prefix = prefix_tokens < std::min(sequence_tokens, max_tokens);
  CalibrationSequences sequences;
  auto next = ids.begin();
  for (int64_t left = max_tokens; left > 0 && next != ids.end();) {
    std::vector<int32_t>& sequence = sequences.emplace_back();
    if (has_prefix) sequence = prefix;
    const int64_t room = std::min(sequence_tokens, left) - static_cast<int64_t>(sequence.size());
    if (room <= 0) {  // nothing but the prefix would be left
      sequences.pop_back();
      break;
    }
    const int64_t count = std::min<int64_t>(room, ids.end() - next);
    sequence.insert(sequence.end(), next, next + count);
    next += count;
    left -= static_cast<int64_t>(sequence.size());
  }
  return sequences;
}

std::map<std::string, float> MeasureInputAmax(Checkpoint& source, const CalibrationSequences& sequences,
                                              int num_threads,
                                              const std::function<void(const std::string&)>& progress) {
  size_t longest = 1;
  for (const std::vector<int32_t>& sequence : sequences) {
    longest = std::max(longest, sequence.size());
    for (const int32_t token : sequence) {
      if (token < 0 || token >= source.config().vocab_size)
        throw Errorf(source.config().where, "vocab_size is {}, but the tokenizer makes token {}",
                     source.config().vocab_size, token);
    }
  }
  BackendOptions backend_options;
  backend_options.num_threads = num_threads;
  backend_options.max_rows = kStepTokens;
  const std::unique_ptr<Backend> backend = MakeBackend(backend_options);
  ModelOptions options;
  options.max_slots = 1;
  options.block_tokens = kCacheBlockTokens;
  options.num_cache_blocks = static_cast<int32_t>((longest + kCacheBlockTokens - 1) / kCacheBlockTokens);
  const std::unique_ptr<Model> model = Model::Load(source, *backend, options);
  AmaxObserver observer(*backend, progress);
  for (const std::vector<int32_t>& sequence : sequences) Read(*model, *backend, sequence, observer);
  return observer.Take();
}

int64_t CalibrationSteps(const CalibrationSequences& sequences) {
  int64_t steps = 0;
  for (const std::vector<int32_t>& sequence : sequences)
    steps += (static_cast<int64_t>(sequence.size()) + kStepTokens - 1) / kStepTokens;
  return steps;
}

}  // namespace fourstep
