// Files of weights that are no safetensors.
#include <string>
#include <utility>

#include "hostile_draft.h"

namespace fourstep {
namespace {

// A case that changes the header of model.safetensors.
Case Header(const char* name, std::vector<const char*> words,
            std::function<void(Json&, std::string&)> change) {
  words.push_back("model.safetensors");
  return {name, std::move(words), [change](Draft& d) { d.PackWith(change); }};
}

// A case whose model.safetensors is this.
Case Bytes(const char* name, std::vector<const char*> words, std::string contents) {
  words.push_back("model.safetensors");
  return {name, std::move(words), [contents](Draft& d) { d.files["model.safetensors"] = contents; }};
}

TEST(HostileCheckpoint, Safetensors) {
  const std::string deep = std::string(R"({"a":{"dtype":"U8","shape":)") + std::string(100'000, '[');
  ExpectAll({
      Bytes("empty file", {"0 bytes"}, ""),
      Bytes("seven bytes", {"7 bytes"}, "1234567"),
      Bytes("no header", {"not valid JSON"}, Length(0)),
      Bytes("header length 2^63", {"9223372036854775808"}, Length(uint64_t{1} << 63) + "{}"),
      Bytes("header length 2^64-1", {"18446744073709551615"}, Length(~uint64_t{0}) + "{}"),
      Bytes("header longer than the file", {"cut off", "100"}, Length(100) + "{}"),
      Bytes("header of 101 MiB", {"header of"}, Length(uint64_t{101} << 20) + "{}"),
      Bytes("not JSON", {"not valid JSON"}, File("safetensors", "")),
      Bytes("JSON cut off", {"not valid JSON"}, File(R"({"a":{"dtype":"U8",)", "")),
      Bytes("invalid UTF-8", {"not valid JSON"}, File("{\"\xff\":{}}", "")),
      Bytes("text after the JSON", {"not valid JSON"}, File("{} {}", "")),
      Bytes("NUL padding", {"NUL"}, File(std::string("{}\0", 3), "")),
      Bytes("an array", {"array"}, File("[]", "")),
      Bytes("a number", {"number"}, File("1", "")),
      Bytes("deep JSON", {"array", "\"a\""}, File(deep, "")),
      Bytes("deep objects", {"object"}, File(R"({"a":{"dtype":{"b":{}}}})", "")),
      Bytes("deep metadata", {"object"}, File(R"({"__metadata__":{"b":{}}})", "")),
      Bytes("metadata of numbers", {"number"}, File(R"({"__metadata__":{"b":1}})", "")),
      Bytes("metadata twice", {"__metadata__", "twice"},
            File(R"({"__metadata__":{},"__metadata__":{}})", "")),
      Bytes("a name twice", {"\"a\"", "twice"},
            File(R"({"a":{"dtype":"U8","shape":[0],"data_offsets":[0,0]},"a":{}})", "")),
      Bytes("a field twice", {"\"a\"", "dtype"}, File(R"({"a":{"dtype":"U8","dtype":"U8"}})", "")),
      Bytes("an unknown field", {"\"a\"", "strides"}, File(R"({"a":{"strides":[1]}})", "")),
      Bytes("a tensor that is a string", {"\"a\"", "string"}, File(R"({"a":"U8"})", "")),
      Bytes("a tensor that is null", {"\"a\"", "null"}, File(R"({"a":null})", "")),
      Bytes("a tensor without fields", {"\"a\"", "dtype"}, File(R"({"a":{}})", "")),
      Bytes("no data at all", {"data has 3 bytes"}, File("{}", "123")),
      Header("unknown dtype", {"F4", kNorm}, [](Json& h, std::string&) { h[kNorm]["dtype"] = "F4"; }),
      Header("dtype a number", {"number", kNorm}, [](Json& h, std::string&) { h[kNorm]["dtype"] = 5; }),
      Header("no shape", {"no shape", kNorm}, [](Json& h, std::string&) { h[kNorm].erase("shape"); }),
      Header("no offsets", {"data_offsets", kNorm},
             [](Json& h, std::string&) { h[kNorm].erase("data_offsets"); }),
      Header("one offset", {"data_offsets", kNorm},
             [](Json& h, std::string&) { h[kNorm]["data_offsets"] = {0}; }),
      Header("three offsets", {"number", kNorm},
             [](Json& h, std::string&) {
               h[kNorm]["data_offsets"] = {0, 8, 16};
             }),
      Header("negative size", {"negative", kNorm}, [](Json& h, std::string&) { h[kNorm]["shape"] = {-2}; }),
      Header("fractional size", {"no integer", kNorm},
             [](Json& h, std::string&) { h[kNorm]["shape"] = {2.0}; }),
      Header("size beyond 2^63", {"2^63", kNorm},
             [](Json& h, std::string&) { h[kNorm]["shape"] = {uint64_t{1} << 63}; }),
      Header("size that overflows", {"shape", kNorm},
             [](Json& h, std::string&) {
               h[kNorm]["shape"] = {int64_t{1} << 40, int64_t{1} << 40};
             }),
      Header("size that overflows to the right one", {"shape", kNorm},
             [](Json& h, std::string&) {
               h[kNorm]["shape"] = {int64_t{1} << 62, 2, 2, 2};
             }),
      Header("nine dimensions", {"8 dimensions", kNorm},
             [](Json& h, std::string&) { h[kNorm]["shape"] = {2, 1, 1, 1, 1, 1, 1, 1, 1}; }),
      Header("shape too small", {"shape", kNorm}, [](Json& h, std::string&) { h[kNorm]["shape"] = {1}; }),
      Header("offsets beyond the file", {"lies at", kNorm},
             [](Json& h, std::string&) {
               h[kNorm]["data_offsets"] = {1 << 20, (1 << 20) + 8};
             }),
      Header("offsets near 2^64", {"lies at", kNorm},
             [](Json& h, std::string&) {
               h[kNorm]["data_offsets"] = {~uint64_t{0} - 7, ~uint64_t{0}};
             }),
      Header("offsets the wrong way", {"lies at", kNorm},
             [](Json& h, std::string&) {
               h[kNorm]["data_offsets"] = {8, 0};
             }),
      Header("overlap", {"overlapping"},
             [](Json& h, std::string&) {
               h[kNorm]["data_offsets"] = {0, 8};
             }),
      Header(
          "hole", {"hole", "z"},
          [](Json& h, std::string& data) {
            h["z"] = {{"dtype", "U8"}, {"shape", {1}}, {"data_offsets", {data.size() + 1, data.size() + 2}}};
            data += "12";
          }),
      Header("data cut off", {"lies at"}, [](Json&, std::string& data) { data.pop_back(); }),
      Header("data left over", {"its tensors end"}, [](Json&, std::string& data) { data += "x"; }),
  });
}

}  // namespace
}  // namespace fourstep
