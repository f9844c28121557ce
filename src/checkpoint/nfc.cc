#include "checkpoint/nfc.h"

#include <utf8proc.h>

#include <algorithm>
#include <vector>

#include "base/check.h"
#include "base/utf8.h"

namespace fourstep {
namespace {

constexpr auto kCompose = static_cast<utf8proc_option_t>(UTF8PROC_STABLE | UTF8PROC_COMPOSE);
constexpr int kMaxDecomposition = 16;  // canonical decompositions have at most 4 code points

// The Hugging Face normaliser has the tables of Unicode 9 and leaves newer characters alone; whatever the
// library here knows of them, so do we. These are the marks and the parts of compositions since (blocks where
// a whole block is new).
constexpr uint32_t kUnknown[][2] = {
    {0x7FD, 0x7FD},     {0x897, 0x89F},     {0x8CA, 0x8D3},     {0x9FE, 0x9FE},     {0xC3C, 0xC3C},
    {0xD3B, 0xD3C},     {0xEBA, 0xEBA},     {0xECE, 0xECE},     {0x1715, 0x1715},   {0x1ABF, 0x1AFF},
    {0x1DF6, 0x1DFA},   {0xA82C, 0xA82C},   {0x105C0, 0x105FF}, {0x10D00, 0x10D8F}, {0x10E80, 0x10FFF},
    {0x11070, 0x11070}, {0x1133B, 0x1133B}, {0x11380, 0x113FF}, {0x1145E, 0x1145E}, {0x11800, 0x1184F},
    {0x11900, 0x119FF}, {0x11A00, 0x11AAF}, {0x11D00, 0x11DAF}, {0x11F00, 0x11F5F}, {0x16100, 0x1613F},
    {0x16D40, 0x16D7F}, {0x16FF0, 0x16FF1}, {0x1E030, 0x1E08F}, {0x1E130, 0x1E136}, {0x1E2AE, 0x1E2AE},
    {0x1E2C0, 0x1E2FF}, {0x1E4D0, 0x1E4FF}, {0x1E5D0, 0x1E5FF}};

bool IsUnknown(uint32_t code_point) {
  if (code_point < kUnknown[0][0]) return false;
  const auto* range = std::upper_bound(std::begin(kUnknown), std::end(kUnknown), code_point,
                                       [](uint32_t c, const auto& r) { return c < r[0]; });
  return code_point <= (range - 1)[0][1];
}

int CombiningClass(utf8proc_int32_t code_point) {
  return utf8proc_get_property(code_point)->combining_class;
}

std::vector<utf8proc_int32_t> Decompose(std::string_view text) {
  std::vector<utf8proc_int32_t> out;
  out.reserve(text.size());
  utf8proc_int32_t buffer[kMaxDecomposition];
  while (!text.empty()) {
    const CodePoint c = DecodeUtf8(text);
    int boundary_class = 0;
    const auto n = utf8proc_decompose_char(static_cast<utf8proc_int32_t>(c.value), buffer, kMaxDecomposition,
                                           kCompose, &boundary_class);
    FOURSTEP_CHECK(n >= 0 && n <= kMaxDecomposition, "U+{:04X}", c.value);
    out.insert(out.end(), buffer, buffer + n);
    text.remove_prefix(c.length_bytes);
  }
  return out;
}

// utf8proc's own reordering swaps neighbours, which is quadratic in the length of a run of marks.
void SortMarks(std::vector<utf8proc_int32_t>& code_points) {
  auto it = code_points.begin();
  while (it != code_points.end()) {
    if (CombiningClass(*it) == 0) {
      ++it;
      continue;
    }
    const auto end = std::find_if(it, code_points.end(), [](auto c) { return CombiningClass(c) == 0; });
    std::stable_sort(it, end, [](auto a, auto b) { return CombiningClass(a) < CombiningClass(b); });
    it = end;
  }
}

// Appends `text`, which has no unknown character, in form C.
void AppendNfc(std::string_view text, std::string& out) {
  std::vector<utf8proc_int32_t> code_points = Decompose(text);
  SortMarks(code_points);
  const auto n = utf8proc_normalize_utf32(code_points.data(),
                                          static_cast<utf8proc_ssize_t>(code_points.size()), kCompose);
  FOURSTEP_CHECK(n >= 0, "{}", n);
  for (utf8proc_ssize_t i = 0; i < n; ++i) {
    AppendUtf8(out, static_cast<uint32_t>(code_points[static_cast<size_t>(i)]));
  }
}

}  // namespace

bool IsTriviallyNfc(std::string_view text) {
  // U+0300 is the first character that combines; its lead byte is 0xCC.
  return std::none_of(text.begin(), text.end(), [](char c) { return static_cast<unsigned char>(c) >= 0xCC; });
}

std::string NormalizeNfc(std::string_view text) {
  std::string out;
  out.reserve(text.size());
  size_t done = 0;
  for (size_t pos = 0; pos < text.size();) {
    const CodePoint c = DecodeUtf8(text.substr(pos));
    if (IsUnknown(c.value)) {
      AppendNfc(text.substr(done, pos - done), out);
      out += text.substr(pos, c.length_bytes);
      done = pos + c.length_bytes;
    }
    pos += c.length_bytes;
  }
  AppendNfc(text.substr(done), out);
  return out;
}

}  // namespace fourstep
