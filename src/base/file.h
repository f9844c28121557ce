// Files: read whole, mapped, or written so that a reader sees either nothing or all of it.
#pragma once

#include <cstddef>
#include <filesystem>
#include <span>
#include <string>
#include <string_view>

namespace fourstep {

// Throws Error (naming the path) where it is missing, not a regular file, unreadable or larger than
// `max_bytes`.
std::string ReadFile(const std::filesystem::path& path, size_t max_bytes);

// A read-only mapping of a whole regular file. Movable; unmapped by the destructor. A file that shrinks while
// it is mapped kills the process (SIGBUS): checkpoints must not be changed while a model is loaded from them.
class MappedFile {
 public:
  // Throws Error naming the path.
  explicit MappedFile(const std::filesystem::path& path);
  ~MappedFile();
  MappedFile(MappedFile&& other) noexcept;
  MappedFile& operator=(MappedFile&& other) noexcept;
  MappedFile(const MappedFile&) = delete;
  MappedFile& operator=(const MappedFile&) = delete;

  std::span<const std::byte> bytes() const { return bytes_; }
  const std::filesystem::path& path() const { return path_; }

 private:
  std::filesystem::path path_;
  std::span<const std::byte> bytes_;
};

// A file or folder that appears at `destination` only with Commit(): written under a temporary name beside
// it, renamed at the end, removed by the destructor otherwise (an error, an interrupt that unwinds).
class AtomicOutput {
 public:
  enum class Kind { kFile, kFolder };
  // Throws Error where `destination` exists already (unless `replace`, files only) or its parent is no
  // folder.
  AtomicOutput(std::filesystem::path destination, Kind kind, bool replace = false);
  ~AtomicOutput();
  AtomicOutput(const AtomicOutput&) = delete;
  AtomicOutput& operator=(const AtomicOutput&) = delete;

  // Where to write. A folder exists already; a file does not.
  const std::filesystem::path& path() const { return temporary_; }
  void Commit();

 private:
  std::filesystem::path destination_, temporary_;
  bool committed_ = false;
};

// Writes one file atomically, replacing what was there.
void WriteFile(const std::filesystem::path& path, std::string_view contents);

}  // namespace fourstep
