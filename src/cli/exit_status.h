// How a command ends: 0 done, 1 a failure at run time, 2 the user's or a file's fault (Error), 130 Ctrl-C.
#pragma once

namespace fourstep::cli {

// Thrown by a command that Ctrl-C ended, after it has tidied up; main turns it into the exit status.
struct Interrupted {};

inline constexpr int kExitFailure = 1, kExitFault = 2, kExitInterrupted = 130;

}  // namespace fourstep::cli
