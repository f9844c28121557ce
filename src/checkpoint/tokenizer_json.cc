#include "checkpoint/tokenizer_json.h"

#include <algorithm>
#include <initializer_list>
#include <optional>
#include <unordered_map>
#include <unordered_set>
#include <utility>

#include "base/error.h"
#include "base/json.h"
#include "base/utf8.h"
#include "checkpoint/byte_level.h"
#include "checkpoint/nfc.h"

namespace fourstep {
namespace {

constexpr JsonLimits kLimits = {.max_bytes = size_t{128} << 20, .max_depth = 16};
constexpr size_t kMaxAddedTokenBytes = 512;  // bounds the time to look for added tokens
constexpr size_t kMaxAddedTokens = 65536;
constexpr size_t kMaxSplits = 8;

void RefuseUnknownKeys(const Json& object, const std::string& where,
                       std::initializer_list<std::string_view> known) {
  for (const auto& [key, value] : object.items()) {
    if (std::find(known.begin(), known.end(), key) == known.end()) {
      throw Errorf(where, "\"{}\" is unknown", Printable(key));
    }
  }
}

void ExpectBool(const JsonReader& reader, const std::string& key, bool expected) {
  if (reader.BoolOr(key, expected) != expected) {
    throw Errorf(reader.where(), "\"{}\" is {}, only {} is supported", key, !expected, expected);
  }
}

const Json& Array(const JsonReader& reader, const std::string& key) {
  const Json& value = reader.Get(key);
  if (!value.is_array()) throw Errorf(reader.where(), "\"{}\" is not an array", key);
  return value;
}

[[noreturn]] void RefuseType(const JsonReader& reader, const std::string& type, std::string_view supported) {
  throw Errorf(reader.where(), "type \"{}\" is not supported; supported: {}", Printable(type), supported);
}

std::string Element(const std::string& where, size_t index) {
  return fmt::format("{}[{}]", where, index);
}

class Reader {
 public:
  explicit Reader(const std::string& where) : where_(where) {}

  TokenizerSpec Read(std::string_view text) {
    const Json root = ParseJson(text, where_, kLimits);
    const JsonReader reader(root, where_);
    // truncation and padding are leftovers of training runs: transformers switches both off on load, so do
    // we.
    RefuseUnknownKeys(root, where_,
                      {"version", "truncation", "padding", "added_tokens", "normalizer", "pre_tokenizer",
                       "post_processor", "decoder", "model"});
    if (const std::string version = reader.StringOr("version", "1.0"); version != "1.0") {
      throw Errorf(where_, "version \"{}\", expected \"1.0\"", Printable(version));
    }
    const size_t num_added = reader.Has("added_tokens") ? reader.Get("added_tokens").size() : 0;
    ReadModel(reader.Get("model"), num_added);
    ReadAddedTokens(reader);
    if (reader.Has("normalizer")) ReadNormalizer(reader.Get("normalizer"), Field("normalizer"), true);
    FillTokenBytes();
    ReadPreTokenizer(reader.Get("pre_tokenizer"), Field("pre_tokenizer"), true);
    if (!byte_level_seen_)
      throw Error(Field("pre_tokenizer"), "no ByteLevel; only byte-level BPE is supported");
    ReadDecoder(reader.Get("decoder"), Field("decoder"));
    if (reader.Has("post_processor"))
      ReadPostProcessor(reader.Get("post_processor"), Field("post_processor"), true);
    return std::move(spec_);
  }

 private:
  std::string Field(std::string_view name) const { return fmt::format("{}: {}", where_, name); }

  void ReadModel(const Json& json, size_t num_added) {
    const std::string where = Field("model");
    const JsonReader model(json, where);
    if (const std::string type = model.StringOr("type", "BPE"); type != "BPE") RefuseType(model, type, "BPE");
    RefuseUnknownKeys(json, where,
                      {"type", "dropout", "unk_token", "continuing_subword_prefix", "end_of_word_suffix",
                       "fuse_unk", "byte_fallback", "ignore_merges", "vocab", "merges"});
    if (model.NumberOr("dropout", 0, 0, 1) != 0) throw Error(where, "\"dropout\" is not supported");
    for (const char* affix : {"continuing_subword_prefix", "end_of_word_suffix"}) {
      if (!model.StringOr(affix, "").empty()) throw Errorf(where, "\"{}\" is not supported", affix);
    }
    ExpectBool(model, "byte_fallback", false);
    // unk_token and fuse_unk have no effect: every byte is a token (checked below), so nothing is unknown.
    spec_.ignore_merges = model.BoolOr("ignore_merges", false);
    const Json& vocab = model.Get("vocab");
    if (!vocab.is_object()) throw Errorf(where, "\"vocab\" is not an object");
    // Ids may have gaps, but an id far beyond the number of tokens would only be a way to make us allocate.
    owners_.resize(2 * (vocab.size() + num_added) + 65536);
    ReadVocab(vocab, where + ".vocab");
    ReadMerges(Array(model, "merges"), where + ".merges");
  }

