// `fourstep quantize` run as a program: what people can ask, what they get wrong, and what is left where it
// is killed or the disk is full.
#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <optional>
#include <thread>

#include "tests/quantize/edited_checkpoint.h"

namespace fourstep {
namespace {

namespace fs = std::filesystem;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::StartsWith;

struct Result {
  int status;  // exit status, or minus the signal that ended it
  std::string out, err;
};

// `max_file_bytes`: where a file would become larger, the kernel kills the program (SIGXFSZ), or with
// `ignores_limit` refuses the write, as a full disk does.
struct Limits {
  std::optional<rlim_t> max_file_bytes;
  bool ignores_limit = false;
};

// The program running; what it says goes to files in a folder of its own.
class Program {
 public:
  explicit Program(const std::vector<std::string>& arguments, const Limits& limits = {}) {
    std::vector<char*> argv = {const_cast<char*>(FOURSTEP_PROGRAM), const_cast<char*>("quantize")};
    for (const std::string& argument : arguments) argv.push_back(const_cast<char*>(argument.c_str()));
    argv.push_back(nullptr);
    const int out = open((folder_ / "out").c_str(), O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    const int err = open((folder_ / "err").c_str(), O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    child_ = fork();
    if (child_ == 0) {
      dup2(out, 1);
      dup2(err, 2);
      SetLimits(limits);
      setenv("OMP_WAIT_POLICY", "passive", 1);  // tests share cores: threads that wait must not spin
      execv(FOURSTEP_PROGRAM, argv.data());
      _exit(127);
    }
    close(out);
    close(err);
  }

  void Signal(int signal) { kill(child_, signal); }

  Result Wait() {
    int status = 0;
    EXPECT_EQ(waitpid(child_, &status, 0), child_);
    return {WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status), ReadBytes(folder_ / "out"),
            ReadBytes(folder_ / "err")};
  }

 private:
  static void SetLimits(const Limits& limits) {
    const rlimit no_core{0, 0};
    setrlimit(RLIMIT_CORE, &no_core);
    if (!limits.max_file_bytes) return;
    const rlimit limit{*limits.max_file_bytes, *limits.max_file_bytes};
    setrlimit(RLIMIT_FSIZE, &limit);
    signal(SIGXFSZ, limits.ignores_limit ? SIG_IGN : SIG_DFL);
  }

  TempFolder folder_;
  pid_t child_;
};

Result RunProgram(const std::vector<std::string>& arguments, const Limits& limits = {}) {
  return Program(arguments, limits).Wait();
}

std::string Tiny(const std::string& name) {
  return TinyCheckpoint(name).string();
}

TEST(QuantizeCommand, WritesACheckpointAndSaysWhatItDid) {
  const TempFolder folder;
  CopyTiny("tiny-qwen3", folder / "source");
  WriteBytes(folder / "source" / "reset.json", "{}");
  const Result result = RunProgram({folder / "source", folder / "out", "--threads", "1"});
  EXPECT_EQ(result.status, 0) << result.err;
  EXPECT_EQ(result.err, "");  // no progress line where there is no terminal
  EXPECT_THAT(result.out, HasSubstr("14 linears to NVFP4 (rtn, modelopt), relative error "));
  EXPECT_THAT(result.out, HasSubstr("times smaller"));
  EXPECT_THAT(result.out, HasSubstr("reset.json is not copied: its thresholds were measured on the source"));
  EXPECT_THAT(result.out, HasSubstr("\n    1 |"));  // the table's second layer
  EXPECT_FALSE(fs::exists(folder / "out" / "reset.json"));
  EXPECT_THAT(folder.Names(), ElementsAre("out", "source"));
}

TEST(QuantizeCommand, SpeaksJson) {
  const TempFolder folder;
  WriteBytes(folder / "text", "Wait, so the answer is 3.\n\nNo, 4.");
  const Result result = RunProgram({Tiny("tiny-qwen2"), folder / "out", "--dialect", "compressed-tensors",
                                    "--json", "--calibration-text", folder / "text", "--threads", "1"});
  ASSERT_EQ(result.status, 0) << result.err;
  const Json report = Json::parse(result.out);
  EXPECT_EQ(report.at("dialect"), "compressed-tensors");
  EXPECT_EQ(report.at("method"), "rtn");
  EXPECT_EQ(report.at("weights_only"), false);
  EXPECT_GT(report.at("calibration_tokens"), 5);
  EXPECT_LT(report.at("calibration_tokens"), 40);
  ASSERT_EQ(report.at("linears").size(), 14u);
  for (const Json& linear : report.at("linears")) {
    EXPECT_NEAR(linear.at("weight_error").get<double>(), 0.095, 0.01) << linear;
    EXPECT_GT(linear.at("input_amax"), 0) << linear;
  }
  EXPECT_EQ(report.at("linears").at(6).at("module"), "model.layers.0.mlp.down_proj");
  EXPECT_EQ(report.at("linears").at(6).at("n"), 64);
  EXPECT_EQ(report.at("linears").at(6).at("k"), 96);
  EXPECT_NEAR(report.at("weight_error").get<double>(), 0.095, 0.005);
  EXPECT_GT(report.at("source_bytes"), report.at("result_bytes"));
  EXPECT_GT(report.at("seconds"), 0);
}

TEST(QuantizeCommand, WritesWeightsOnly) {
  const TempFolder folder;
  CopyTiny("tiny-llama", folder / "source");
  fs::remove(folder / "source" / "tokenizer.json");  // not needed without calibration
  const Result result = RunProgram({folder / "source", folder / "out", "--weights-only", "--json"});
  ASSERT_EQ(result.status, 0) << result.err;
  const Json report = Json::parse(result.out);
  EXPECT_EQ(report.at("calibration_tokens"), 0);
  for (const Json& linear : report.at("linears")) EXPECT_FALSE(linear.contains("input_amax"));
  for (const auto& [name, tensor] : ReadTensors(folder / "out"))
    EXPECT_THAT(name, testing::Not(testing::EndsWith("input_scale")));
}

TEST(QuantizeCommand, WritesTheHeadToo) {
  for (const std::string head : {"fp8", "nvfp4"}) {
    const TempFolder folder;
    const std::vector<std::string> arguments = {Tiny("tiny-qwen3"), folder / "out", "--head", head,
                                                "--weights-only",   "--threads",    "1"};
    const Result result = RunProgram(arguments);
    ASSERT_EQ(result.status, 0) << result.err;
    EXPECT_THAT(result.out, HasSubstr("\n head |"));
    EXPECT_THAT(result.out, HasSubstr("to " + head + "\n"));
    EXPECT_THAT(result.out, HasSubstr(head == "fp8" ? "\n14 linears to NVFP4" : "\n15 linears to NVFP4"));
    const Result json = RunProgram({Tiny("tiny-qwen3"), folder / "json", "--head", head, "--json"});
    ASSERT_EQ(json.status, 0) << json.err;
    const Json report = Json::parse(json.out);
    EXPECT_EQ(report.at("head"), head);
    EXPECT_EQ(report.at("linears").back().at("module"), "lm_head");
    EXPECT_EQ(report.at("linears").back().at("format"), head);
    EXPECT_EQ(report.at("linears").front().at("format"), "nvfp4");
  }
}

TEST(QuantizeCommand, IsReproducible) {
  const TempFolder folder;
  for (const char* threads : {"1", "2"}) {
    EXPECT_EQ(RunProgram({Tiny("tiny-qwen3"), folder / threads, "--threads", threads}).status, 0);
  }
  for (const auto& entry : fs::directory_iterator(folder / "1")) {
    const std::string name = entry.path().filename().string();
    EXPECT_EQ(ReadBytes(entry.path()), ReadBytes(folder / "2" / name)) << name;
  }
}

// One line that says what is wrong, status 2, and nothing written.
TEST(QuantizeCommand, RefusesWrongInput) {
  struct Case {
    std::vector<std::string> arguments;
    std::string expected;
  };
  const TempFolder folder;
  const std::string source = Tiny("tiny-qwen3"), out = folder / "out";
  WriteBytes(folder / "empty", "");
  WriteBytes(folder / "file", "x");
  fs::create_directory(folder / "nothing");
  fs::create_directory(folder / "taken");
  CopyTiny("tiny-qwen3", folder / "bad json");
  WriteBytes(folder / "bad json" / "config.json", "{\"architectures\": [");
  CopyTiny("tiny-qwen3", folder / "odd", {},
           [](Json& config) { config["architectures"] = {"OddForCausalLM"}; });
  CopyTiny("tiny-qwen3", folder / "cut");
  fs::resize_file(folder / "cut" / "model.safetensors", 1000);
  CopyTiny("tiny-qwen3", folder / "nan", [](OwnedTensors& tensors) {
    SetBf16(tensors.at("model.layers.0.mlp.up_proj.weight"), 5, std::numeric_limits<float>::quiet_NaN());
  });
  const std::vector<Case> cases = {
      {{}, "source is required"},
      {{source}, "destination is required"},
      {{source, out, "more"}, "argument was not expected: more"},
      {{source, out, "--fast"}, "argument was not expected: --fast"},
      {{source, out, "--method", "best"}, "method: \"best\" is not one of rtn"},
      {{source, out, "--method"}, "--method"},
      {{source, out, "--dialect", "gguf"}, "--dialect: \"gguf\" is not one of modelopt, compressed-tensors"},
      {{source, out, "--dialect", "none"}, "--dialect: \"none\" is not one of"},
      {{source, out, "--head", "int8"}, "--head: \"int8\" is not one of bf16, fp8, nvfp4"},
      {{source, out, "--calibration-text", folder / "no"}, "no: cannot be opened"},
      {{source, out, "--calibration-text", folder / "empty"}, "empty: is empty, expected a calibration text"},
      {{source, out, "--calibration-text", folder / "nothing"}, "nothing: is not a regular file"},
      {{source, out, "--calibration-tokens", "0"}, "--calibration-tokens"},
      {{source, out, "--calibration-tokens", "many"}, "--calibration-tokens"},
      {{source, out, "--calibration-tokens", "2000000"}, "--calibration-tokens"},
      {{source, out, "--shard-size-mb", "0"}, "--shard-size-mb"},
      {{source, out, "--shard-size-mb", "-5"}, "--shard-size-mb"},
      {{source, out, "--threads", "-1"}, "--threads"},
      {{source, out, "--threads", "99999999999"}, "--threads"},
      {{source, out, "--weights-only", "--calibration-text", folder / "file"}, "--weights-only"},
      {{source, out, "--weights-only", "--calibration-tokens", "9"}, "--weights-only"},
      {{folder / "no", out}, "no: is not a folder"},
      {{folder / "file", out}, "file: is not a folder"},
      {{folder / "nothing", out}, "config.json: cannot be opened"},
      {{folder / "bad json", out}, "config.json"},
      {{folder / "odd", out}, "OddForCausalLM"},
      {{folder / "odd", out, "--weights-only"}, "OddForCausalLM"},
      {{folder / "cut", out}, "model.safetensors"},
      {{folder / "nan", out}, "model.layers.0.mlp.up_proj: has a weight that is NaN or infinite"},
      {{Tiny("tiny-qwen3-nvfp4"), out}, "is quantised already (modelopt)"},
      {{source, folder / "taken"}, "taken: exists already"},
      {{source, folder / "file"}, "file: exists already"},
      {{source, folder / "no/such/place"}, "no/such: is not a folder to write into"},
      {{source, ""}, ""},
  };
  const std::vector<std::string> before = folder.Names();
  for (const Case& c : cases) {
    const Result result = RunProgram(c.arguments);
    const std::string what = testing::PrintToString(c.arguments) + "\n" + result.err;
    EXPECT_EQ(result.status, 2) << what;
    EXPECT_EQ(result.out, "") << what;
    EXPECT_THAT(result.err, StartsWith("fourstep: ")) << what;
    EXPECT_THAT(result.err, HasSubstr(c.expected)) << what;
    EXPECT_EQ(std::count(result.err.begin(), result.err.end(), '\n'), 1) << what;
    EXPECT_EQ(folder.Names(), before) << what;
  }
}

// Killed while it writes weights, there is no destination: only the temporary folder beside it, hidden.
TEST(QuantizeCommand, LeavesNoDestinationWhereItIsKilled) {
  const TempFolder folder;
  const Result result =
      RunProgram({Tiny("tiny-qwen3"), folder / "out", "--weights-only"}, {.max_file_bytes = 40000});
  EXPECT_EQ(result.status, -SIGXFSZ);
  const std::vector<std::string> names = folder.Names();
  ASSERT_EQ(names.size(), 1u);
  EXPECT_THAT(names[0], StartsWith(".out.tmp-"));
  EXPECT_FALSE(fs::is_empty(folder / names[0]));
  // What is left does not disturb a second try.
  EXPECT_EQ(RunProgram({Tiny("tiny-qwen3"), folder / "out", "--weights-only"}).status, 0);
  EXPECT_TRUE(fs::exists(folder / "out" / "model.safetensors"));
}

// A calibration that would take minutes, stopped as soon as it has begun: `out`'s temporary folder is there.
Result RunAndStop(const TempFolder& folder, int signal) {
  std::string text;
  while (text.size() < 1000000) text += "Wait, so the answer is " + std::to_string(text.size()) + ".\n\n";
  WriteBytes(folder / "text", text);
  Program program({Tiny("tiny-qwen3"), folder / "out", "--threads", "1", "--calibration-text",
                   folder / "text", "--calibration-tokens", "1000000"});
  const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(60);
  while (folder.Names() == std::vector<std::string>{"text"} && std::chrono::steady_clock::now() < deadline)
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  EXPECT_EQ(folder.Names().size(), 2u) << "it did not start";
  program.Signal(signal);
  return program.Wait();
}

TEST(QuantizeCommand, TidiesUpAtCtrlC) {
  const TempFolder folder;
  const Result result = RunAndStop(folder, SIGINT);
  EXPECT_EQ(result.status, 130);
  EXPECT_EQ(result.out + result.err, "");
  EXPECT_THAT(folder.Names(), ElementsAre("text"));
}

TEST(QuantizeCommand, LeavesNoDestinationWhereItIsKilledByForce) {
  const TempFolder folder;
  EXPECT_EQ(RunAndStop(folder, SIGKILL).status, -SIGKILL);
  EXPECT_FALSE(fs::exists(folder / "out"));
}

TEST(QuantizeCommand, TidiesUpWhereTheDiskIsFull) {
  const TempFolder folder;
  const Result result = RunProgram({Tiny("tiny-qwen3"), folder / "out", "--weights-only"},
                                   {.max_file_bytes = 40000, .ignores_limit = true});
  EXPECT_EQ(result.status, 1);
  EXPECT_THAT(result.err, HasSubstr("model.safetensors: cannot be written"));
  EXPECT_THAT(folder.Names(), ElementsAre());
}

}  // namespace
}  // namespace fourstep
