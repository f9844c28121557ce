#include "checkpoint/safetensors.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cstring>
#include <limits>
#include <optional>
#include <utility>

#include "base/check.h"
#include "base/error.h"
#include "base/json.h"

namespace fourstep {
namespace {

static_assert(std::endian::native == std::endian::little, "the format is little-endian");

struct TypeInfo {
  TensorType type;
  std::string_view name;
  int64_t size_bytes;
};

constexpr std::array<TypeInfo, 13> kTypes = {{{TensorType::kF64, "F64", 8},
                                              {TensorType::kF32, "F32", 4},
                                              {TensorType::kF16, "F16", 2},
                                              {TensorType::kBf16, "BF16", 2},
                                              {TensorType::kF8E4M3, "F8_E4M3", 1},
                                              {TensorType::kF8E5M2, "F8_E5M2", 1},
                                              {TensorType::kF8E8M0, "F8_E8M0", 1},
                                              {TensorType::kI64, "I64", 8},
                                              {TensorType::kI32, "I32", 4},
                                              {TensorType::kI16, "I16", 2},
                                              {TensorType::kI8, "I8", 1},
                                              {TensorType::kU8, "U8", 1},
                                              {TensorType::kBool, "BOOL", 1}}};

constexpr uint64_t kMaxHeaderBytes = uint64_t{100} << 20;
constexpr size_t kMaxTensors = 1'000'000;
constexpr size_t kMaxRank = 8;
constexpr std::string_view kMetadataName = "__metadata__";

const TypeInfo& InfoOf(TensorType type) {
  const auto it =
      std::find_if(kTypes.begin(), kTypes.end(), [&](const TypeInfo& i) { return i.type == type; });
  FOURSTEP_CHECK(it != kTypes.end());
  return *it;
}

// Where a tensor lies in the data section.
struct Range {
  uint64_t begin, end;
  const std::string* name;
};

// Reads the header as it is parsed, without a tree in between: what does not belong is refused at its first
// token, so that memory stays a small multiple of the header, and deep nesting costs nothing.
class HeaderReader : public nlohmann::json_sax<Json> {
 public:
  HeaderReader(std::span<const std::byte> data, const std::string& where) : data_(data), where_(where) {}

  TensorMap Take() {
    CheckRanges();
    return std::move(tensors_);
  }

  bool start_object(std::size_t) override {
    if (state_ == State::kStart) {
      state_ = State::kNames;
    } else if (state_ == State::kName) {
      state_ = is_metadata_ ? State::kMetadata : State::kFields;
    } else {
      Refuse("an object");
    }
    return true;
  }

  bool key(string_t& text) override {
    switch (state_) {
      case State::kNames:
        StartEntry(text);
        break;
      case State::kFields:
        StartField(text);
        break;
      case State::kMetadata:
        break;
      default:
        Refuse("a key");
    }
    return true;
  }

  bool end_object() override {
    if (state_ == State::kNames) {
      state_ = State::kEnd;
    } else {
      if (state_ == State::kFields) FinishTensor();
      state_ = State::kNames;
    }
    return true;
  }

  bool string(string_t& text) override {
    if (state_ == State::kMetadata) return true;  // for people: {"format": "pt"}
    if (state_ != State::kType) Refuse("a string");
    for (const TypeInfo& info : kTypes) {
      if (info.name == text) type_ = info.type;
    }
    if (!type_) {
      throw Errorf(where_, "tensor \"{}\" has the unknown dtype \"{}\"", Printable(name_),
                   Printable(text, 40));
    }
    state_ = State::kFields;
    return true;
  }

  bool start_array(std::size_t) override {
    if (state_ == State::kShape) {
      state_ = State::kShapeValues;
    } else if (state_ == State::kOffsets) {
      state_ = State::kOffsetValues;
    } else {
      Refuse("an array");
    }
    return true;
  }

  bool end_array() override {
    state_ = State::kFields;
    return true;
  }

  bool number_unsigned(number_unsigned_t value) override {
    if (state_ == State::kShapeValues) {
      if (shape_->size() == kMaxRank) {
        throw Errorf(where_, "tensor \"{}\" has more than {} dimensions", Printable(name_), kMaxRank);
      }
      if (value > uint64_t(std::numeric_limits<int64_t>::max())) Refuse("a size beyond 2^63");
      shape_->push_back(static_cast<int64_t>(value));
    } else if (state_ == State::kOffsetValues && offsets_->size() < 2) {
      offsets_->push_back(value);
    } else {
      Refuse("a number");
    }
    return true;
  }

  bool number_integer(number_integer_t) override { return Refuse("a negative number"); }
  bool number_float(number_float_t, const string_t&) override {
    return Refuse("a number that is no integer");
  }
  bool null() override { return Refuse("null"); }
  bool boolean(bool) override { return Refuse("true or false"); }
  bool binary(binary_t&) override { return Refuse("binary data"); }

  bool parse_error(std::size_t position, const std::string&,
                   const nlohmann::detail::exception& fault) override {
    std::string_view text = fault.what();  // "[json...] parse error at line ...: the useful part"
    if (const size_t colon = text.find(": "); colon != text.npos) text.remove_prefix(colon + 2);
    throw Errorf(where_, "the header is not valid JSON at byte {}: {}", position, Printable(text, 160));
  }

 private:
  // What comes next.
  enum class State {
    kStart,
    kNames,
    kName,
    kMetadata,
    kFields,
    kType,
    kShape,
    kShapeValues,
    kOffsets,
    kOffsetValues,
    kEnd
  };

