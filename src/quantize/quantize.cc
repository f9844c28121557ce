#include "quantize/quantize.h"

#include <omp.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <map>
#include <memory>
#include <optional>
#include <utility>

#include "backend/linear_stack.h"
#include "base/check.h"
#include "base/error.h"
#include "base/file.h"
#include "checkpoint/module_names.h"
#include "checkpoint/quantized_writer.h"
#include "checkpoint/safetensors.h"
#include "checkpoint/tokenizer.h"
#include "model/architecture.h"
#include "quantize/calibration.h"
#include "quantize/linear_groups.h"
#include "quantize/methods.h"
#include "quantize/rtn.h"
#include "quantize/side_files.h"

namespace fourstep {
namespace {

// Tokens of one calibration sequence: long enough for attention to spread, short enough for a small cache.
constexpr int64_t kSequenceTokens = 1024;
constexpr int64_t kMaxCalibrationTokens = int64_t{1} << 20;
constexpr int32_t kMaxThreads = 1024;

void CheckOptions(const QuantizeOptions& options) {
  if (options.dialect == Dialect::kNone)
    throw Error("dialect", "is none, expected modelopt or compressed-tensors");
  if (options.head != WeightFormat::kBf16 && options.head != WeightFormat::kFp8 &&
      options.head != WeightFormat::kNvFp4)
    throw Errorf("head", "is {}, expected bf16, fp8 or nvfp4", WeightFormatName(options.head));
  if (options.calibration_tokens < 1 || options.calibration_tokens > kMaxCalibrationTokens)
    throw Errorf("calibration_tokens", "is {}, expected 1..{}", options.calibration_tokens,
                 kMaxCalibrationTokens);
  if (options.shard_bytes < 1) throw Errorf("shard_bytes", "is {}, expected 1 or more", options.shard_bytes);
  if (options.num_threads < 0 || options.num_threads > kMaxThreads)
    throw Errorf("num_threads", "is {}, expected 0..{}", options.num_threads, kMaxThreads);
}

// A model that this program knows: another one may have linears beside those of LinearGroups, or other names.
void CheckArchitecture(const HfConfig& config) {
  for (const Architecture& architecture : AllArchitectures()) {
    if (architecture.name == config.architecture) return;
  }
  throw Errorf(config.where, "\"architectures\" has \"{}\", expected one of {}",
               Printable(config.architecture), ArchitectureNames());
}

// One linear on its way to the result.
struct Item {
  LinearWeight weight;
  WeightFormat format = WeightFormat::kNvFp4;  // kNvFp4 or kFp8
  float global_scale = 1;                      // NVFP4
  std::optional<float> input_scale;            // NVFP4
  std::vector<float> output_scales;            // FP8: as the dialect stores them
  EncodedWeight encoded;  // NVFP4: between the writing of its codes and of its scales only
  double error_squares = 0, squares = 0;
};

class Quantizer {
 public:
  Quantizer(const std::filesystem::path& source, const QuantizeOptions& options,
            const std::function<void(size_t, size_t, const std::string&)>& progress)
      : options_(options),
        progress_(progress),
        method_(FindQuantizeMethod(options.method)),
        num_threads_(options.num_threads > 0 ? options.num_threads : omp_get_num_procs()),
        source_(Checkpoint::Open(source)),
        groups_(LinearGroups(source_.config())),
        num_observed_(groups_.size() + 1) {
    const HfConfig& config = source_.config();
    if (options.head != WeightFormat::kBf16)
      groups_.push_back({{{kHeadModule, config.vocab_size}}, config.hidden_size});
  }

  QuantizeReport Run(const std::filesystem::path& folder) {
    BindWeights();
    const CalibrationSequences sequences = ReadCalibrationText();
    total_ = 2 * items_.size() + static_cast<size_t>(CalibrationSteps(sequences)) * num_observed_;
    MeasureWeights();
    if (!options_.weights_only) MeasureInputs(sequences);
    Write(folder);
    return Report(folder);
  }

 private:
  void BindWeights();
  LinearWeight Bind(const std::string& module, int64_t n, int64_t k);
  CalibrationSequences ReadCalibrationText();
  void MeasureWeights();
  void MeasureFp8(Item& item);
  void MeasureInputs(const CalibrationSequences& sequences);
  void Write(const std::filesystem::path& folder);
  void AddLinear(Item& item, SafetensorsWriter& writer);
  void AddNvFp4Linear(Item& item, SafetensorsWriter& writer);
  void AddFp8Linear(Item& item, SafetensorsWriter& writer);
  void WriteConfig(const std::filesystem::path& folder);
  QuantizeReport Report(const std::filesystem::path& folder);

