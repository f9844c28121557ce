// Which code this program was built from.
#pragma once

#include <string_view>

namespace fourstep::cli {

// `git describe --always --dirty` of the source at the time of the build; "unknown" outside a repository.
std::string_view BuildCommit();

}  // namespace fourstep::cli
