// Ctrl-C as a flag: what was begun can be stopped in order.
#pragma once

namespace fourstep::cli {

// While it lives, Ctrl-C (SIGINT) sets a flag. A second one before Clear() ends the process at once, with the
// terminal's colours restored. At most one at a time.
class InterruptWatch {
 public:
  InterruptWatch();
  ~InterruptWatch();
  InterruptWatch(const InterruptWatch&) = delete;
  InterruptWatch& operator=(const InterruptWatch&) = delete;

  bool interrupted() const;
  void Clear();

  // Waits until `file_descriptor` can be read (true) or Ctrl-C comes (false).
  bool WaitForInput(int file_descriptor) const;
};

}  // namespace fourstep::cli
