// JSON from outside (checkpoints, requests, task lines): parsed with limits, read with types, and every fault
// an Error that names the place and the field. The parser itself is nlohmann's.
#pragma once

#include <cstddef>
#include <cstdint>
#include <limits>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <string_view>

namespace fourstep {

using Json = nlohmann::json;

struct JsonLimits {
  size_t max_bytes = size_t{256} << 20;
  int max_depth = 64;  // deeper nesting would let a hostile file exhaust the stack of a recursive reader
};

// Parses exactly one value. Refuses (Error naming `where`): invalid JSON or UTF-8, more than the limits, a
// key that stands twice in one object.
Json ParseJson(std::string_view text, const std::string& where, const JsonLimits& limits = {});

// One line, compact, for people's strings as UTF-8; invalid UTF-8 becomes U+FFFD.
std::string DumpJson(const Json& value);

// Reads members of one JSON object. `where` names the object in messages.
class JsonReader {
 public:
  // Throws unless `object` is an object. `object` must outlive the reader.
  JsonReader(const Json& object, std::string where);

  bool Has(const std::string& key) const;         // present and not null
  const Json& Get(const std::string& key) const;  // throws where missing

  int64_t Int(const std::string& key, int64_t low, int64_t high) const;
  double Number(const std::string& key, double low, double high) const;  // finite, within [low, high]
  bool Bool(const std::string& key) const;
  std::string String(const std::string& key) const;

  // Where the key is missing or null, the fallback.
  int64_t IntOr(const std::string& key, int64_t fallback, int64_t low, int64_t high) const;
  double NumberOr(const std::string& key, double fallback, double low, double high) const;
  bool BoolOr(const std::string& key, bool fallback) const;
  std::string StringOr(const std::string& key, const std::string& fallback) const;

  const std::string& where() const { return where_; }

 private:
  const Json& object_;
  std::string where_;
};

}  // namespace fourstep
