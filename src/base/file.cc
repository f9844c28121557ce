#include "base/file.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <fstream>
#include <utility>

#include "base/error.h"

namespace fourstep {
namespace {

// An open regular file and its size; closes itself.
class OpenFile {
 public:
  explicit OpenFile(const std::filesystem::path& path) {
    // O_NONBLOCK: opening a named pipe must not wait for a writer.
    fd_ = ::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd_ < 0) throw Errorf(path.string(), "cannot be opened: {}", std::strerror(errno));
    struct stat info {};
    if (::fstat(fd_, &info) != 0 || !S_ISREG(info.st_mode)) {
      ::close(fd_);
      throw Error(path.string(), "is not a regular file");
    }
    size_bytes_ = static_cast<size_t>(info.st_size);
  }
  ~OpenFile() { ::close(fd_); }
  OpenFile(const OpenFile&) = delete;
  OpenFile& operator=(const OpenFile&) = delete;
  int fd() const { return fd_; }
  size_t size_bytes() const { return size_bytes_; }

 private:
  int fd_ = -1;
  size_t size_bytes_ = 0;
};

}  // namespace

std::string ReadFile(const std::filesystem::path& path, size_t max_bytes) {
  const OpenFile file(path);
  if (file.size_bytes() > max_bytes) {
    throw Errorf(path.string(), "has {} bytes, at most {} were expected", file.size_bytes(), max_bytes);
  }
  std::string contents(file.size_bytes(), '\0');
  size_t done_bytes = 0;
  while (done_bytes < contents.size()) {
    const ssize_t n = ::read(file.fd(), contents.data() + done_bytes, contents.size() - done_bytes);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) throw Errorf(path.string(), "cannot be read: {}", std::strerror(errno));
    if (n == 0) throw Error(path.string(), "became shorter while it was read");
    done_bytes += static_cast<size_t>(n);
  }
  return contents;
}

MappedFile::MappedFile(const std::filesystem::path& path) : path_(path) {
  const OpenFile file(path);
  if (file.size_bytes() == 0) return;
  void* address = ::mmap(nullptr, file.size_bytes(), PROT_READ, MAP_PRIVATE, file.fd(), 0);
  if (address == MAP_FAILED) throw Errorf(path.string(), "cannot be mapped: {}", std::strerror(errno));
  bytes_ = {static_cast<const std::byte*>(address), file.size_bytes()};
}

MappedFile::~MappedFile() {
  if (!bytes_.empty()) ::munmap(const_cast<std::byte*>(bytes_.data()), bytes_.size());
}

MappedFile::MappedFile(MappedFile&& other) noexcept
    : path_(std::move(other.path_)), bytes_(std::exchange(other.bytes_, {})) {}

MappedFile& MappedFile::operator=(MappedFile&& other) noexcept {
  std::swap(path_, other.path_);
  std::swap(bytes_, other.bytes_);
  return *this;
}

AtomicOutput::AtomicOutput(std::filesystem::path destination, Kind kind, bool replace)
    : destination_(std::move(destination)) {
  namespace fs = std::filesystem;
  // "out/" means "out": a trailing slash has no file name to put a suffix on.
  if (!destination_.has_filename()) destination_ = destination_.parent_path();
  std::error_code ignored;
  const fs::path parent = destination_.has_parent_path() ? destination_.parent_path() : fs::path(".");
  if (!fs::is_directory(parent, ignored)) throw Error(parent.string(), "is not a folder to write into");
  if (fs::exists(fs::symlink_status(destination_, ignored)) && !(replace && kind == Kind::kFile)) {
    throw Error(destination_.string(), "exists already; choose another name or remove it first");
  }
  temporary_ = parent / fmt::format(".{}.tmp-{}", destination_.filename().string(), ::getpid());
  fs::remove_all(temporary_, ignored);
  if (kind == Kind::kFolder) {
    std::error_code failure;
    if (!fs::create_directory(temporary_, failure)) {
      throw Errorf(destination_.string(), "cannot be created: {}", failure.message());
    }
  }
}

AtomicOutput::~AtomicOutput() {
  std::error_code ignored;
  if (!committed_) std::filesystem::remove_all(temporary_, ignored);
}

void AtomicOutput::Commit() {
  std::error_code failure;
  std::filesystem::rename(temporary_, destination_, failure);
  if (failure) throw Errorf(destination_.string(), "cannot be written: {}", failure.message());
  committed_ = true;
}

void WriteFile(const std::filesystem::path& path, std::string_view contents) {
  AtomicOutput output(path, AtomicOutput::Kind::kFile, /*replace=*/true);
  {
    std::ofstream stream(output.path(), std::ios::binary);
    stream.write(contents.data(), static_cast<std::streamsize>(contents.size()));
    stream.close();
    if (!stream) throw Errorf(path.string(), "cannot be written: {}", std::strerror(errno));
  }
  output.Commit();
}

}  // namespace fourstep