  void ReadVocab(const Json& vocab, const std::string& where) {
    ids_.reserve(vocab.size());
    for (auto it = vocab.begin(); it != vocab.end(); ++it) {
      const std::string& token = it.key();
      if (token.empty()) throw Error(where, "an empty token");
      if (!it->is_number_unsigned() || it->get<uint64_t>() >= owners_.size()) {
        throw Errorf(where, "\"{}\" has id {}, expected 0..{}", Printable(token),
                     Printable(DumpJson(*it), 40), owners_.size() - 1);
      }
      const auto id = it->get<int32_t>();
      Own(id, token, where);
      ids_.emplace(token, id);
    }
    for (int byte = 0; byte < 256; ++byte) {
      std::string character;
      AppendUtf8(character, ByteLevelCharacter(static_cast<uint8_t>(byte)));
      const auto it = ids_.find(character);
      if (it == ids_.end()) {
        throw Errorf(where, "no token for the byte {:#04x} (\"{}\"); byte-level BPE needs all 256", byte,
                     character);
      }
      spec_.byte_ids[static_cast<size_t>(byte)] = it->second;
    }
  }

  void ReadMerges(const Json& merges, const std::string& where) {
    std::unordered_set<uint64_t> seen;
    seen.reserve(merges.size());
    spec_.merges.reserve(merges.size());
    for (size_t i = 0; i < merges.size(); ++i) {
      const auto [left, right] = ReadPair(merges[i], merges[0].is_string(), where, i);
      const Merge merge = {MergeIdAt(left, where, i), MergeIdAt(right, where, i),
                           MergeIdAt(left + right, where, i)};
      const uint64_t key = static_cast<uint64_t>(merge.left) << 32 | static_cast<uint32_t>(merge.right);
      if (!seen.insert(key).second) {
        throw Errorf(Element(where, i), "\"{}\" and \"{}\" are merged a second time", Printable(left),
                     Printable(right));
      }
      spec_.merges.push_back(merge);
    }
  }

  // `token` must outlive this reader.
  void Own(int32_t id, const std::string& token, const std::string& where) {
    const std::string*& owner = owners_[static_cast<size_t>(id)];
    if (owner != nullptr && *owner != token) {
      throw Errorf(where, "\"{}\" and \"{}\" have the same id {}", Printable(*owner), Printable(token), id);
    }
    owner = &token;
  }

  int32_t MergeIdAt(std::string_view token, const std::string& where, size_t index) const {
    const auto it = ids_.find(token);
    if (it == ids_.end()) {
      throw Errorf(Element(where, index), "\"{}\" is not in the vocabulary", Printable(token));
    }
    return it->second;
  }

  // Older files write "a b", newer ones ["a", "b"]; one file has one spelling.
  static std::pair<std::string, std::string> ReadPair(const Json& merge, bool spaced,
                                                      const std::string& where, size_t index) {
    if (spaced && merge.is_string()) {
      const auto& text = merge.get_ref<const std::string&>();
      const size_t space = text.find(' ');
      if (space != text.npos && space > 0 && space + 1 < text.size() &&
          text.find(' ', space + 1) == text.npos) {
        return {text.substr(0, space), text.substr(space + 1)};
      }
    } else if (!spaced && merge.is_array() && merge.size() == 2 && merge[0].is_string() &&
               merge[1].is_string()) {
      return {merge[0].get<std::string>(), merge[1].get<std::string>()};
    }
    throw Errorf(Element(where, index), "{} is no merge, expected {}", Printable(DumpJson(merge), 40),
                 spaced ? "two tokens with one space between" : "an array of two tokens");
  }

  void ReadAddedTokens(const JsonReader& root) {
    if (!root.Has("added_tokens")) return;
    const Json& tokens = Array(root, "added_tokens");
    if (tokens.size() > kMaxAddedTokens) {
      throw Errorf(Field("added_tokens"), "{} tokens, at most {}", tokens.size(), kMaxAddedTokens);
    }
    std::unordered_set<std::string> contents;
    for (size_t i = 0; i < tokens.size(); ++i) {
      const std::string where = Element(Field("added_tokens"), i);
      AddedToken token = ReadAddedToken(tokens[i], where);
      if (!contents.insert(token.content).second) {
        throw Errorf(where, "\"{}\" is added a second time", Printable(token.content));
      }
      const auto in_model = ids_.find(token.content);
      if (in_model != ids_.end() && in_model->second != token.id) {
        throw Errorf(where, "\"{}\" has id {} here and {} in the vocabulary", Printable(token.content),
                     token.id, in_model->second);
      }
      Own(token.id, tokens[i].at("content").get_ref<const std::string&>(), where);
      spec_.added_tokens.push_back(std::move(token));
    }
  }

