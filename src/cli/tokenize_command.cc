#include <fmt/format.h>

#include <iostream>
#include <memory>
#include <string>
#include <vector>

#include "base/error.h"
#include "base/json.h"
#include "checkpoint/tokenizer.h"
#include "cli/commands.h"
#include "cli/json_lines.h"

namespace fourstep::cli {
namespace {

struct TokenizeOptions {
  std::string model;
  bool decode = false, skip_special = false;
  bool plain_specials = false, add_specials = false;
};

std::vector<int32_t> ReadIds(const Json& line, const Tokenizer& tokenizer, const std::string& where) {
  if (!line.is_array()) throw Error(where, "not an array of token ids");
  std::vector<int32_t> ids;
  ids.reserve(line.size());
  for (const Json& id : line) {
    const bool in_range = id.is_number_unsigned() && id.get<uint64_t>() < uint64_t(tokenizer.vocab_size());
    if (!in_range || !tokenizer.IsToken(id.get<int32_t>())) {
      throw Errorf(where, "{} is no token, ids are 0..{}", Printable(DumpJson(id), 40),
                   tokenizer.vocab_size() - 1);
    }
    ids.push_back(id.get<int32_t>());
  }
  return ids;
}

Json Convert(const Json& line, const Tokenizer& tokenizer, const TokenizeOptions& options,
             const std::string& where) {
  if (options.decode) return tokenizer.Decode(ReadIds(line, tokenizer, where), options.skip_special);
  if (!line.is_string()) throw Error(where, "not a JSON string");
  return tokenizer.Encode(line.get_ref<const std::string&>(), {.parse_special = !options.plain_specials,
                                                               .add_special_tokens = options.add_specials});
}

// A program that keeps the pipe open waits for every line, so it is flushed when no more input waits.
void Tokenize(const TokenizeOptions& options) {
  const Tokenizer tokenizer = Tokenizer::Load(options.model);
  std::string line;
  for (int64_t number = 1;; ++number) {
    const std::string where = fmt::format("line {}", number);
    if (!ReadLine(std::cin, line, where)) break;
    WriteLine(Convert(ParseJson(line, where), tokenizer, options, where));
    FlushWhenInputPauses(std::cin);
  }
  FlushOutput();
}

}  // namespace

void AddTokenizeCommand(CLI::App& app) {
  CLI::App* tokenize =
      app.add_subcommand("tokenize", "JSON strings in, one a line; JSON arrays of token ids out");
  auto options = std::make_shared<TokenizeOptions>();
  tokenize->add_option("model", options->model, "Folder with tokenizer.json")->required();
  CLI::Option* decode = tokenize->add_flag("--decode", options->decode, "The other way: ids in, strings out");
  tokenize->add_flag("--skip-special", options->skip_special, "With --decode: leave out special tokens")
      ->needs(decode);
  tokenize->add_flag("--plain-special", options->plain_specials, "Take special tokens in the text for text")
      ->excludes(decode);
  tokenize
      ->add_flag("--add-special", options->add_specials, "Put around it what the post-processor says (bos)")
      ->excludes(decode);
  tokenize->callback([options] { Tokenize(*options); });
}

}  // namespace fourstep::cli
