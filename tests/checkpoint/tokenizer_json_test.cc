#include "checkpoint/tokenizer_json.h"

#include <gtest/gtest.h>

#include <functional>

#include "base/error.h"
#include "base/file.h"
#include "base/json.h"

namespace fourstep {
namespace {

const Json& Good() {
  static const Json json = ParseJson(
      ReadFile(std::string(FOURSTEP_SOURCE_DIR) + "/tests/checkpoint/data/tiny/tokenizer.json", 1 << 20),
      "tiny");
  return json;
}

std::string FaultOf(const std::string& text) {
  try {
    ReadTokenizerJson(text, "tokenizer.json");
  } catch (const Error& error) {
    return error.what();
  }
  return "";
}

struct BadFile {
  std::string fault;  // part of the message
  std::function<void(Json&)> spoil;
};

Json Split(const std::string& regex) {
  return {{"type", "Split"}, {"pattern", {{"Regex", regex}}}, {"behavior", "Isolated"}, {"invert", false}};
}

TEST(TokenizerJson, RefusesBadFilesByName) {
  const BadFile files[] = {
      {"\"surprise\" is unknown", [](Json& j) { j["surprise"] = 1; }},
      {"version \"2.0\"", [](Json& j) { j["version"] = "2.0"; }},
      {"\"model\" is missing", [](Json& j) { j.erase("model"); }},
      {"model: type \"WordPiece\" is not supported", [](Json& j) { j["model"]["type"] = "WordPiece"; }},
      {"model: \"extra\" is unknown", [](Json& j) { j["model"]["extra"] = true; }},
      {"\"dropout\" is not supported", [](Json& j) { j["model"]["dropout"] = 0.1; }},
      {"\"continuing_subword_prefix\" is not",
       [](Json& j) { j["model"]["continuing_subword_prefix"] = "##"; }},
      {"\"end_of_word_suffix\" is not", [](Json& j) { j["model"]["end_of_word_suffix"] = "</w>"; }},
      {"\"byte_fallback\" is true", [](Json& j) { j["model"]["byte_fallback"] = true; }},
      {"\"vocab\" is not an object", [](Json& j) { j["model"]["vocab"] = Json::array(); }},
      {"\"b\" has id -1", [](Json& j) { j["model"]["vocab"]["b"] = -1; }},
      {"\"b\" has id 1.5", [](Json& j) { j["model"]["vocab"]["b"] = 1.5; }},
      {"\"b\" has id \"7\"", [](Json& j) { j["model"]["vocab"]["b"] = "7"; }},
      {"\"b\" has id 1000000000", [](Json& j) { j["model"]["vocab"]["b"] = 1000000000; }},
      {"\"b\" has id 18446744073709551615", [](Json& j) { j["model"]["vocab"]["b"] = ~uint64_t{0}; }},
      {"\"a\" and \"b\" have the same id",
       [](Json& j) { j["model"]["vocab"]["b"] = j["model"]["vocab"]["a"]; }},
      {"no token for the byte 0x20 (\"Ġ\")", [](Json& j) { j["model"]["vocab"].erase("Ġ"); }},
      {"an empty token", [](Json& j) { j["model"]["vocab"][""] = 2000; }},
      {"\"merges\" is not an array", [](Json& j) { j["model"]["merges"] = "a b"; }},
      {"merges[3]", [](Json& j) { j["model"]["merges"][3] = "a b"; }},  // the other spelling
      {"merges[0]", [](Json& j) { j["model"]["merges"][0] = 7; }},
      {"merges[1]",
       [](Json& j) {
         j["model"]["merges"][1] = {"a", "b", "c"};
       }},
      {"\"zqz\" is not in the vocabulary",
       [](Json& j) {
         j["model"]["merges"][1] = {"z", "qz"};
         j["model"]["vocab"]["qz"] = 3000;
       }},
      {"are merged a second time", [](Json& j) { j["model"]["merges"].push_back(j["model"]["merges"][0]); }},
      {"expected two tokens with one space", [](Json& j) { j["model"]["merges"] = {"a  b"}; }},
      {"normalizer: type \"NFKC\" is not supported", [](Json& j) { j["normalizer"]["type"] = "NFKC"; }},
      {"normalizer[0]: type \"Sequence\"",
       [](Json& j) {
         j["normalizer"] = {{"type", "Sequence"}, {"normalizers", {{{"type", "Sequence"}}}}};
       }},
      {"the pattern is none of those known (GPT-2, Qwen2, Llama 3): \\w+",
       [](Json& j) { j["pre_tokenizer"]["pretokenizers"][0] = Split("\\w+"); }},
      {"behavior \"Removed\"",
       [](Json& j) { j["pre_tokenizer"]["pretokenizers"][0]["behavior"] = "Removed"; }},
      {"\"invert\" is true", [](Json& j) { j["pre_tokenizer"]["pretokenizers"][0]["invert"] = true; }},
      {"\"String\" is unknown",
       [](Json& j) {
         j["pre_tokenizer"]["pretokenizers"][0]["pattern"] = {{"String", " "}};
       }},
      {"type \"Metaspace\" is not supported",
       [](Json& j) {
         j["pre_tokenizer"]["pretokenizers"][0] = {{"type", "Metaspace"}};
       }},
      {"no ByteLevel", [](Json& j) { j["pre_tokenizer"]["pretokenizers"].erase(1); }},
      {"after ByteLevel",
       [](Json& j) {
         j["pre_tokenizer"]["pretokenizers"].push_back(j["pre_tokenizer"]["pretokenizers"][1]);
       }},
      {"\"add_prefix_space\" is true",
       [](Json& j) { j["pre_tokenizer"]["pretokenizers"][1]["add_prefix_space"] = true; }},
      {"pre_tokenizer: null where", [](Json& j) { j["pre_tokenizer"] = nullptr; }},
      {"decoder: type \"Fuse\"", [](Json& j) { j["decoder"]["type"] = "Fuse"; }},
      {"post_processor: type \"RobertaProcessing\"",
       [](Json& j) { j["post_processor"]["type"] = "RobertaProcessing"; }},
      {"\"content\" has 0 bytes", [](Json& j) { j["added_tokens"][0]["content"] = ""; }},
      {"\"single_word\" is true", [](Json& j) { j["added_tokens"][1]["single_word"] = true; }},
      {"added_tokens[1]: \"<|endoftext|>\" is added a second time",
       [](Json& j) { j["added_tokens"][1]["content"] = "<|endoftext|>"; }},
      {"\"<|endoftext|>\" and \"<|im_start|>\" have the same id",
       [](Json& j) { j["added_tokens"][1]["id"] = j["added_tokens"][0]["id"]; }},
      {"\"a\" has id 1019 here", [](Json& j) { j["added_tokens"][0]["content"] = "a"; }},
      {"\"id\" is 99999999", [](Json& j) { j["added_tokens"][4]["id"] = 99999999; }},
      {"\"weight\" is unknown", [](Json& j) { j["added_tokens"][4]["weight"] = 1; }},
      {"\"added_tokens\" is not an array",
       [](Json& j) {
         j["added_tokens"] = {{"a", 1}};
       }},
  };
  ASSERT_EQ(FaultOf(Good().dump()), "");
  for (const BadFile& file : files) {
    Json json = Good();
    file.spoil(json);
    const std::string fault = FaultOf(json.dump());
    EXPECT_NE(fault.find(file.fault), std::string::npos)
        << "expected: " << file.fault << "\nthrown: " << fault;
    EXPECT_EQ(fault.find('\n'), std::string::npos) << fault;
    EXPECT_TRUE(fault.starts_with("tokenizer.json")) << fault;
  }
}

TEST(TokenizerJson, RefusesBadTemplates) {
  const auto fault_of = [](const Json& single, const Json& specials) {
    Json json = Good();
    json["post_processor"] = {
        {"type", "TemplateProcessing"}, {"single", single}, {"pair", {}}, {"special_tokens", specials}};
    return FaultOf(json.dump());
  };
  const Json text = {{"Sequence", {{"id", "A"}, {"type_id", 0}}}};
  const Json bos = {{"SpecialToken", {{"id", "<bos>"}, {"type_id", 0}}}};
  const Json known = {{"<bos>", {{"id", "<bos>"}, {"ids", {1019}}, {"tokens", {"<bos>"}}}}};
  EXPECT_EQ(fault_of({bos, text}, known), "");
  EXPECT_NE(fault_of({bos, text}, Json::object()).find("[\"<bos>\"]: is missing"), std::string::npos);
  EXPECT_NE(fault_of(Json::array({bos}), known).find("leaves the text out"), std::string::npos);
  EXPECT_NE(fault_of({text, text}, known).find("the text stands twice"), std::string::npos);
  EXPECT_NE(fault_of(Json::array({Json{{"Word", 1}}}), known).find("\"Word\" is unknown"), std::string::npos);
  Json unknown_id = known;
  unknown_id["<bos>"]["ids"] = {99999};
  EXPECT_NE(fault_of({bos, text}, unknown_id).find("99999 is no token"), std::string::npos);
}

TEST(TokenizerJson, RefusesWhatIsNoSuchJson) {
  for (const char* text :
       {"", "[]", "null", "{}", "{\"model\": 3}", "{\"model\": {\"vocab\": {\"a\": 1, \"a\": 2}}}",
        "{\"model\": {\"vocab\": {\"a\": 1}", "\xff", "{\"\xff\": 1}"}) {
    EXPECT_NE(FaultOf(text), "") << text;
  }
  EXPECT_NE(FaultOf(std::string(100'000, '[')), "");
  const std::string good = Good().dump();
  for (size_t length = 0; length < good.size(); length += 1 + length / 8) {
    EXPECT_NE(FaultOf(good.substr(0, length)), "") << length;
  }
}

TEST(TokenizerJson, ReadsBothSpellingsOfMerges) {
  Json json = Good();
  for (Json& merge : json["model"]["merges"]) {
    merge = merge[0].get<std::string>() + " " + merge[1].get<std::string>();
  }
  const TokenizerSpec pairs = ReadTokenizerJson(Good().dump(), "pairs"),
                      strings = ReadTokenizerJson(json.dump(), "s");
  ASSERT_EQ(pairs.merges.size(), 763u);
  ASSERT_EQ(strings.merges.size(), pairs.merges.size());
  for (size_t i = 0; i < pairs.merges.size(); ++i)
    EXPECT_EQ(pairs.merges[i].merged, strings.merges[i].merged);
  EXPECT_EQ(pairs.token_bytes.size(), 1024u);
}

}  // namespace
}  // namespace fourstep
