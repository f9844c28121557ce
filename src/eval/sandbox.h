// Runs a program that nobody trusts, by bubblewrap: no network, nothing of the machine's files but /usr, its
// own processes only, and limits on time, memory, processes and output.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace fourstep {

struct SandboxLimits {
  int cpu_seconds = 6;                       // of each process
  int wall_seconds = 20;                     // of the whole
  int64_t memory_bytes = int64_t{2} << 30;   // of each process's address space
  int num_processes = 4;                     // and threads, with the one that starts them
  int64_t output_bytes = int64_t{16} << 20;  // standard output and error together
  int64_t file_bytes = int64_t{64} << 20;    // of /tmp, the only folder that can be written, and of a file
};

struct SandboxJob {
  std::vector<std::string> command;                        // with the program's whole path
  std::string input;                                       // its standard input
  std::vector<std::pair<std::string, std::string>> files;  // (path in the sandbox, contents), to be read
  SandboxLimits limits;
};

struct SandboxResult {
  enum class End { kExited, kTimeOut, kTooMuchOutput };
  End end = End::kExited;
  int exit_status = 0;  // where it exited; 128 + the signal that ended it
  std::string output, error_output;
};

// Throws std::runtime_error where the sandbox cannot be started. Everything that the job started has ended
// when this returns. Where the caller is root, the job runs as nobody: limits do not bind root.
SandboxResult RunSandboxed(const SandboxJob& job);

// Why no sandbox works here: bwrap is missing, or the machine does not allow user namespaces. Nothing where
// it works; tried once.
const std::optional<std::string>& SandboxFault();

}  // namespace fourstep
