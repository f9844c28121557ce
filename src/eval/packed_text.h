// Texts as Python packs them: base64 of zlib of a pickled string.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

namespace fourstep {

// All three throw Error (naming `where`) for anything else, or for more than `max_bytes` of output.
std::string DecodeBase64(std::string_view text, const std::string& where);
std::string Inflate(std::string_view bytes, size_t max_bytes, const std::string& where);
// A pickle that holds one string and nothing else. Nothing in it is run.
std::string UnpickleString(std::string_view bytes, const std::string& where);

}  // namespace fourstep
