// Feeds a file to the reader of published problems, and a text to that of programs' tests and packed texts.
// What is taken is consistent, what is refused is an Error.
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "base/check.h"
#include "base/error.h"
#include "eval/code_tests.h"
#include "eval/packed_text.h"
#include "eval/published_file.h"

namespace {

void ReadRows(std::string_view text) {
  int64_t num_rows = 0;
  fourstep::ReadPublishedRows(text, "file", [&](const fourstep::PublishedRow& row, int64_t number) {
    FOURSTEP_CHECK(number == ++num_rows);
    if (row.Has({"problem", "question"})) (void)row.Text({"problem", "question"});
    (void)row.IdOr("none");
  });
  FOURSTEP_CHECK(num_rows > 0);
}

void ReadTests(std::string_view text) {
  FOURSTEP_CHECK(!fourstep::ParseCodeTests(text, "tests").tests.empty());
}

void Unpack(std::string_view text) {
  constexpr size_t kMaxBytes = 1 << 20;
  const std::string unpacked = fourstep::Inflate(fourstep::DecodeBase64(text, "text"), kMaxBytes, "text");
  FOURSTEP_CHECK(unpacked.size() <= kMaxBytes);
  (void)fourstep::UnpickleString(unpacked, "text");
}

void Unpickle(std::string_view text) {
  FOURSTEP_CHECK(fourstep::UnpickleString(text, "text").size() < text.size());
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size_bytes) {
  const std::string_view text(reinterpret_cast<const char*>(data), size_bytes);
  for (void (*read)(std::string_view) : {ReadRows, ReadTests, Unpack, Unpickle}) {
    try {
      read(text);
    } catch (const fourstep::Error&) {
    }
  }
  const size_t half = text.size() / 2;
  const bool same = fourstep::SameOutput(text.substr(0, half), text.substr(half));
  FOURSTEP_CHECK(fourstep::SameOutput(text.substr(half), text.substr(0, half)) == same);
  return 0;
}
