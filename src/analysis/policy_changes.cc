#include "analysis/policy_changes.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <optional>

#include "base/check.h"

namespace fourstep {
namespace {

// A drawn token of the policy beside the fixed temperature of its pair.
struct DrawnToken {
  float entropy, temperature, fixed_temperature;
  TokenKind kind;
};

TemperatureShares SharesOf(const std::string& name, std::span<const DrawnToken> tokens) {
  TemperatureShares shares{.name = name, .num_tokens = static_cast<int64_t>(tokens.size())};
  const double n = std::max<double>(1, static_cast<double>(tokens.size()));
  for (const DrawnToken& token : tokens) {
    shares.raised += token.temperature > token.fixed_temperature ? 1 / n : 0;
    shares.lowered += token.temperature < token.fixed_temperature ? 1 / n : 0;
  }
  return shares;
}

// The position of the first token that differs; nothing where the answers are equal.
std::optional<size_t> FirstDifference(const TracedAnswer& a, const TracedAnswer& b) {
  const auto [in_a, in_b] = std::mismatch(a.tokens.begin(), a.tokens.end(), b.tokens.begin(), b.tokens.end());
  if (in_a == a.tokens.end() || in_b == b.tokens.end()) return std::nullopt;  // equal, or one was cut
  return static_cast<size_t>(in_a - a.tokens.begin());
}

void CountPair(const TracedAnswer& fixed, const TracedAnswer& policy, PolicyChanges& changes) {
  ++changes.num_pairs;
  const std::optional<size_t> at = FirstDifference(fixed, policy);
  if (!at) {
    ++changes.num_equal;
    return;
  }
  const float before = fixed.temperatures[*at], now = policy.temperatures[*at];
  PartedAnswers& parted = now > before   ? changes.at_raised
                          : now < before ? changes.at_lowered
                                         : changes.at_same;
  ++parted.num_parted;
  parted.num_mended += policy.is_right && !fixed.is_right ? 1 : 0;
  parted.num_broken += fixed.is_right && !policy.is_right ? 1 : 0;
}

Json SharesJson(const std::vector<TemperatureShares>& rows) {
  Json json = Json::array();
  for (const TemperatureShares& row : rows) {
    json.push_back(
        {{"name", row.name}, {"tokens", row.num_tokens}, {"raised", row.raised}, {"lowered", row.lowered}});
  }
  return json;
}

}  // namespace

PolicyChanges ChangesOf(const Tokenizer& tokenizer, std::span<const TracedAnswer> fixed,
                        std::span<const TracedAnswer> policy) {
  FOURSTEP_CHECK(fixed.size() == policy.size(), "{} and {} answers", fixed.size(), policy.size());
  PolicyChanges changes;
  std::vector<DrawnToken> tokens;
  for (size_t i = 0; i < policy.size(); ++i) {
    FOURSTEP_CHECK(fixed[i].problem == policy[i].problem && fixed[i].sample == policy[i].sample);
    CountPair(fixed[i], policy[i], changes);
    if (fixed[i].tokens.empty()) continue;
    const std::vector<TokenKind> kinds = TokenKinds(tokenizer, policy[i].prompt, policy[i].tokens);
    for (size_t t = 0; t < policy[i].tokens.size(); ++t) {
      tokens.push_back(
          {policy[i].entropies[t], policy[i].temperatures[t], fixed[i].temperatures[0], kinds[t]});
    }
  }
  for (int kind = 0; kind < kNumTokenKinds; ++kind) {
    std::vector<DrawnToken> of_kind;
    std::copy_if(tokens.begin(), tokens.end(), std::back_inserter(of_kind),
                 [&](const DrawnToken& token) { return static_cast<int>(token.kind) == kind; });
    if (!of_kind.empty()) {
      changes.by_kind.push_back(SharesOf(std::string(TokenKindName(static_cast<TokenKind>(kind))), of_kind));
    }
  }
  std::stable_sort(tokens.begin(), tokens.end(),
                   [](const DrawnToken& a, const DrawnToken& b) { return a.entropy < b.entropy; });
  for (size_t decile = 0; decile < 10; ++decile) {
    const size_t begin = tokens.size() * decile / 10, end = tokens.size() * (decile + 1) / 10;
    if (begin == end) continue;
    changes.by_decile.push_back(
        SharesOf(fmt::format("{:.3g} to {:.3g}", tokens[begin].entropy, tokens[end - 1].entropy),
                 std::span(tokens).subspan(begin, end - begin)));
  }
  return changes;
}

Json PolicyChangesJson(const PolicyChanges& changes) {
  const auto parted = [](const PartedAnswers& p) {
    return Json{{"parted", p.num_parted}, {"mended", p.num_mended}, {"broken", p.num_broken}};
  };
  return {{"by_entropy_decile", SharesJson(changes.by_decile)},
          {"by_token_kind", SharesJson(changes.by_kind)},
          {"pairs", changes.num_pairs},
          {"equal", changes.num_equal},
          {"first_difference",
           {{"raised", parted(changes.at_raised)},
            {"lowered", parted(changes.at_lowered)},
            {"same_temperature", parted(changes.at_same)}}}};
}

std::string PolicyChangesText(const PolicyChanges& changes) {
  std::string text = fmt::format("{:<22} {:>8} {:>12} {:>12}\n", "temperature of tokens", "tokens",
                                 "raised, %", "lowered, %");
  for (const auto* rows : {&changes.by_decile, &changes.by_kind}) {
    for (const TemperatureShares& row : *rows) {
      text += fmt::format("{:<22} {:>8} {:>12.1f} {:>12.1f}\n", row.name, row.num_tokens, 100 * row.raised,
                          100 * row.lowered);
    }
  }
  text += fmt::format(
      "\n{} of {} answers are the same under the policy and the fixed temperature; the others part first "
      "at\n",
      changes.num_equal, changes.num_pairs);
  const auto add = [&](const char* name, const PartedAnswers& p) {
    text += fmt::format("  {:<34} {:>6}: {} wrong ones became right, {} right ones wrong\n", name,
                        p.num_parted, p.num_mended, p.num_broken);
  };
  add("a token at a raised temperature", changes.at_raised);
  add("a token at a lowered temperature", changes.at_lowered);
  add("a token at the same temperature", changes.at_same);
  return text;
}

}  // namespace fourstep
