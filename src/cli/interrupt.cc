#include "cli/interrupt.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <stdexcept>

#include "cli/exit_status.h"

namespace fourstep::cli {
namespace {

std::atomic<int> signal_count = 0;
static_assert(std::atomic<int>::is_always_lock_free);  // a signal handler may touch no other

// A byte for every signal: poll() sees it, whichever thread took the signal and when.
int pipe_ends[2] = {-1, -1};

void OnInterrupt(int) {
  const int errno_before = errno;
  [[maybe_unused]] ssize_t written = write(pipe_ends[1], "", 1);
  if (++signal_count > 1) {
    constexpr char kRestoreColours[] = "\x1b[0m\n";
    if (isatty(STDOUT_FILENO) == 1) {
      written = write(STDOUT_FILENO, kRestoreColours, sizeof kRestoreColours - 1);
    }
    _exit(kExitInterrupted);
  }
  errno = errno_before;
}

}  // namespace

InterruptWatch::InterruptWatch() {
  if (pipe2(pipe_ends, O_CLOEXEC | O_NONBLOCK) != 0) throw std::runtime_error("a pipe cannot be made");
  signal_count = 0;
  struct sigaction action = {};
  action.sa_handler = OnInterrupt;
  action.sa_flags = SA_RESTART;  // a write that is under way must not fail
  sigemptyset(&action.sa_mask);
  sigaction(SIGINT, &action, nullptr);
}

InterruptWatch::~InterruptWatch() {
  signal(SIGINT, SIG_DFL);
  for (int& end : pipe_ends) {
    close(end);
    end = -1;
  }
}

bool InterruptWatch::interrupted() const {
  return signal_count > 0;
}

void InterruptWatch::Clear() {
  signal_count = 0;
  char bytes[64];
  while (read(pipe_ends[0], bytes, sizeof bytes) > 0) {
  }
}

bool InterruptWatch::WaitForInput(int file_descriptor) const {
  pollfd files[] = {{file_descriptor, POLLIN, 0}, {pipe_ends[0], POLLIN, 0}};
  while (!interrupted()) {
    if (poll(files, 2, -1) > 0 && files[0].revents != 0) return !interrupted();
  }
  return false;
}

}  // namespace fourstep::cli
