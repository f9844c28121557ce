// Runs a fuzz target once over every file named (or found in a folder named) on the command line: what builds
// without libFuzzer use, so that a target compiles and passes its seeds everywhere.

#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <vector>

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size_bytes);

namespace {

int RunFile(const std::filesystem::path& path) {
  std::ifstream file(path, std::ios::binary);
  const std::vector<char> bytes((std::istreambuf_iterator<char>(file)), {});
  LLVMFuzzerTestOneInput(reinterpret_cast<const uint8_t*>(bytes.data()), bytes.size());
  return 1;
}

}  // namespace

int main(int argc, char** argv) {
  int num_files = 0;
  for (int i = 1; i < argc; ++i) {
    if (std::filesystem::is_directory(argv[i])) {
      for (const auto& entry : std::filesystem::recursive_directory_iterator(argv[i])) {
        if (entry.is_regular_file()) num_files += RunFile(entry.path());
      }
    } else {
      num_files += RunFile(argv[i]);
    }
  }
  std::printf("%d inputs\n", num_files);
  return num_files > 0 ? 0 : 1;  // an empty corpus would be a test that cannot fail
}
