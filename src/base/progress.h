// A progress line for work that takes more than a moment: on a terminal only, on standard error, gone when
// done.
#pragma once

#include <chrono>
#include <cstddef>
#include <string>

namespace fourstep {

class Progress {
 public:
  // `total` steps of `what` ("layers", "problems"). Silent where standard error is not a terminal.
  Progress(std::string what, size_t total);
  ~Progress();
  Progress(const Progress&) = delete;
  Progress& operator=(const Progress&) = delete;

  // `done` of the total are finished; `note` stands at the end of the line. Drawn at most 10 times a second.
  void Update(size_t done, const std::string& note = "");

 private:
  std::string what_;
  size_t total_;
  bool enabled_;
  std::chrono::steady_clock::time_point started_, drawn_;
};

}  // namespace fourstep
