#include "checkpoint/tokenizer.h"

#include <gtest/gtest.h>

#include <chrono>
#include <cstdlib>
#include <fstream>
#include <memory>
#include <random>

#include "base/error.h"
#include "base/file.h"
#include "base/json.h"
#include "base/utf8.h"
#include "checkpoint/stream_decoder.h"

namespace fourstep {
namespace {

namespace fs = std::filesystem;

const fs::path kData = fs::path(FOURSTEP_SOURCE_DIR) / "tests/checkpoint/data";

const Tokenizer& Tiny() {
  static const Tokenizer tokenizer = Tokenizer::Load(kData / "tiny");
  return tokenizer;
}

// Lines of tools/make_tokenizer_goldens.py.
std::vector<Json> Goldens() {
  std::ifstream file(kData / "tokenizer_goldens.jsonl");
  std::vector<Json> lines;
  for (std::string line; std::getline(file, line);) lines.push_back(ParseJson(line, "goldens"));
  EXPECT_GT(lines.size(), 100u);
  return lines;
}

void ExpectEqualsGoldens(const Tokenizer& tokenizer, const std::string& name) {
  for (const Json& golden : Goldens()) {
    const auto text = golden["text"].get<std::string>();
    EXPECT_EQ(tokenizer.Encode(text), golden[name].get<std::vector<int32_t>>())
        << name << " " << golden["text"];
  }
}

TEST(Tokenizer, EqualsHuggingFaceOnTinyTokenizers) {
  for (const char* name : {"tiny", "tiny_llama3", "tiny_gpt2"}) {
    ExpectEqualsGoldens(Tokenizer::Load(kData / name), name);
  }
}

// The published tokenizer is not in the repository; its folder is $FOURSTEP_SHARED_DIR/data/tokenizers/qwen2.
TEST(Tokenizer, EqualsHuggingFaceOnQwen2) {
  const char* shared = std::getenv("FOURSTEP_SHARED_DIR");
  if (shared == nullptr) GTEST_SKIP() << "FOURSTEP_SHARED_DIR is not set";
  const fs::path folder = fs::path(shared) / "data/tokenizers/qwen2";
  if (!fs::exists(folder)) GTEST_SKIP() << folder << " does not exist";
  const Tokenizer tokenizer = Tokenizer::Load(folder);
  EXPECT_EQ(tokenizer.vocab_size(), 151646);
  EXPECT_EQ(tokenizer.IdOf("<|im_start|>"), 151644);
  ExpectEqualsGoldens(tokenizer, "qwen2");
}

TEST(Tokenizer, DecodesLikeHuggingFace) {
  const Tokenizer gpt2 = Tokenizer::Load(kData / "tiny_gpt2");
  for (const Json& golden : Goldens()) {
    std::vector<int32_t> ids = golden["tiny"];
    if (!ids.empty()) ids.erase(ids.begin());
    if (!ids.empty()) ids.pop_back();
    EXPECT_EQ(Tiny().Decode(ids, /*skip_special=*/true), golden["tiny_decoded"]) << golden["text"];
    EXPECT_EQ(gpt2.Decode(golden["tiny_gpt2"].get<std::vector<int32_t>>()), golden["tiny_gpt2_decoded"]);
  }
}

TEST(Tokenizer, StreamedTextIsTheDecodedText) {
  std::mt19937 random(1);
  for (int round = 0; round < 300; ++round) {
    std::vector<int32_t> ids(random() % 60);
    for (int32_t& id : ids) id = static_cast<int32_t>(random() % 1100) - 20;  // some are no token
    const bool skip_special = random() % 2 == 0;
    StreamDecoder decoder(Tiny(), skip_special);
    std::string text;
    for (const int32_t id : ids) {
      const std::string part = decoder.Append(id);
      EXPECT_EQ(IncompleteUtf8Suffix(part), 0u);
      text += part;
    }
    text += decoder.Finish();
    EXPECT_EQ(text, Tiny().Decode(ids, skip_special));
    EXPECT_EQ(decoder.Finish(), "");
  }
}

TEST(Tokenizer, StreamHoldsACharacterBackUntilItIsWhole) {
  StreamDecoder decoder(Tiny());
  std::string text;
  for (const int32_t id : Tiny().Encode("\U0001F642!")) {
    const std::string part = decoder.Append(id);
    EXPECT_TRUE(part.empty() || part == "\U0001F642" || part == "!") << part;
    text += part;
  }
  EXPECT_EQ(text, "\U0001F642!");
}

TEST(Tokenizer, TokensOfATextDecodeToIt) {
  for (const Json& golden : Goldens()) {
    const auto text = golden["text"].get<std::string>();
    const std::vector<int32_t> ids = Tiny().Encode(text);
    const std::string back = Tiny().Decode(ids);
    EXPECT_EQ(Tiny().Encode(back), ids) << golden["text"];  // NFC makes it another text, with the same tokens
  }
  std::string all_bytes;
  for (const int32_t id : Tiny().Encode("a\tb")) all_bytes += Tiny().TokenBytes(id);
  EXPECT_EQ(all_bytes, "a\tb");
}

TEST(Tokenizer, ReplacesInvalidUtf8) {
  EXPECT_EQ(Tiny().Encode("a\xff\xe2\x82z\xed\xa0\x80"), Tiny().Encode("a\uFFFD\uFFFDz\uFFFD\uFFFD\uFFFD"));
  EXPECT_EQ(Tiny().Encode(std::string_view("a\0b", 3)).size(), 3u);
}

TEST(Tokenizer, SpecialTokensAreTextOnRequest) {
  const int32_t end = *Tiny().IdOf("<|im_end|>"), think = *Tiny().IdOf("<think>");
  EXPECT_TRUE(Tiny().IsSpecial(end));
  EXPECT_FALSE(Tiny().IsSpecial(think));
  EXPECT_EQ(Tiny().IdOf("<|none|>"), std::nullopt);
  EXPECT_EQ(Tiny().Encode("<|im_end|><think>"), (std::vector<int32_t>{end, think}));
  const auto plain = Tiny().Encode("<|im_end|><think>", {.parse_special = false});
  EXPECT_GT(plain.size(), 2u);
  EXPECT_EQ(plain.back(), think);
  EXPECT_EQ(Tiny().Decode(plain), "<|im_end|><think>");
  EXPECT_EQ(Tiny().Decode(std::vector<int32_t>{end, think, -5, 1 << 30}, /*skip_special=*/true), "<think>");
}

TEST(Tokenizer, PutsTheTemplateAroundATextOnRequest) {
  const Tokenizer llama = Tokenizer::Load(kData / "tiny_llama3");
  const int32_t bos = *llama.IdOf("<|bos|>");
  std::vector<int32_t> expected = llama.Encode("hello");
  expected.insert(expected.begin(), bos);
  EXPECT_EQ(llama.Encode("hello", {.add_special_tokens = true}), expected);
  EXPECT_EQ(Tiny().Encode("hello", {.add_special_tokens = true}), Tiny().Encode("hello"));
}

// A quadratic step anywhere would take minutes.
TEST(Tokenizer, TakesLinearTime) {
  std::string marks, lines, ab;
  std::mt19937 random(1);
  for (int i = 0; i < 250'000; ++i) {
    marks += "\u0300\u0316";
    lines += "\n  \r";
    ab += random() % 2 == 0 ? "a " : "bo";
  }
  const std::string texts[] = {std::string(1'000'000, 'a'),
                               std::string(1'000'000, ' ') + "x",
                               std::string(1'000'000, '<'),
                               std::string(1'000'000, '1'),
                               std::string(1'000'000, '\xff'),
                               marks,
                               lines,
                               ab};
  for (const std::string& text : texts) {
    const auto begin = std::chrono::steady_clock::now();
    EXPECT_GT(Tiny().Encode(text).size(), 1000u);
    const std::chrono::duration<double> seconds = std::chrono::steady_clock::now() - begin;
    EXPECT_LT(seconds.count(), 20) << Printable(text);  // generous: sanitizers, busy machines
  }
}

class TokenizerFolderTest : public testing::Test {
 protected:
  void SetUp() override {
    folder_ = fs::path(testing::TempDir()) / "tokenizer_folder_test";
    fs::remove_all(folder_);
    fs::create_directories(folder_);
    fs::copy(kData / "tiny/tokenizer.json", folder_);
  }
  void TearDown() override { fs::remove_all(folder_); }
  std::string FaultWithConfig(const std::string& config) {
    WriteFile(folder_ / "tokenizer_config.json", config);
    try {
      Tokenizer::Load(folder_);
    } catch (const Error& error) {
      return error.what();
    }
    return "";
  }
  fs::path folder_;
};

TEST_F(TokenizerFolderTest, ConfigMustAgree) {
  EXPECT_EQ(FaultWithConfig(R"({"added_tokens_decoder": {"1023": {"content": "</think>"}}})"), "");
  EXPECT_EQ(FaultWithConfig(R"({"model_max_length": 2048})"), "");
  const auto expect_fault = [&](const std::string& config, const std::string& part) {
    EXPECT_NE(FaultWithConfig(config).find(part), std::string::npos) << FaultWithConfig(config);
  };
  expect_fault(R"({"added_tokens_decoder": {"1022": {"content": "</think>"}}})",
               "tokenizer.json gives it 1023");
  expect_fault(R"({"added_tokens_decoder": {"1024": {"content": "<new>"}}})", "does not add it");
  expect_fault(R"({"added_tokens_decoder": []})", "expected");
  expect_fault("[", "not valid JSON");
  fs::remove(folder_ / "tokenizer.json");
  expect_fault("{}", "tokenizer.json");
}

}  // namespace
}  // namespace fourstep
