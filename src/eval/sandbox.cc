#include "eval/sandbox.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <grp.h>
#include <poll.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <chrono>
#include <csignal>
#include <cstring>
#include <stdexcept>

#include "base/error.h"
#include "base/json.h"
#include "eval/answer.h"

namespace fourstep {
namespace {

constexpr uid_t kNobody = 65534;
constexpr int kCannotExec = 127;
constexpr int kMaxDyingMs = 10'000;

[[noreturn]] void Fail(std::string_view what) {
  throw std::runtime_error(fmt::format("sandbox: {}: {}", what, std::strerror(errno)));
}

class Descriptor {
 public:
  explicit Descriptor(int fd = -1) : fd_(fd) {}
  ~Descriptor() { Close(); }
  Descriptor(Descriptor&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
  Descriptor& operator=(Descriptor&& other) noexcept {
    std::swap(fd_, other.fd_);
    return *this;
  }
  int get() const { return fd_; }
  void Close() {
    if (fd_ >= 0) ::close(fd_);
    fd_ = -1;
  }

 private:
  int fd_;
};

// A file in memory that holds `contents`, to be read from its start.
Descriptor MemoryFile(std::string_view contents) {
  Descriptor file(::memfd_create("fourstep", MFD_CLOEXEC));
  if (file.get() < 0) Fail("memfd_create");
  while (!contents.empty()) {
    const ssize_t n = ::write(file.get(), contents.data(), contents.size());
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) Fail("write");
    contents.remove_prefix(static_cast<size_t>(n));
  }
  if (::lseek(file.get(), 0, SEEK_SET) != 0) Fail("lseek");
  return file;
}

struct Pipe {
  Descriptor read, write;
  explicit Pipe(bool blocks = false) {
    int ends[2];
    if (::pipe2(ends, O_CLOEXEC) != 0) Fail("pipe2");
    read = Descriptor(ends[0]);
    write = Descriptor(ends[1]);
    if (!blocks && ::fcntl(ends[0], F_SETFL, O_NONBLOCK) != 0) Fail("fcntl");
  }
};

std::vector<std::string> BwrapArguments(const SandboxJob& job, const std::vector<Descriptor>& files,
                                        int info) {
  const SandboxLimits& limits = job.limits;
  std::vector<std::string> arguments = {"bwrap",
                                        "--unshare-user",
                                        "--unshare-all",
                                        "--disable-userns",
                                        "--die-with-parent",
                                        "--new-session",
                                        "--cap-drop",
                                        "ALL",
                                        "--uid",
                                        std::to_string(kNobody),
                                        "--gid",
                                        std::to_string(kNobody),
                                        "--hostname",
                                        "sandbox",
                                        "--clearenv",
                                        "--setenv",
                                        "PATH",
                                        "/usr/bin",
                                        "--setenv",
                                        "HOME",
                                        "/tmp",
                                        "--setenv",
                                        "LANG",
                                        "C.UTF-8",
                                        "--setenv",
                                        "OPENBLAS_NUM_THREADS",
                                        "1",
                                        "--setenv",
                                        "PYTHONHASHSEED",
                                        "0",
                                        "--ro-bind",
                                        "/usr",
                                        "/usr",
                                        "--symlink",
                                        "usr/bin",
                                        "/bin",
                                        "--symlink",
                                        "usr/lib",
                                        "/lib",
                                        "--symlink",
                                        "usr/lib64",
                                        "/lib64",
                                        "--proc",
                                        "/proc",
                                        "--dev",
                                        "/dev",
                                        "--remount-ro",
                                        "/dev",
                                        "--size",
                                        std::to_string(limits.file_bytes),
                                        "--tmpfs",
                                        "/tmp",
                                        "--chdir",
                                        "/tmp"};
  const auto add = [&](std::initializer_list<std::string> more) {
    arguments.insert(arguments.end(), more.begin(), more.end());
  };
  add({"--info-fd", std::to_string(info)});
  for (size_t i = 0; i < files.size(); ++i) {
    add({"--ro-bind-data", std::to_string(files[i].get()), job.files[i].first});
  }
  // One process more than the job's own: that of bubblewrap which is the first of the sandbox.
  add({"--remount-ro", "/", "--", "/usr/bin/prlimit", fmt::format("--nproc={}", limits.num_processes + 1),
       fmt::format("--as={}", limits.memory_bytes),
       fmt::format("--cpu={}:{}", limits.cpu_seconds, limits.cpu_seconds + 1),
       fmt::format("--fsize={}", limits.file_bytes), "--core=0", "--nofile=64", "--"});
  arguments.insert(arguments.end(), job.command.begin(), job.command.end());
  return arguments;
}

// The first process of the sandbox, which ends after all others, from what bubblewrap writes to --info-fd.
Descriptor HandleOfInit(Pipe& info) {
  std::string text;
  std::array<char, 512> buffer;
  for (;;) {
    const ssize_t n = ::read(info.read.get(), buffer.data(), buffer.size());
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) Fail("read");
    if (n == 0) break;
    text.append(buffer.data(), static_cast<size_t>(n));
  }
  if (text.empty()) return Descriptor();  // bubblewrap has failed: its error output says why
  const Json parsed = ParseJson(text, "bwrap --info-fd");
  const int64_t init = JsonReader(parsed, "bwrap --info-fd").Int("child-pid", 1, INT32_MAX);
  return Descriptor(static_cast<int>(::syscall(SYS_pidfd_open, static_cast<pid_t>(init), 0)));
}

// In the child of a fork, where nothing may be called that could allocate.
[[noreturn]] void Become(char* const* arguments, const std::array<int, 3>& standard,
                         const std::vector<Descriptor>& files, int info) {
  for (int i = 0; i < 3; ++i) {
    if (::dup2(standard[static_cast<size_t>(i)], i) < 0) ::_exit(kCannotExec);
  }
  ::syscall(SYS_close_range, 3U, ~0U, 4U /* CLOSE_RANGE_CLOEXEC */);
  for (const Descriptor& file : files) {
    if (::fcntl(file.get(), F_SETFD, 0) != 0) ::_exit(kCannotExec);
  }
  if (::fcntl(info, F_SETFD, 0) != 0) ::_exit(kCannotExec);
  if (::geteuid() == 0) {
    if (::setgroups(0, nullptr) != 0 || ::setresgid(kNobody, kNobody, kNobody) != 0 ||
        ::setresuid(kNobody, kNobody, kNobody) != 0) {
      ::_exit(kCannotExec);
    }
  }
  ::execvp(arguments[0], arguments);
  ::_exit(kCannotExec);
}

// A started job: its process, and what comes out of it.
class RunningJob {
 public:
  explicit RunningJob(const SandboxJob& job) : limits_(job.limits) {
    const Descriptor input = MemoryFile(job.input);
    std::vector<Descriptor> files;
    for (const auto& [path, contents] : job.files) files.push_back(MemoryFile(contents));
    Pipe info(/*blocks=*/true);
    const std::vector<std::string> arguments = BwrapArguments(job, files, info.write.get());
    std::vector<char*> pointers;
    pointers.reserve(arguments.size() + 1);
    for (const std::string& argument : arguments) pointers.push_back(const_cast<char*>(argument.c_str()));
    pointers.push_back(nullptr);
    process_ = ::fork();
    if (process_ < 0) Fail("fork");
    if (process_ == 0)
      Become(pointers.data(), {input.get(), out_.write.get(), error_.write.get()}, files, info.write.get());
    out_.write.Close();
    error_.write.Close();
    info.write.Close();
    handle_ = Descriptor(static_cast<int>(::syscall(SYS_pidfd_open, process_, 0)));
    if (handle_.get() < 0) Fail("pidfd_open");
    init_ = HandleOfInit(info);
  }

