#include "base/progress.h"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <utility>

namespace fourstep {

using std::chrono::steady_clock;

Progress::Progress(std::string what, size_t total)
    : what_(std::move(what)),
      total_(std::max<size_t>(total, 1)),
      enabled_(::isatty(STDERR_FILENO) == 1),
      started_(steady_clock::now()),
      drawn_(started_) {}

Progress::~Progress() {
  if (enabled_) std::fputs("\r\x1b[K", stderr);
}

void Progress::Update(size_t done, const std::string& note) {
  const auto now = steady_clock::now();
  if (!enabled_ || now - drawn_ < std::chrono::milliseconds(100)) return;
  drawn_ = now;
  constexpr size_t kWidth = 24;
  done = std::min(done, total_);
  const size_t filled = kWidth * done / total_;
  const double elapsed_s = std::chrono::duration<double>(now - started_).count();
  std::string left;
  if (done > 0) {
    left = fmt::format("{:.0f} s left",
                       elapsed_s * static_cast<double>(total_ - done) / static_cast<double>(done));
  }
  std::string bar;
  for (size_t i = 0; i < kWidth; ++i) bar += i < filled ? "█" : "░";
  std::fputs(fmt::format("\r\x1b[K{} {}/{} {}  {}  {}", bar, done, total_, what_, left, note).c_str(),
             stderr);
  std::fflush(stderr);
}

}  // namespace fourstep
