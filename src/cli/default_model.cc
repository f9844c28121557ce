#include "cli/default_model.h"

#include <filesystem>
#include <system_error>

#include "base/error.h"

namespace fourstep::cli {

std::string DefaultModelFolder() {
  namespace fs = std::filesystem;
  std::error_code ignored;
  const fs::path program = fs::read_symlink("/proc/self/exe", ignored);
  const fs::path candidates[] = {
      program.parent_path().parent_path() / "share" / "fourstep" / "models" / "abacus",
      fs::path(FOURSTEP_SOURCE_DIR) / "models" / "abacus",
  };
  for (const fs::path& folder : candidates) {
    if (fs::is_regular_file(folder / "config.json", ignored)) return folder.string();
  }
  throw Errorf("MODEL", "the default model is not in {}; name the folder of a model", candidates[1].string());
}

}  // namespace fourstep::cli