  // The death of bubblewrap is that of the sandbox's first process, and that is the death of all others.
  ~RunningJob() {
    if (process_ > 0) {
      ::kill(process_, SIGKILL);
      while (::waitpid(process_, nullptr, 0) < 0 && errno == EINTR) {
      }
    }
    pollfd init{init_.get(), POLLIN, 0};
    while (init_.get() >= 0 && ::poll(&init, 1, kMaxDyingMs) < 0 && errno == EINTR) {
    }
  }
  RunningJob(const RunningJob&) = delete;
  RunningJob& operator=(const RunningJob&) = delete;

  SandboxResult Wait() {
    const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(limits_.wall_seconds);
    for (;;) {
      const auto left =
          std::chrono::ceil<std::chrono::milliseconds>(deadline - std::chrono::steady_clock::now());
      if (left.count() <= 0) return Ended(SandboxResult::End::kTimeOut);
      std::array<pollfd, 3> polled = {pollfd{handle_.get(), POLLIN, 0}, pollfd{out_.read.get(), POLLIN, 0},
                                      pollfd{error_.read.get(), POLLIN, 0}};
      if (::poll(polled.data(), polled.size(), static_cast<int>(left.count())) < 0 && errno != EINTR)
        Fail("poll");
      Drain(out_.read, result_.output);
      Drain(error_.read, result_.error_output);
      if (NumOutputBytes() > limits_.output_bytes) return Ended(SandboxResult::End::kTooMuchOutput);
      if ((polled[0].revents & POLLIN) != 0) return Exited();
    }
  }

