#include "quantize/side_files.h"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <fstream>
#include <stdexcept>
#include <string_view>

#include "base/error.h"
#include "base/file.h"

namespace fourstep {
namespace {

namespace fs = std::filesystem;

// Written anew.
constexpr std::string_view kRewritten[] = {"config.json", "hf_quant_config.json",
                                           "model.safetensors.index.json"};
// The thresholds of reset.json are entropies measured under other numerics.
constexpr std::string_view kResetFile = "reset.json";
constexpr std::string_view kOtherWeights[] = {".bin", ".pt", ".pth", ".gguf", ".onnx", ".h5", ".msgpack"};

bool Contains(std::span<const std::string_view> list, std::string_view value) {
  return std::find(list.begin(), list.end(), value) != list.end();
}

}  // namespace

SideFiles FindSideFiles(const fs::path& folder) {
  SideFiles files;
  std::error_code failure;
  fs::directory_iterator entries(folder, failure);
  if (failure) throw Errorf(folder.string(), "cannot be read: {}", failure.message());
  for (const fs::directory_entry& entry : entries) {
    const std::string name = entry.path().filename().string();
    const std::string extension = entry.path().extension().string();
    if (entry.is_symlink(failure) && !entry.exists(failure))
      throw Error(entry.path().string(), "is a link to a file that does not exist");
    if (!entry.is_regular_file(failure) || name.starts_with('.') || extension == ".safetensors" ||
        Contains(kRewritten, name))
      continue;
    const bool leave =
        name == kResetFile || Contains(kOtherWeights, extension) || name.ends_with(".bin.index.json");
    (leave ? files.left_out : files.copied).push_back(name);
  }
  std::sort(files.copied.begin(), files.copied.end());
  std::sort(files.left_out.begin(), files.left_out.end());
  return files;
}

void CopyFiles(const std::vector<std::string>& names, const fs::path& from, const fs::path& to) {
  for (const std::string& name : names) {
    const MappedFile file(from / name);
    std::ofstream stream(to / name, std::ios::binary);
    stream.write(reinterpret_cast<const char*>(file.bytes().data()),
                 static_cast<std::streamsize>(file.bytes().size()));
    stream.close();
    if (!stream)
      throw std::runtime_error(
          fmt::format("{}: cannot be written: {}", (to / name).string(), std::strerror(errno)));
  }
}

}  // namespace fourstep
