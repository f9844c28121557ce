// `fourstep inspect` run as a program, on the tiny checkpoints of tests/model.
#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdio>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <string>

#include "base/file.h"
#include "base/json.h"
#include "checkpoint/safetensors.h"

namespace fourstep {
namespace {

namespace fs = std::filesystem;
using testing::HasSubstr;

const fs::path kModels = fs::path(FOURSTEP_SOURCE_DIR) / "tests/model/data";

struct Result {
  int status;
  std::string out;  // standard output and error
};

// `arguments` need no quoting by the shell.
Result RunFourstep(const std::string& arguments) {
  FILE* pipe = popen((std::string(FOURSTEP_PROGRAM) + " " + arguments + " 2>&1").c_str(), "r");
  std::string out;
  char buffer[4096];
  for (size_t n; (n = fread(buffer, 1, sizeof buffer, pipe)) > 0;) out.append(buffer, n);
  const int status = pclose(pipe);
  return {WIFEXITED(status) ? WEXITSTATUS(status) : -1, out};
}

Result Inspect(const std::string& arguments) {
  return RunFourstep("inspect " + arguments);
}

Json InspectJson(const fs::path& model) {
  const Result result = Inspect(model.string() + " --json");
  EXPECT_EQ(result.status, 0) << result.out;
  return ParseJson(result.out, "output");
}

// A copy of a tiny checkpoint that a test may change; removed by the destructor.
class Copy {
 public:
  explicit Copy(const char* model)
      : path_(fs::path(testing::TempDir()) / fmt::format("inspect_command_test-{}", getpid())) {
    fs::remove_all(path_);
    fs::copy(kModels / model, path_);
  }
  ~Copy() { fs::remove_all(path_); }
  const fs::path& path() const { return path_; }

  // Replaces the one F32 value of a tensor.
  void SetScalar(const std::string& tensor, float value) const {
    const fs::path file = path_ / "model.safetensors";
    size_t offset_bytes = 0;
    {
      const MappedFile mapped(file);
      const TensorMap tensors = ParseSafetensors(mapped.bytes(), "model.safetensors");
      offset_bytes = static_cast<size_t>(tensors.at(tensor).bytes.data() - mapped.bytes().data());
    }
    std::fstream stream(file, std::ios::in | std::ios::out | std::ios::binary);
    stream.seekp(static_cast<std::streamoff>(offset_bytes));
    stream.write(reinterpret_cast<const char*>(&value), sizeof value);
  }

