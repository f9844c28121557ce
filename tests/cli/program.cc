#include "program.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <pty.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>

namespace fourstep {
namespace {

constexpr int kPatienceMs = 20'000;

std::string ReadAll(const std::filesystem::path& path) {
  std::ifstream file(path, std::ios::binary);
  return std::string(std::istreambuf_iterator<char>(file), {});
}

// `arguments` must outlive the result.
std::vector<char*> Argv(const std::vector<std::string>& arguments) {
  std::vector<char*> argv = {const_cast<char*>(FOURSTEP_PROGRAM)};
  for (const std::string& argument : arguments) argv.push_back(const_cast<char*>(argument.c_str()));
  argv.push_back(nullptr);
  return argv;
}

}  // namespace

std::string ProgramPath() {
  return FOURSTEP_PROGRAM;
}

int StatusOf(pid_t child) {
  int status = 0;
  EXPECT_EQ(waitpid(child, &status, 0), child);
  return WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
}

pid_t Start(const std::vector<std::string>& arguments, int in, int out, int err) {
  const std::vector<char*> argv = Argv(arguments);
  const pid_t child = fork();
  if (child == 0) {
    dup2(in, 0);
    dup2(out, 1);
    dup2(err, 2);
    execv(FOURSTEP_PROGRAM, argv.data());
    _exit(127);
  }
  return child;
}

Result RunProgram(const std::vector<std::string>& arguments, const std::string& input,
                  const std::string& out_path) {
  std::string pattern = testing::TempDir() + "/fourstep_cli_XXXXXX";
  const std::filesystem::path folder = mkdtemp(pattern.data());
  std::ofstream(folder / "in", std::ios::binary) << input;
  const std::string out_file = out_path.empty() ? (folder / "out").string() : out_path;
  const int in = open((folder / "in").c_str(), O_RDONLY | O_CLOEXEC);
  const int out = open(out_file.c_str(), O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
  const int err = open((folder / "err").c_str(), O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
  const int status = StatusOf(Start(arguments, in, out, err));
  for (const int fd : {in, out, err}) close(fd);
  const Result result{status, out_path.empty() ? ReadAll(out_file) : "", ReadAll(folder / "err")};
  std::filesystem::remove_all(folder);
  return result;
}

std::vector<Json> Lines(const std::string& text) {
  std::vector<Json> lines;
  for (size_t begin = 0; begin < text.size();) {
    const size_t end = text.find('\n', begin);
    EXPECT_NE(end, text.npos) << "the last line does not end";
    if (end == text.npos) break;
    lines.push_back(Json::parse(text.substr(begin, end - begin)));
    begin = end + 1;
  }
  return lines;
}

void ExpectRefusal(const Result& result, const std::string& what) {
  EXPECT_EQ(result.status, 2) << what << "\n" << result.err.substr(0, 500);
  EXPECT_THAT(result.err, testing::StartsWith("fourstep: ")) << what;
  EXPECT_TRUE(result.err.ends_with('\n')) << what;
  EXPECT_EQ(std::count(result.err.begin(), result.err.end(), '\n'), 1) << what << "\n"
                                                                       << result.err.substr(0, 500);
  EXPECT_LT(result.err.size(), 600u) << what;
  for (const char c : result.err) {
    EXPECT_TRUE(c == '\n' || static_cast<unsigned char>(c) >= 0x20) << what << ": a control character";
  }
}

std::string Shown(const std::vector<std::string>& arguments) {
  std::string shown;
  for (const std::string& argument : arguments) shown += " '" + argument.substr(0, 60) + "'";
  return shown;
}

AtTerminal::AtTerminal(const std::vector<std::string>& arguments,
                       const std::vector<std::string>& environment) {
  const std::vector<char*> argv = Argv(arguments);
  winsize size{.ws_row = 40, .ws_col = 100, .ws_xpixel = 0, .ws_ypixel = 0};
  child_ = forkpty(&terminal_, nullptr, nullptr, &size);
  if (child_ == 0) {
    setenv("TERM", "xterm", 1);
    unsetenv("NO_COLOR");
    for (const std::string& setting : environment) putenv(const_cast<char*>(setting.c_str()));
    execv(FOURSTEP_PROGRAM, argv.data());
    _exit(127);
  }
}

AtTerminal::~AtTerminal() {
  if (child_ > 0) {
    kill(child_, SIGKILL);
    waitpid(child_, nullptr, 0);
  }
  close(terminal_);
}

void AtTerminal::Type(const std::string& text) {
  EXPECT_EQ(write(terminal_, text.data(), text.size()), static_cast<ssize_t>(text.size()));
}

bool AtTerminal::ReadMore(int timeout_ms) {
  pollfd ready{terminal_, POLLIN, 0};
  if (poll(&ready, 1, timeout_ms) != 1) return false;
  char buffer[4096];
  const ssize_t n = read(terminal_, buffer, sizeof buffer);  // an error (EIO) once the other end is closed
  if (n <= 0) return false;
  shown_.append(buffer, static_cast<size_t>(n));
  return true;
}

bool AtTerminal::WaitFor(const std::string& text) {
  const auto deadline = std::chrono::steady_clock::now() + std::chrono::milliseconds(kPatienceMs);
  while (true) {
    const size_t found = shown_.find(text, waited_for_);
    if (found != shown_.npos) {
      waited_for_ = found + text.size();
      return true;
    }
    if (std::chrono::steady_clock::now() > deadline || !ReadMore(kPatienceMs)) {
      ADD_FAILURE() << "\"" << text << "\" was not shown; shown was\n" << shown();
      return false;
    }
  }
}

int AtTerminal::Wait() {
  const auto deadline = std::chrono::steady_clock::now() + std::chrono::milliseconds(kPatienceMs);
  while (ReadMore(kPatienceMs) && std::chrono::steady_clock::now() < deadline) {
  }
  if (std::chrono::steady_clock::now() >= deadline) kill(child_, SIGKILL);
  const int status = StatusOf(child_);
  child_ = -1;
  return status;
}

std::string AtTerminal::shown() const {
  std::string text;
  for (size_t i = 0; i < shown_.size(); ++i) {
    if (shown_[i] != '\r' || i + 1 == shown_.size() || shown_[i + 1] != '\n') text += shown_[i];
  }
  return text;
}

}  // namespace fourstep