  // `item` is written: what that lost is kept.
  void Finish(Item& item, const EncodedWeight& encoded) {
    item.error_squares = encoded.error_squares;
    item.squares = encoded.squares;
    Advance(item.weight.name);
  }
  void Advance(const std::string& module) {
    ++done_;
    if (progress_) progress_(std::min(done_, total_), total_, module);
  }

  const QuantizeOptions& options_;
  const std::function<void(size_t, size_t, const std::string&)>& progress_;
  const QuantizeMethod& method_;
  int num_threads_;
  Checkpoint source_;
  std::vector<LinearGroup> groups_;
  size_t num_observed_;      // inputs of a calibration step: those of the layers' groups, and the head's
  std::vector<Item> items_;  // in the order of the groups' members
  std::map<std::string, float> input_amax_;
  QuantizeReport report_;
  size_t done_ = 0, total_ = 0;
};

// Before anything that takes long: every refusal that shapes and types allow.
void Quantizer::BindWeights() {
  const std::string where = source_.folder().string();
  if (source_.dialect() != Dialect::kNone)
    throw Errorf(where, "is quantised already ({}), expected a BF16, FP16 or FP32 checkpoint",
                 DialectName(source_.dialect()));
  CheckArchitecture(source_.config());
  for (const LinearGroup& group : groups_) {
    for (const LinearGroup::Member& member : group.members) {
      Item& item = items_.emplace_back();
      item.weight = Bind(member.module, member.n, group.k);
      if (member.module == kHeadModule) item.format = options_.head;
      if (IsFourBit(item.weight.format))
        throw Error(member.module, "has 4 bits already, expected BF16, FP16 or FP32");
      if (group.k % NvFp4::kBlockValues != 0)
        throw Errorf(member.module, "has {} inputs, expected a multiple of {}", group.k, NvFp4::kBlockValues);
    }
  }
}

LinearWeight Quantizer::Bind(const std::string& module, int64_t n, int64_t k) {
  if (module != kHeadModule || !source_.config().tie_word_embeddings) return source_.Linear(module, n, k);
  LinearWeight weight = source_.Table(kEmbeddingModule, n, k);
  weight.name = kHeadModule;
  return weight;
}

CalibrationSequences Quantizer::ReadCalibrationText() {
  if (options_.weights_only) return {};
  const Tokenizer tokenizer = Tokenizer::Load(source_.folder());
  const std::string_view text =
      options_.calibration_text.empty() ? BuiltInCalibrationText() : options_.calibration_text;
  CalibrationSequences sequences =
      TokenizeCalibrationText(tokenizer, text, options_.calibration_tokens,
                              std::min(kSequenceTokens, source_.config().max_positions));
  for (const std::vector<int32_t>& sequence : sequences)
    report_.calibration_tokens += static_cast<int64_t>(sequence.size());
  return sequences;
}

void Quantizer::MeasureWeights() {
  size_t next = 0;
  for (const LinearGroup& group : groups_) {
    const std::span<Item> members(&items_[next], group.members.size());
    next += members.size();
    if (members[0].format == WeightFormat::kFp8) {
      MeasureFp8(members[0]);
      continue;
    }
    float amax = 0;
    for (const Item& item : members) {
      amax = std::max(amax, WeightAmax(item.weight, num_threads_));
      Advance(item.weight.name);
    }
    const float scale = StorableScale(options_.dialect, method_.global_scale(amax));
    for (Item& item : members) item.global_scale = scale;
  }
}

void Quantizer::MeasureFp8(Item& item) {
  item.output_scales = RowAmax(item.weight, num_threads_);
  if (NumFp8Scales(options_.dialect, item.weight.n) == 1)
    item.output_scales = {std::ranges::max(item.output_scales)};
  for (float& scale : item.output_scales) scale = RtnFp8Scale(scale);
  Advance(item.weight.name);
}

void Quantizer::MeasureInputs(const CalibrationSequences& sequences) {
  input_amax_ = MeasureInputAmax(source_, sequences, num_threads_,
                                 [this](const std::string& module) { Advance(module); });
  for (Item& item : items_) {
    const auto amax = input_amax_.find(item.weight.name);
    FOURSTEP_CHECK(amax != input_amax_.end(), "{} was not observed", item.weight.name);
    item.input_scale = StorableScale(options_.dialect, RtnGlobalScale(amax->second));
  }
}

void Quantizer::AddLinear(Item& item, SafetensorsWriter& writer) {
  item.format == WeightFormat::kFp8 ? AddFp8Linear(item, writer) : AddNvFp4Linear(item, writer);
}

void Quantizer::AddFp8Linear(Item& item, SafetensorsWriter& writer) {
  Fp8Module module;
  module.name = item.weight.name;
  module.n = item.weight.n;
  module.k = item.weight.k;
  module.output_scales = item.output_scales;
  module.fill_values = [this, &item](std::span<std::byte> out) {
    const EncodedWeight encoded = EncodeFp8(item.weight, item.output_scales, num_threads_);
    FOURSTEP_CHECK(out.size() == encoded.codes.size());
    std::memcpy(out.data(), encoded.codes.data(), out.size());
    Finish(item, encoded);
  };
  AddFp8(writer, options_.dialect, module);
}

// Codes and scales are two tensors of one encoding, written one after the other.
void Quantizer::AddNvFp4Linear(Item& item, SafetensorsWriter& writer) {
  NvFp4Module module;
  module.name = item.weight.name;
  module.n = item.weight.n;
  module.k = item.weight.k;
  module.global_scale = item.global_scale;
  module.input_scale = item.input_scale;
  module.fill_codes = [this, &item](std::span<std::byte> out) {
    item.encoded = method_.encode(item.weight, item.global_scale, num_threads_);
    FOURSTEP_CHECK(out.size() == item.encoded.codes.size());
    std::memcpy(out.data(), item.encoded.codes.data(), out.size());
    item.encoded.codes = {};
  };
  module.fill_block_scales = [this, &item](std::span<std::byte> out) {
    FOURSTEP_CHECK(out.size() == item.encoded.block_scales.size(), "scales of {} before its codes",
                   item.weight.name);
    std::memcpy(out.data(), item.encoded.block_scales.data(), out.size());
    Finish(item, std::exchange(item.encoded, {}));
  };
  AddNvFp4(writer, options_.dialect, module);
}

void Quantizer::Write(const std::filesystem::path& folder) {
  std::map<std::string_view, Item*> by_tensor;
  std::vector<std::string> names;
  names.reserve(items_.size());
  for (Item& item : items_) by_tensor[names.emplace_back(item.weight.name + ".weight")] = &item;

  SafetensorsWriter writer(folder, options_.shard_bytes);
  for (const auto& [name, view] : source_.tensors()) {
    if (const auto quantised = by_tensor.find(name); quantised != by_tensor.end()) {
      AddLinear(*quantised->second, writer);
      by_tensor.erase(quantised);
    } else {
      writer.AddTensor(name, view.type, view.shape, [bytes = view.bytes](std::span<std::byte> out) {
        if (!out.empty()) std::memcpy(out.data(), bytes.data(), out.size());
      });
    }
  }
  for (const auto& [name, item] : by_tensor) AddLinear(*item, writer);  // a head that was tied
  writer.Finish();
  WriteConfig(folder);
  const SideFiles files = FindSideFiles(source_.folder());
  CopyFiles(files.copied, source_.folder(), folder);
  report_.left_out_files = files.left_out;
}

void Quantizer::WriteConfig(const std::filesystem::path& folder) {
  QuantizedModules modules{.nvfp4 = {}, .weights_only = options_.weights_only, .head = options_.head};
  for (const Item& item : items_) {
    if (item.weight.name != kHeadModule) modules.nvfp4.push_back(item.weight.name);
  }
  WriteQuantizedConfig(folder, source_.config(), options_.dialect, modules);
}

int64_t TensorBytes(const TensorMap& tensors) {
  int64_t size_bytes = 0;
  for (const auto& [name, view] : tensors) size_bytes += static_cast<int64_t>(view.bytes.size());
  return size_bytes;
}

double RelativeError(double error_squares, double squares) {
  return squares > 0 ? std::sqrt(error_squares / squares) : 0;
}

QuantizeReport Quantizer::Report(const std::filesystem::path& folder) {
  double error_squares = 0, squares = 0;
  for (const Item& item : items_) {
    error_squares += item.error_squares;
    squares += item.squares;
    const auto amax = input_amax_.find(item.weight.name);
    report_.linears.push_back({.module = item.weight.name,
                               .format = item.format,
                               .n = item.weight.n,
                               .k = item.weight.k,
                               .weight_error = RelativeError(item.error_squares, item.squares),
                               .input_amax = amax == input_amax_.end() ? 0.0f : amax->second});
  }
  report_.weight_error = RelativeError(error_squares, squares);
  report_.source_bytes = TensorBytes(source_.tensors());
  report_.result_bytes = TensorBytes(TensorFolder::Open(folder).tensors());
  return report_;
}

}  // namespace

QuantizeReport Quantize(const std::filesystem::path& source, const std::filesystem::path& destination,
                        const QuantizeOptions& options,
                        const std::function<void(size_t, size_t, const std::string&)>& progress) {
  CheckOptions(options);
  AtomicOutput output(destination, AtomicOutput::Kind::kFolder);
  QuantizeReport report = Quantizer(source, options, progress).Run(output.path());
  output.Commit();
  return report;
}

}  // namespace fourstep
