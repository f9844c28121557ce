// The model that commands use where none is named.
#pragma once

#include <string>

namespace fourstep::cli {

// The folder models/abacus: of the installed program (../share/fourstep/ beside it) or of the source tree
// that it was built from. Throws Error where neither has it.
std::string DefaultModelFolder();

}  // namespace fourstep::cli