  AddedToken ReadAddedToken(const Json& json, const std::string& where) const {
    const JsonReader reader(json, where);
    RefuseUnknownKeys(json, where,
                      {"id", "content", "single_word", "lstrip", "rstrip", "normalized", "special"});
    AddedToken token;
    token.id = static_cast<int32_t>(reader.Int("id", 0, static_cast<int64_t>(owners_.size()) - 1));
    token.content = reader.String("content");
    if (token.content.empty() || token.content.size() > kMaxAddedTokenBytes) {
      throw Errorf(where, "\"content\" has {} bytes, expected 1..{}", token.content.size(),
                   kMaxAddedTokenBytes);
    }
    ExpectBool(reader, "single_word", false);
    token.lstrip = reader.BoolOr("lstrip", false);
    token.rstrip = reader.BoolOr("rstrip", false);
    token.normalized = reader.BoolOr("normalized", true);
    token.special = reader.BoolOr("special", false);
    return token;
  }

  void FillTokenBytes() {
    size_t num_ids = owners_.size();
    while (owners_[num_ids - 1] == nullptr) --num_ids;  // there are tokens: those of the bytes
    spec_.token_bytes.resize(num_ids);
    for (const auto& [token, id] : ids_) {
      const std::optional<std::string> bytes = DecodeByteLevel(token);
      if (bytes) spec_.model_ids.push_back(id);
      spec_.token_bytes[static_cast<size_t>(id)] = bytes.value_or(std::string(token));
    }
    // The Hugging Face decoder treats added tokens like all others: as byte-level text where they can be
    // that.
    for (AddedToken& token : spec_.added_tokens) {
      if (token.normalized && spec_.nfc) token.content = NormalizeNfc(token.content);
      spec_.token_bytes[static_cast<size_t>(token.id)] =
          DecodeByteLevel(token.content).value_or(token.content);
    }
  }

  void ReadNormalizer(const Json& json, const std::string& where, bool may_nest) {
    const JsonReader reader(json, where);
    const std::string type = reader.String("type");
    if (type == "NFC") {
      RefuseUnknownKeys(json, where, {"type"});
      spec_.nfc = true;
    } else if (type == "Sequence" && may_nest) {
      RefuseUnknownKeys(json, where, {"type", "normalizers"});
      const Json& parts = Array(reader, "normalizers");
      for (size_t i = 0; i < parts.size(); ++i) ReadNormalizer(parts[i], Element(where, i), false);
    } else {
      RefuseType(reader, type, may_nest ? "NFC, Sequence" : "NFC");
    }
  }

  void ReadPreTokenizer(const Json& json, const std::string& where, bool may_nest) {
    const JsonReader reader(json, where);
    const std::string type = reader.String("type");
    if (byte_level_seen_)
      throw Errorf(where, "\"{}\" after ByteLevel, which must be the last", Printable(type));
    if (type == "Sequence" && may_nest) {
      RefuseUnknownKeys(json, where, {"type", "pretokenizers"});
      const Json& parts = Array(reader, "pretokenizers");
      for (size_t i = 0; i < parts.size(); ++i) ReadPreTokenizer(parts[i], Element(where, i), false);
    } else if (type == "Split") {
      spec_.patterns.push_back(ReadSplit(reader, json));
      if (spec_.patterns.size() > kMaxSplits) throw Errorf(where, "more than {} splits", kMaxSplits);
    } else if (type == "ByteLevel") {
      RefuseUnknownKeys(json, where, {"type", "add_prefix_space", "trim_offsets", "use_regex"});
      if (reader.BoolOr("add_prefix_space", true)) {
        throw Error(where, "\"add_prefix_space\" is true (or absent), only false is supported");
      }
      if (reader.BoolOr("use_regex", true)) spec_.patterns.push_back(SplitPattern::kGpt2);
      byte_level_seen_ = true;
    } else {
      RefuseType(reader, type, may_nest ? "Split, ByteLevel, Sequence" : "Split, ByteLevel");
    }
  }