  bool Refuse(const char* found) const {
    if (name_.empty()) throw Errorf(where_, "the header has {} where it may not stand", found);
    throw Errorf(where_, "the header has {} where it may not stand, at tensor \"{}\"", found,
                 Printable(name_));
  }

  void StartEntry(const std::string& name) {
    name_ = name;
    is_metadata_ = name == kMetadataName;
    const bool is_new = is_metadata_ ? !std::exchange(has_metadata_, true) : !tensors_.contains(name);
    if (!is_new) throw Errorf(where_, "tensor \"{}\" stands twice in the header", Printable(name));
    if (tensors_.size() == kMaxTensors) throw Errorf(where_, "has more than {} tensors", kMaxTensors);
    type_.reset();
    shape_.reset();
    offsets_.reset();
    state_ = State::kName;
  }

  void StartField(const std::string& field) {
    const bool is_new = (field == "dtype" && !type_) || (field == "shape" && !shape_) ||
                        (field == "data_offsets" && !offsets_);
    if (!is_new) {
      throw Errorf(where_, "tensor \"{}\" has the field \"{}\" twice, or it is unknown", Printable(name_),
                   Printable(field, 40));
    }
    if (field == "dtype") {
      state_ = State::kType;
    } else if (field == "shape") {
      shape_.emplace();
      state_ = State::kShape;
    } else {
      offsets_.emplace();
      state_ = State::kOffsets;
    }
  }

  void FinishTensor() {
    const std::string shown = Printable(name_);
    if (!type_) throw Errorf(where_, "tensor \"{}\" has no dtype", shown);
    if (!shape_) throw Errorf(where_, "tensor \"{}\" has no shape", shown);
    if (!offsets_ || offsets_->size() != 2) throw Errorf(where_, "tensor \"{}\" lacks data_offsets", shown);
    const uint64_t begin = (*offsets_)[0], end = (*offsets_)[1];
    if (begin > end || end > data_.size()) {
      throw Errorf(where_, "tensor \"{}\" lies at bytes {}..{} of the data, which has {}", shown, begin, end,
                   data_.size());
    }
    uint64_t size_bytes = static_cast<uint64_t>(InfoOf(*type_).size_bytes);
    bool fits = true;
    for (const int64_t dimension : *shape_) {
      fits = !__builtin_mul_overflow(size_bytes, static_cast<uint64_t>(dimension), &size_bytes) && fits;
    }
    if (!fits || size_bytes != end - begin) {
      throw Errorf(where_, "tensor \"{}\" has {} bytes, its shape and dtype do not", shown, end - begin);
    }
    const auto [it, is_new] =
        tensors_.emplace(name_, TensorView{*type_, std::move(*shape_), data_.subspan(begin, size_bytes)});
    FOURSTEP_CHECK(is_new);
    ranges_.push_back({begin, end, &it->first});
  }

  // Every byte of the data belongs to exactly one tensor: nothing is hidden, nothing shared.
  void CheckRanges() {
    std::sort(ranges_.begin(), ranges_.end(), [](const Range& a, const Range& b) {
      return std::pair(a.begin, a.end) < std::pair(b.begin, b.end);
    });
    uint64_t end = 0;
    for (const Range& range : ranges_) {
      if (range.begin != end) {
        throw Errorf(where_, "tensor \"{}\" begins at byte {} of the data, {} byte {}",
                     Printable(*range.name), range.begin,
                     range.begin < end ? "overlapping one that ends at" : "after a hole from", end);
      }
      end = range.end;
    }
    if (end != data_.size()) {
      throw Errorf(where_, "the data has {} bytes, its tensors end at {}", data_.size(), end);
    }
  }

  std::span<const std::byte> data_;
  const std::string& where_;
  State state_ = State::kStart;
  std::string name_;
  bool is_metadata_ = false, has_metadata_ = false;
  std::optional<TensorType> type_;
  std::optional<std::vector<int64_t>> shape_;
  std::optional<std::vector<uint64_t>> offsets_;
  TensorMap tensors_;
  std::vector<Range> ranges_;
};

}  // namespace

std::string_view TensorTypeName(TensorType type) {
  return InfoOf(type).name;
}

int64_t TensorTypeBytes(TensorType type) {
  return InfoOf(type).size_bytes;
}

int64_t TensorView::num_values() const {
  return static_cast<int64_t>(bytes.size()) / TensorTypeBytes(type);
}

TensorMap ParseSafetensors(std::span<const std::byte> bytes, const std::string& where) {
  uint64_t header_bytes = 0;
  if (bytes.size() < sizeof header_bytes) {
    throw Errorf(where, "has {} bytes, too few for a safetensors file", bytes.size());
  }
  std::memcpy(&header_bytes, bytes.data(), sizeof header_bytes);
  bytes = bytes.subspan(sizeof header_bytes);
  if (header_bytes > kMaxHeaderBytes) {
    throw Errorf(where, "has a header of {} bytes, at most {} are read", header_bytes, kMaxHeaderBytes);
  }
  if (header_bytes > bytes.size()) {
    throw Errorf(where, "is cut off: its header has {} bytes, only {} are there", header_bytes, bytes.size());
  }
  const std::string_view header(reinterpret_cast<const char*>(bytes.data()), header_bytes);
  if (header.find('\0') != header.npos) {  // the parser takes it for the end and would not see what follows
    throw Error(where, "the header is not valid JSON: a NUL byte");
  }
  HeaderReader reader(bytes.subspan(header_bytes), where);
  if (!Json::sax_parse(header.begin(), header.end(), &reader))
    throw Error(where, "the header is not valid JSON");
  return reader.Take();
}

}  // namespace fourstep