 private:
  fs::path path_;
};

const Json& KindOf(const Json& inspected, const std::string& kind) {
  for (const Json& k : inspected["modules"]) {
    if (k["kind"] == kind) return k;
  }
  ADD_FAILURE() << "no " << kind << " in " << inspected;
  return inspected;
}

TEST(InspectCommand, CountsDenseModules) {
  const Json j = InspectJson(kModels / "tiny-qwen2");
  EXPECT_EQ(j["architecture"], "Qwen2ForCausalLM");
  EXPECT_EQ(j["dialect"], "none");
  EXPECT_EQ(j["numerics"], Json({"bf16"}));
  EXPECT_EQ(j["why_not_w4a4"], nullptr);
  EXPECT_EQ(j["rope"], Json({{"type", "yarn"}, {"theta", 10000.0}, {"factor", 8.0}}));
  EXPECT_EQ(j["chat_template"], "chatml");
  EXPECT_EQ(j["tokenizer_size"], 305);
  EXPECT_EQ(j["eos_token_ids"], Json({302, 300}));
  EXPECT_EQ(j["reset"], nullptr);
  // BF16: two bytes a parameter, nothing else.
  EXPECT_EQ(j["bytes"].get<int64_t>(), 2 * j["parameters"].get<int64_t>());
  EXPECT_EQ(j["bytes_by_type"], Json({{"BF16", j["bytes"]}}));
  int64_t size_bytes = 0;
  for (const Json& kind : j["modules"]) size_bytes += kind["bytes"].get<int64_t>();
  EXPECT_EQ(size_bytes, j["bytes"].get<int64_t>());
  const Json& q = KindOf(j, "attention q");
  EXPECT_EQ(q["modules"], 2);
  EXPECT_EQ(q["biases"], 2);
  EXPECT_EQ(q["parameters"], 2 * (64 * 64 + 64));
  EXPECT_EQ(q["formats"], Json({{"bf16", 2}}));
}

TEST(InspectCommand, SaysInWhichNumericsItRuns) {
  const Json full = Json({"w4a4", "w4a16", "bf16"});
  const Json modelopt = InspectJson(kModels / "tiny-qwen3-nvfp4");
  EXPECT_EQ(modelopt["dialect"], "modelopt");
  EXPECT_EQ(modelopt["numerics"], full);
  EXPECT_EQ(KindOf(modelopt, "mlp down")["formats"], Json({{"nvfp4", 2}}));
  EXPECT_EQ(KindOf(modelopt, "mlp down")["input_scales"], 2);
  // Half a byte a value, a byte a block of 16, two fp32 scales.
  EXPECT_EQ(KindOf(modelopt, "mlp down")["bytes"], 2 * (64 * 96 / 2 + 64 * 96 / 16 + 8));
  EXPECT_EQ(KindOf(modelopt, "embedding")["formats"], Json({{"bf16", 1}}));

  const Json compressed = InspectJson(kModels / "tiny-qwen2-nvfp4");
  EXPECT_EQ(compressed["dialect"], "compressed-tensors");
  EXPECT_EQ(compressed["numerics"], full);

  const Json weights_only = InspectJson(kModels / "tiny-llama-nvfp4a16");
  EXPECT_EQ(weights_only["numerics"], Json({"w4a16", "bf16"}));
  EXPECT_THAT(weights_only["why_not_w4a4"].get<std::string>(), HasSubstr("has no input scale"));
}

// Beside 4-bit linears, as the quantiser writes it.
TEST(InspectCommand, ShowsAHeadInFp8) {
  const fs::path folder = fs::path(testing::TempDir()) / fmt::format("inspect_command_test-fp8-{}", getpid());
  for (const std::string dialect : {"modelopt", "compressed-tensors"}) {
    const Result made = RunFourstep("quantize --head fp8 --weights-only --dialect " + dialect + " " +
                                    (kModels / "tiny-qwen3").string() + " " + folder.string());
    ASSERT_EQ(made.status, 0) << made.out;
    const Json j = InspectJson(folder);
    EXPECT_EQ(j["dialect"], dialect);
    EXPECT_EQ(j["tied_head"], false);
    EXPECT_EQ(j["numerics"], Json({"w4a16", "bf16"}));
    const Json& head = KindOf(j, "head");
    EXPECT_EQ(head["formats"], Json({{"fp8", 1}}));
    EXPECT_EQ(head["bytes"], 320 * 64 + 4 * (dialect == "modelopt" ? 1 : 320));
    EXPECT_EQ(KindOf(j, "attention q")["formats"], Json({{"nvfp4", 2}}));
    fs::remove_all(folder);
  }
}

TEST(InspectCommand, SaysWhichCacheIsAskedFor) {
  const Json plain = InspectJson(kModels / "tiny-qwen3-nvfp4");
  EXPECT_EQ(plain["kv_cache"], "bf16");
  EXPECT_EQ(plain["kv_scales"], Json({{1.0, 1.0}, {1.0, 1.0}}));
  const Copy copy("tiny-qwen3-nvfp4");
  Json config = ParseJson(ReadFile(copy.path() / "config.json", 1 << 20), "config.json");
  config["quantization_config"]["kv_cache_scheme"] = {{"num_bits", 8}, {"type", "float"}};
  WriteFile(copy.path() / "config.json", DumpJson(config));
  EXPECT_EQ(InspectJson(copy.path())["kv_cache"], "fp8");
  EXPECT_THAT(Inspect(copy.path().string()).out,
              HasSubstr("kv cache      fp8, key scales 1, value scales 1\n"));
}

TEST(InspectCommand, SaysWhyAStackCannotRun) {
  const Copy copy("tiny-qwen3-nvfp4");
  copy.SetScalar("model.layers.1.self_attn.k_proj.input_scale", 0.75f);
  const Json j = InspectJson(copy.path());
  EXPECT_EQ(j["numerics"], Json({"w4a16", "bf16"}));
  EXPECT_THAT(j["why_not_w4a4"].get<std::string>(),
              HasSubstr("layers.1.self_attn.k_proj: input scale is 0.75"));
  EXPECT_THAT(Inspect(copy.path().string()).out, HasSubstr("not in w4a4: model.layers.1.self_attn.k_proj"));
}

TEST(InspectCommand, ShowsWhatLiesBeside) {
  const Copy copy("tiny-qwen3-nvfp4");
  WriteFile(copy.path() / "reset.json",
            R"({"format": "fourstep-reset-1", "t_low": 0.1, "t_high": 1.0, "tau_0": 0.55, "window": 32,
                "percentile": 80})");
  WriteFile(copy.path() / "tokenizer_config.json", R"({"chat_template": "{{ messages }}"})");
  const Json j = InspectJson(copy.path());
  EXPECT_EQ(j["reset"], Json({{"t_low", 0.1}, {"t_high", 1.0}, {"tau_0", 0.55}, {"window", 32}}));
  EXPECT_EQ(j["chat_template"], nullptr);
  EXPECT_THAT(j["chat_template_fault"].get<std::string>(), HasSubstr("tokenizer_config.json"));
  fs::remove(copy.path() / "tokenizer_config.json");
  fs::remove(copy.path() / "tokenizer.json");
  const Json bare = InspectJson(copy.path());
  EXPECT_EQ(bare["chat_template_fault"], nullptr);
  EXPECT_EQ(bare["tokenizer_size"], nullptr);
}

TEST(InspectCommand, PrintsATable) {
  const Result result = Inspect((kModels / "tiny-llama-nvfp4").string());
  EXPECT_EQ(result.status, 0);
  for (const char* text : {"architecture  LlamaForCausalLM, 2 layers, hidden 64, ffn 96\n",
                           "rope          theta 500000, llama3 with factor 8\n", "quantised by  modelopt\n",
                           "runs in       w4a4, w4a16, bf16\n", "kv cache      bf16\n",
                           "attention q          2  nvfp4   yes "}) {
    EXPECT_THAT(result.out, HasSubstr(text));
  }
}

TEST(InspectCommand, KnowsWhichArchitecturesRun) {
  const Copy copy("tiny-llama");
  std::string config = ReadFile(copy.path() / "config.json", 1 << 20);
  config.replace(config.find("LlamaForCausalLM"), 5, "Lemur");
  WriteFile(copy.path() / "config.json", config);
  EXPECT_EQ(InspectJson(copy.path())["numerics"], Json::array());
  EXPECT_THAT(Inspect(copy.path().string()).out,
              HasSubstr("runs in       nothing: the architectures are Qwen3"));
}

TEST(InspectCommand, RefusesInOneLine) {
  const Copy copy("tiny-qwen3-nvfp4");
  const auto expect = [](const std::string& arguments, const char* fault) {
    const Result result = Inspect(arguments);
    EXPECT_EQ(result.status, 2) << result.out;
    EXPECT_THAT(result.out, testing::StartsWith("fourstep: "));
    EXPECT_THAT(result.out, HasSubstr(fault));
    EXPECT_EQ(result.out.find('\n'), result.out.size() - 1) << result.out;
  };
  expect("one two", "two");
  expect("/nonexistent", "/nonexistent: is not a folder");
  copy.SetScalar("model.layers.1.self_attn.k_proj.input_scale", -1.0f);
  expect(copy.path().string(), "k_proj.input_scale: is -1, expected a positive number");
  WriteFile(copy.path() / "config.json", "{}");
  expect(copy.path().string(), "\"architectures\" is missing");
}

}  // namespace
}  // namespace fourstep