  static SplitPattern ReadSplit(const JsonReader& reader, const Json& json) {
    const std::string& where = reader.where();
    RefuseUnknownKeys(json, where, {"type", "pattern", "behavior", "invert"});
    const std::string behavior = reader.String("behavior");
    if (behavior != "Isolated")
      throw Errorf(where, "behavior \"{}\", expected Isolated", Printable(behavior));
    ExpectBool(reader, "invert", false);
    const JsonReader pattern(reader.Get("pattern"), where + ".pattern");
    RefuseUnknownKeys(reader.Get("pattern"), where + ".pattern", {"Regex"});
    const std::string regex = pattern.String("Regex");
    const std::optional<SplitPattern> known = FindSplitPattern(regex);
    if (!known) {
      throw Errorf(where, "the pattern is none of those known (GPT-2, Qwen2, Llama 3): {}",
                   Printable(regex, 300));
    }
    return *known;
  }

  void ReadDecoder(const Json& json, const std::string& where) {
    const JsonReader reader(json, where);
    const std::string type = reader.String("type");
    if (type == "Sequence") {
      const Json& parts = Array(reader, "decoders");
      if (parts.size() != 1) throw Errorf(where, "a Sequence of {}, expected only ByteLevel", parts.size());
      const JsonReader part(parts[0], Element(where, 0));
      if (const std::string inner = part.String("type"); inner != "ByteLevel")
        RefuseType(part, inner, "ByteLevel");
    } else if (type != "ByteLevel") {
      RefuseType(reader, type, "ByteLevel");
    }
  }

  void ReadPostProcessor(const Json& json, const std::string& where, bool may_nest) {
    const JsonReader reader(json, where);
    const std::string type = reader.String("type");
    if (type == "ByteLevel") return;  // concerns offsets only
    if (type == "TemplateProcessing") {
      RefuseUnknownKeys(json, where, {"type", "single", "pair", "special_tokens"});
      ReadTemplate(reader);
    } else if (type == "Sequence" && may_nest) {
      RefuseUnknownKeys(json, where, {"type", "processors"});
      const Json& parts = Array(reader, "processors");
      for (size_t i = 0; i < parts.size(); ++i) ReadPostProcessor(parts[i], Element(where, i), false);
    } else {
      RefuseType(reader, type,
                 may_nest ? "ByteLevel, TemplateProcessing, Sequence" : "ByteLevel, TemplateProcessing");
    }
  }

  // "single": what stands around one text. "pair" is for two and is not used.
  void ReadTemplate(const JsonReader& reader) {
    if (std::exchange(template_seen_, true)) throw Error(reader.where(), "a second TemplateProcessing");
    const JsonReader specials(reader.Get("special_tokens"), reader.where() + ".special_tokens");
    const Json& pieces = Array(reader, "single");
    bool text_seen = false;
    for (size_t i = 0; i < pieces.size(); ++i) {
      const std::string where = Element(reader.where() + ".single", i);
      const JsonReader piece(pieces[i], where);
      RefuseUnknownKeys(pieces[i], where, {"SpecialToken", "Sequence"});
      if (pieces[i].size() != 1) throw Error(where, "expected either SpecialToken or Sequence");
      if (piece.Has("Sequence")) {
        if (std::exchange(text_seen, true)) throw Error(where, "the text stands twice");
        continue;
      }
      const std::string name = JsonReader(piece.Get("SpecialToken"), where).String("id");
      AppendSpecial(specials, name, text_seen ? spec_.suffix_ids : spec_.prefix_ids);
    }
    if (!text_seen) throw Error(reader.where(), "\"single\" leaves the text out");
  }

  void AppendSpecial(const JsonReader& specials, const std::string& name, std::vector<int32_t>& out) const {
    const std::string where = fmt::format("{}[\"{}\"]", specials.where(), Printable(name));
    if (!specials.Has(name)) throw Error(where, "is missing");
    const Json& ids = Array(JsonReader(specials.Get(name), where), "ids");
    for (const Json& id : ids) {
      const bool known = id.is_number_unsigned() && id.get<uint64_t>() < spec_.token_bytes.size() &&
                         !spec_.token_bytes[id.get<size_t>()].empty();
      if (!known) throw Errorf(where, "{} is no token", Printable(DumpJson(id), 40));
      out.push_back(id.get<int32_t>());
    }
  }

  const std::string& where_;
  TokenizerSpec spec_;
  // Both point into the JSON that is being read.
  std::unordered_map<std::string_view, int32_t> ids_;  // the model's vocabulary
  std::vector<const std::string*> owners_;             // [id] the token that has it, or null
  bool byte_level_seen_ = false, template_seen_ = false;
};

}  // namespace

TokenizerSpec ReadTokenizerJson(std::string_view text, const std::string& where) {
  return Reader(where).Read(text);
}

}  // namespace fourstep
