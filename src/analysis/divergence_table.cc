#include "analysis/divergence_table.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <numeric>

#include "base/check.h"
#include "eval/estimate_text.h"

namespace fourstep {
namespace {

using Group = std::vector<const TokenComparison*>;

DivergenceRow RowOf(const std::string& name, const Group& group) {
  DivergenceRow row{.name = name, .num_tokens = static_cast<int64_t>(group.size()), .kl = {}, .flips = {}};
  if (group.empty()) return row;
  struct Sums {
    double kl = 0, flips = 0;
    int64_t count = 0;
  };
  std::map<int32_t, Sums> by_text;
  const double n = static_cast<double>(group.size());
  for (const TokenComparison* token : group) {
    Sums& sums = by_text[token->text];
    sums.kl += token->kl;
    sums.flips += token->is_flip ? 1 : 0;
    ++sums.count;
    row.reference_entropy += token->reference_entropy / n;
    row.quantised_entropy += token->quantised_entropy / n;
    row.reference_best_mass += token->reference_best_mass / n;
    row.quantised_best_mass += token->quantised_best_mass / n;
    row.reference_support += std::exp(token->reference_entropy) / n;
    row.quantised_support += std::exp(token->quantised_entropy) / n;
    for (size_t t = 0; t < kMassTemperatures.size(); ++t) {
      row.reference_beside[t] += token->reference_beside[t] / n;
      row.quantised_beside[t] += token->quantised_beside[t] / n;
    }
  }
  std::vector<double> kl, flips;
  std::vector<int64_t> counts;
  for (const auto& [text, sums] : by_text) {
    kl.push_back(sums.kl);
    flips.push_back(sums.flips);
    counts.push_back(sums.count);
  }
  row.kl = RatioMean(kl, counts);
  row.flips = RatioMean(flips, counts);
  row.kl.low = std::max(0.0, row.kl.low);
  row.flips.low = std::max(0.0, row.flips.low);
  return row;
}

}  // namespace

Estimate RatioMean(std::span<const double> sums, std::span<const int64_t> counts) {
  FOURSTEP_CHECK(sums.size() == counts.size() && !sums.empty());
  const auto total = static_cast<double>(std::accumulate(counts.begin(), counts.end(), int64_t{0}));
  const double mean = std::accumulate(sums.begin(), sums.end(), 0.0) / total;
  const auto clusters = static_cast<double>(sums.size());
  if (clusters < 2) return {mean, -HUGE_VAL, HUGE_VAL};
  double squares = 0;
  for (size_t i = 0; i < sums.size(); ++i) {
    const double residual = sums[i] - mean * static_cast<double>(counts[i]);
    squares += residual * residual;
  }
  const double error = std::sqrt(squares * clusters / (clusters - 1)) / total;
  const double reach = StudentQuantile(0.95, clusters - 1) * error;
  return {mean, mean - reach, mean + reach};
}

std::vector<DivergenceRow> ByEntropyDecile(std::span<const TokenComparison> tokens) {
  Group sorted;
  for (const TokenComparison& token : tokens) sorted.push_back(&token);
  std::stable_sort(sorted.begin(), sorted.end(), [](const TokenComparison* a, const TokenComparison* b) {
    return a->reference_entropy < b->reference_entropy;
  });
  std::vector<DivergenceRow> rows;
  for (size_t decile = 0; decile < 10 && !sorted.empty(); ++decile) {
    const auto at = [&](size_t tenths) {
      return sorted.begin() + static_cast<ptrdiff_t>(sorted.size() * tenths / 10);
    };
    const Group group(at(decile), at(decile + 1));
    if (group.empty()) continue;
    rows.push_back(RowOf(
        fmt::format("{:.3g} to {:.3g}", group.front()->reference_entropy, group.back()->reference_entropy),
        group));
  }
  return rows;
}

std::vector<DivergenceRow> ByTokenKind(std::span<const TokenComparison> tokens) {
  std::vector<DivergenceRow> rows;
  for (int kind = 0; kind < kNumTokenKinds; ++kind) {
    Group group;
    for (const TokenComparison& token : tokens) {
      if (static_cast<int>(token.kind) == kind) group.push_back(&token);
    }
    if (!group.empty())
      rows.push_back(RowOf(std::string(TokenKindName(static_cast<TokenKind>(kind))), group));
  }
  return rows;
}

std::vector<DivergenceRow> ByStepCertainty(std::span<const TokenComparison> tokens,
                                           std::span<const int32_t> steps) {
  FOURSTEP_CHECK(tokens.size() == steps.size());
  struct Mean {
    double sum = 0;
    int64_t count = 0;
    double value() const { return sum / static_cast<double>(count); }
  };
  std::map<int32_t, Mean> answers;
  std::map<std::pair<int32_t, int32_t>, Mean> of_steps;
  for (size_t i = 0; i < tokens.size(); ++i) {
    for (Mean* mean : {&answers[tokens[i].text], &of_steps[{tokens[i].text, steps[i]}]}) {
      mean->sum += tokens[i].reference_entropy;
      ++mean->count;
    }
  }
  Group certain, uncertain;
  for (size_t i = 0; i < tokens.size(); ++i) {
    const bool is_uncertain =
        of_steps.at({tokens[i].text, steps[i]}).value() > answers.at(tokens[i].text).value();
    (is_uncertain ? uncertain : certain).push_back(&tokens[i]);
  }
  return {RowOf("certain steps", certain), RowOf("uncertain steps", uncertain)};
}

DivergenceRow OfAll(std::span<const TokenComparison> tokens) {
  Group all;
  for (const TokenComparison& token : tokens) all.push_back(&token);
  return RowOf("all", all);
}

Json DivergenceJson(std::span<const DivergenceRow> rows) {
  Json json = Json::array();
  for (const DivergenceRow& row : rows) {
    json.push_back({{"name", row.name},
                    {"tokens", row.num_tokens},
                    {"kl", EstimateJson(row.kl)},
                    {"flips", EstimateJson(row.flips)},
                    {"entropy", {row.reference_entropy, row.quantised_entropy}},
                    {"best_mass", {row.reference_best_mass, row.quantised_best_mass}},
                    {"support", {row.reference_support, row.quantised_support}},
                    {"mass_temperatures", kMassTemperatures},
                    {"mass_beside", {row.reference_beside, row.quantised_beside}}});
  }
  return json;
}

std::string DivergenceText(std::span<const DivergenceRow> rows, const std::string& heading) {
  std::string text = fmt::format("{:<20} {:>8}  {:<24} {:<18} {:<16} {:<14}", heading, "tokens",
                                 "KL, millinats", "flips, %", "entropy, nats", "support");
  for (const double temperature : kMassTemperatures)
    text += fmt::format(" {:<14}", fmt::format("beside %, T {:g}", temperature));
  text += "\n";
  for (const DivergenceRow& row : rows) {
    text += fmt::format(
        "{:<20} {:>8}  {:<24} {:<18} {:<16} {:<14}", row.name, row.num_tokens,
        fmt::format("{:.2f} [{:.2f}, {:.2f}]", 1e3 * row.kl.mean, 1e3 * row.kl.low, 1e3 * row.kl.high),
        fmt::format("{:.2f} [{:.2f}, {:.2f}]", 100 * row.flips.mean, 100 * row.flips.low,
                    100 * row.flips.high),
        fmt::format("{:.3f} {:.3f}", row.reference_entropy, row.quantised_entropy),
        fmt::format("{:.2f} {:.2f}", row.reference_support, row.quantised_support));
    for (size_t t = 0; t < kMassTemperatures.size(); ++t) {
      text += fmt::format(" {:<14}", fmt::format("{:.2f} {:.2f}", 100 * row.reference_beside[t],
                                                 100 * row.quantised_beside[t]));
    }
    text += "\n";
  }
  return text;
}

}  // namespace fourstep