 private:
  int64_t NumOutputBytes() const {
    return static_cast<int64_t>(result_.output.size() + result_.error_output.size());
  }

  // Takes what is there, little more than the limit; at its end the pipe is closed, so that poll sleeps.
  void Drain(Descriptor& from, std::string& to) {
    std::array<char, 65536> buffer;
    while (from.get() >= 0 && NumOutputBytes() <= limits_.output_bytes) {
      const ssize_t n = ::read(from.get(), buffer.data(), buffer.size());
      if (n < 0 && errno == EINTR) continue;
      if (n < 0 && errno == EAGAIN) return;
      if (n <= 0) return from.Close();
      to.append(buffer.data(), static_cast<size_t>(n));
    }
  }

  SandboxResult Ended(SandboxResult::End end) {
    result_.end = end;
    return std::move(result_);
  }

  SandboxResult Exited() {
    int status = 0;
    while (::waitpid(process_, &status, 0) < 0) {
      if (errno != EINTR) Fail("waitpid");
    }
    process_ = -1;
    Drain(out_.read, result_.output);
    Drain(error_.read, result_.error_output);
    result_.exit_status = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
    const bool out_of_time = result_.exit_status == 128 + SIGXCPU;
    return Ended(out_of_time ? SandboxResult::End::kTimeOut : SandboxResult::End::kExited);
  }

  SandboxLimits limits_;
  Pipe out_, error_;
  pid_t process_ = -1;
  Descriptor handle_, init_;  // of bubblewrap, of the first process in the sandbox
  SandboxResult result_;
};

std::optional<std::string> FindFault() {
  try {
    const SandboxResult result =
        RunSandboxed({.command = {"/usr/bin/true"}, .input = {}, .files = {}, .limits = {}});
    if (result.end == SandboxResult::End::kExited && result.exit_status == 0) return {};
    if (result.exit_status == kCannotExec && result.error_output.empty()) {
      return "bubblewrap (bwrap) is not installed";
    }
    return fmt::format("bubblewrap does not work here: {}", Printable(TrimBlanks(result.error_output), 200));
  } catch (const std::runtime_error& error) {
    return error.what();
  }
}

}  // namespace

SandboxResult RunSandboxed(const SandboxJob& job) {
  return RunningJob(job).Wait();
}

const std::optional<std::string>& SandboxFault() {
  static const std::optional<std::string> kFault = FindFault();
  return kFault;
}

}  // namespace fourstep
