// What a program in the sandbox tries, it does not reach. Skipped, saying why, where no sandbox works.
#include "eval/sandbox.h"

#include <fmt/format.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <chrono>
#include <filesystem>
#include <fstream>
#include <functional>
#include <thread>

namespace fourstep {
namespace {

using End = SandboxResult::End;

size_t NumProcessesWith(const std::string& mark) {
  size_t count = 0;
  for (const auto& entry : std::filesystem::directory_iterator("/proc")) {
    std::ifstream file(entry.path() / "cmdline");
    std::string line;
    if (file && std::getline(file, line) && line.find(mark) != std::string::npos) ++count;
  }
  return count;
}

class Sandbox : public testing::Test {
 protected:
  void SetUp() override {
    if (SandboxFault()) GTEST_SKIP() << *SandboxFault();
    if (!std::filesystem::exists("/usr/bin/python3")) GTEST_SKIP() << "there is no /usr/bin/python3";
  }

  // Tells this test's processes from those of others that run beside it.
  static std::string Mark() { return "mark-of-" + std::to_string(getpid()); }

  static SandboxResult Python(const std::string& code, SandboxLimits limits = {},
                              const std::string& input = "") {
    return RunSandboxed({.command = {"/usr/bin/python3", "/program.py", Mark()},
                         .input = input,
                         .files = {{"/program.py", code}},
                         .limits = limits});
  }
};

double SecondsOf(const std::function<void()>& work) {
  const auto begin = std::chrono::steady_clock::now();
  work();
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
}

TEST_F(Sandbox, RunsAProgram) {
  const SandboxResult result = Python(
      "import sys\nprint(sys.stdin.read()[::-1])\nprint('e', file=sys.stderr)\nsys.exit(3)", {}, "hello");
  EXPECT_EQ(result.end, End::kExited);
  EXPECT_EQ(result.exit_status, 3);
  EXPECT_EQ(result.output, "olleh\n");
  EXPECT_EQ(result.error_output, "e\n");
}

TEST_F(Sandbox, TakesLargeInput) {
  const std::string input = fmt::format("{:x>20000000}", "");
  EXPECT_EQ(Python("import sys\nprint(len(sys.stdin.read()))", {}, input).output, "20000000\n");
}

TEST_F(Sandbox, ShowsNothingOfTheMachine) {
  const std::filesystem::path secret = std::filesystem::temp_directory_path() / "fourstep_sandbox_secret";
  std::ofstream(secret) << "secret";
  std::filesystem::permissions(secret, std::filesystem::perms::others_read,
                               std::filesystem::perm_options::add);
  const SandboxResult result = Python(
      "import os\n"
      "print(sorted(os.listdir('/')))\n"
      "print(os.path.exists('" +
      secret.string() +
      "'), os.path.exists('/etc/passwd'), os.path.exists('/home'))\n"
      "print(os.getuid(), os.getppid() < 10, len([p for p in os.listdir('/proc') if p.isdigit()]) < 5)\n"
      "print(sorted(os.environ))\n");
  EXPECT_EQ(result.output,
            "['bin', 'dev', 'lib', 'lib64', 'proc', 'program.py', 'tmp', 'usr']\nFalse False False\n65534 "
            "True True\n"
            "['HOME', 'LANG', 'OPENBLAS_NUM_THREADS', 'PATH', 'PWD', 'PYTHONHASHSEED']\n")
      << result.error_output;
  std::filesystem::remove(secret);
}

TEST_F(Sandbox, WritesNothingOutsideItsTmp) {
  const SandboxResult result = Python(
      "import os\n"
      "for path in ['/x', '/usr/x', '/usr/bin/true', '/dev/x', '/dev/shm/x', '/proc/sys/kernel/hostname', "
      "'/program.py',\n"
      "             '/proc/sysrq-trigger']:\n"
      "  try:\n"
      "    open(path, 'r+' if os.path.exists(path) else 'w').write('x'); print('wrote', path)\n"
      "  except OSError: pass\n"
      "open('/tmp/x', 'w').write('x')\nprint(open('/tmp/x').read())\n");
  EXPECT_EQ(result.output, "x\n") << result.error_output;
}

// The ways out of a namespace that a program may try.
TEST_F(Sandbox, LetsNothingEscape) {
  const pid_t parent = getpid();
  const SandboxResult result = Python(
      "import ctypes, os, signal, socket\n"
      "libc = ctypes.CDLL(None, use_errno=True)\n"
      "def tried(name, code): print(name, 'held' if code != 0 else 'ESCAPED')\n"
      "tried('mount', libc.mount(b'none', b'/tmp', b'tmpfs', 0, None))\n"
      "tried('umount', libc.umount2(b'/usr', 2))\n"
      "tried('remount', libc.mount(b'none', b'/usr', None, 32 | 4096, None))\n"
      "tried('unshare', libc.unshare(0x10000000))\n"
      "tried('chroot', libc.chroot(b'/tmp'))\n"
      "tried('setuid', libc.setuid(0))\n"
      "tried('sethostname', libc.sethostname(b'x', 1))\n"
      "tried('mknod', libc.mknod(b'/tmp/sda', 0o60666, 0x800))\n"
      "tried('reboot', libc.reboot(0x01234567))\n"
      "tried('rlimit', libc.prlimit(0, 6, (ctypes.c_ulong * 2)(1000, 1000), None))\n"
      "for family in (socket.AF_INET, socket.AF_INET6):\n"
      "  address = '8.8.8.8' if family == socket.AF_INET else '2001:4860:4860::8888'\n"
      "  try:\n"
      "    with socket.socket(family) as s: s.settimeout(2); s.connect((address, 53)); print('net ESCAPED')\n"
      "  except OSError: print('net held')\n"
      "try:\n"
      "  os.kill(" +
      std::to_string(parent) +
      ", 0); print('kill ESCAPED')\n"
      "except OSError: print('kill held')\n"
      "for fd in os.listdir('/proc/self/fd'):\n"
      "  link = f'/proc/self/fd/{fd}'\n"
      "  if int(fd) > 2 and os.path.lexists(link): print('open', os.readlink(link))\n");
  EXPECT_EQ(result.output.find("ESCAPED"), std::string::npos) << result.output;
  EXPECT_EQ(std::count(result.output.begin(), result.output.end(), '\n'), 13)
      << result.output << result.error_output;
}

TEST_F(Sandbox, EndsAnEndlessLoop) {
  SandboxLimits limits{.cpu_seconds = 1, .wall_seconds = 20};
  const double seconds = SecondsOf([&] { EXPECT_EQ(Python("while True: pass", limits).end, End::kTimeOut); });
  EXPECT_LT(seconds, 15);
}

TEST_F(Sandbox, EndsASleeperAndWhatIgnoresSignals) {
  SandboxLimits limits{.wall_seconds = 1};
  EXPECT_EQ(Python("import time\ntime.sleep(1000)", limits).end, End::kTimeOut);
  EXPECT_EQ(Python("import signal, time\n"
                   "for s in set(signal.Signals) - {signal.SIGKILL, signal.SIGSTOP}: signal.signal(s, "
                   "signal.SIG_IGN)\n"
                   "time.sleep(1000)",
                   limits)
                .end,
            End::kTimeOut);
}

TEST_F(Sandbox, HoldsAForkBomb) {
  SandboxLimits limits{.cpu_seconds = 1, .wall_seconds = 3};
  const SandboxResult result = Python(
      "import os, sys, time\n"
      "n = 0\n"
      "for i in range(100):\n"
      "  try:\n"
      "    if os.fork() == 0: time.sleep(1000)\n"
      "    n += 1\n"
      "  except OSError: pass\n"
      "print(n, flush=True)\n"
      "while True:\n"
      "  try: os.fork()\n"
      "  except OSError: pass\n",
      limits);
  EXPECT_EQ(result.end, End::kTimeOut);
  EXPECT_EQ(result.output, "3\n");
  EXPECT_EQ(NumProcessesWith(Mark()), 0u) << "processes of the bomb are left";
}

// Ends with its first process, whatever others go on.
TEST_F(Sandbox, LeavesNoProcessBehind) {
  const SandboxResult result =
      Python("import os, time\nif os.fork() == 0:\n  os.setsid()\n  time.sleep(1000)\nprint('done')");
  EXPECT_EQ(result.end, End::kExited);
  EXPECT_EQ(result.output, "done\n");
  EXPECT_EQ(NumProcessesWith(Mark()), 0u);
}

TEST_F(Sandbox, StopsTenGigabytesOfOutput) {
  for (const char* stream : {"stdout", "stderr"}) {
    const SandboxResult result =
        Python(std::string("import sys\nchunk = 'x' * 1000000\nfor i in range(10000): sys.") + stream +
               ".write(chunk)");
    EXPECT_EQ(result.end, End::kTooMuchOutput);
    EXPECT_LE(result.output.size() + result.error_output.size(), size_t{17} << 20);
  }
  const SandboxResult file = Python(
      "import os\n"
      "n = 0\n"
      "try:\n"
      "  for i in range(100):\n"
      "    with open(f'/tmp/{i}', 'wb') as f:\n"
      "      for j in range(100): n += f.write(b'x' * 1000000)\n"
      "except OSError: pass\n"
      "print(n <= 64 << 20)\n");
  EXPECT_EQ(file.output, "True\n") << file.error_output;
}

TEST_F(Sandbox, RefusesMemoryBeyondTheLimit) {
  const SandboxResult result =
      Python("try:\n  x = bytearray(3 << 30)\n  print('got it')\nexcept MemoryError: print('held')");
  EXPECT_EQ(result.output, "held\n") << result.error_output;
}

TEST_F(Sandbox, RunsSeveralAtOnce) {
  std::vector<std::string> outputs(4);
  std::vector<std::thread> threads;
  for (size_t t = 0; t < outputs.size(); ++t) {
    threads.emplace_back([&outputs, t] {
      for (int i = 0; i < 5; ++i) outputs[t] += Python("print(input())", {}, std::to_string(t)).output;
    });
  }
  for (std::thread& thread : threads) thread.join();
  for (size_t t = 0; t < outputs.size(); ++t) {
    std::string expected;
    for (int i = 0; i < 5; ++i) expected += std::to_string(t) + "\n";
    EXPECT_EQ(outputs[t], expected);
  }
}

TEST(SandboxFault, IsOneLine) {
  if (!SandboxFault()) GTEST_SKIP() << "the sandbox works here";
  EXPECT_EQ(SandboxFault()->find('\n'), std::string::npos) << *SandboxFault();
  EXPECT_GT(SandboxFault()->size(), 10u);
}

}  // namespace
}  // namespace fourstep
