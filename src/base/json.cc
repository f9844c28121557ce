#include "base/json.h"

#include <cmath>
#include <set>
#include <vector>

#include "base/error.h"

namespace fourstep {
namespace {

// Builds the value while it watches depth and duplicate keys, which nlohmann's own callback cannot refuse
// cheaply.
class LimitedBuilder : public nlohmann::detail::json_sax_dom_parser<Json> {
  using Base = nlohmann::detail::json_sax_dom_parser<Json>;

 public:
  LimitedBuilder(Json& value, const std::string& where, int max_depth)
      : Base(value, /*allow_exceptions=*/false), where_(where), max_depth_(max_depth) {}

  bool start_object(std::size_t elements) {
    Enter();
    keys_.emplace_back();
    return Base::start_object(elements);
  }
  bool key(string_t& name) {
    if (!keys_.back().insert(name).second) throw Errorf(where_, "key \"{}\" stands twice", Printable(name));
    return Base::key(name);
  }
  bool end_object() {
    --depth_;
    keys_.pop_back();
    return Base::end_object();
  }
  bool start_array(std::size_t elements) {
    Enter();
    return Base::start_array(elements);
  }
  bool end_array() {
    --depth_;
    return Base::end_array();
  }
  template <class Exception>
  bool parse_error(std::size_t position, const std::string&, const Exception& exception) {
    // nlohmann's text ends with the useful part: "...: syntax error while parsing value - unexpected ..."
    std::string_view text = exception.what();
    if (const size_t colon = text.find(": "); colon != text.npos) text.remove_prefix(colon + 2);
    throw Errorf(where_, "not valid JSON at byte {}: {}", position, Printable(text, 160));
  }

 private:
  void Enter() {
    if (++depth_ > max_depth_) throw Errorf(where_, "JSON nested deeper than {}", max_depth_);
  }
  const std::string& where_;
  int max_depth_;
  int depth_ = 0;
  std::vector<std::set<std::string>> keys_;
};

[[noreturn]] void WrongType(const std::string& where, const std::string& key, const char* expected,
                            const Json& value) {
  throw Errorf(where, "\"{}\" is {}, expected {}", Printable(key), Printable(DumpJson(value), 40), expected);
}

}  // namespace

Json ParseJson(std::string_view text, const std::string& where, const JsonLimits& limits) {
  if (text.size() > limits.max_bytes) {
    throw Errorf(where, "{} bytes of JSON, at most {} are read", text.size(), limits.max_bytes);
  }
  // The parser takes a NUL byte for the end of the text and would not see what follows.
  if (const size_t nul = text.find('\0'); nul != text.npos) {
    throw Errorf(where, "not valid JSON at byte {}: a NUL byte", nul);
  }
  Json value;
  LimitedBuilder builder(value, where, limits.max_depth);
  if (!Json::sax_parse(text.begin(), text.end(), &builder)) throw Error(where, "not valid JSON");
  return value;
}

std::string DumpJson(const Json& value) {
  return value.dump(-1, ' ', /*ensure_ascii=*/false, Json::error_handler_t::replace);
}

JsonReader::JsonReader(const Json& object, std::string where) : object_(object), where_(std::move(where)) {
  if (!object_.is_object()) {
    throw Errorf(where_, "{} where a JSON object was expected", Printable(DumpJson(object_), 40));
  }
}

bool JsonReader::Has(const std::string& key) const {
  const auto it = object_.find(key);
  return it != object_.end() && !it->is_null();
}

const Json& JsonReader::Get(const std::string& key) const {
  const auto it = object_.find(key);
  if (it == object_.end()) throw Errorf(where_, "\"{}\" is missing", key);
  return *it;
}

int64_t JsonReader::Int(const std::string& key, int64_t low, int64_t high) const {
  const Json& value = Get(key);
  const bool fits = value.is_number_unsigned()
                        ? value.get<uint64_t>() <= static_cast<uint64_t>(std::numeric_limits<int64_t>::max())
                        : value.is_number_integer();
  if (!fits) WrongType(where_, key, "an integer", value);
  const auto number = value.get<int64_t>();
  if (number < low || number > high) {
    throw Errorf(where_, "\"{}\" is {}, expected {}..{}", key, number, low, high);
  }
  return number;
}

double JsonReader::Number(const std::string& key, double low, double high) const {
  const Json& value = Get(key);
  if (!value.is_number()) WrongType(where_, key, "a number", value);
  const auto number = value.get<double>();
  if (!(number >= low && number <= high)) {
    throw Errorf(where_, "\"{}\" is {}, expected {}..{}", key, number, low, high);
  }
  return number;
}

bool JsonReader::Bool(const std::string& key) const {
  const Json& value = Get(key);
  if (!value.is_boolean()) WrongType(where_, key, "true or false", value);
  return value.get<bool>();
}

std::string JsonReader::String(const std::string& key) const {
  const Json& value = Get(key);
  if (!value.is_string()) WrongType(where_, key, "a string", value);
  return value.get<std::string>();
}

int64_t JsonReader::IntOr(const std::string& key, int64_t fallback, int64_t low, int64_t high) const {
  return Has(key) ? Int(key, low, high) : fallback;
}
double JsonReader::NumberOr(const std::string& key, double fallback, double low, double high) const {
  return Has(key) ? Number(key, low, high) : fallback;
}
bool JsonReader::BoolOr(const std::string& key, bool fallback) const {
  return Has(key) ? Bool(key) : fallback;
}
std::string JsonReader::StringOr(const std::string& key, const std::string& fallback) const {
  return Has(key) ? String(key) : fallback;
}

}  // namespace fourstep
