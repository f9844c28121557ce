// Unicode normalisation form C, as tokenizers apply it before they split text.
#pragma once

#include <string>
#include <string_view>

namespace fourstep {

// Whether `text` is in form C for certain: no character in it is one that composition or reordering touches.
// False says nothing. A cheap test that most texts pass.
bool IsTriviallyNfc(std::string_view text);

// `text` (valid UTF-8) in form C. Time is linear but for a sort within each run of combining marks.
std::string NormalizeNfc(std::string_view text);

}  // namespace fourstep
