// Comparisons of two models token by token, gathered in groups: by how uncertain the reference is, by kind of
// token, by the certainty of the step.
#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "analysis/forced_comparison.h"
#include "base/json.h"
#include "eval/statistics.h"

namespace fourstep {

// Means over the tokens of a group; intervals are clustered by text.
struct DivergenceRow {
  std::string name;
  int64_t num_tokens = 0;
  Estimate kl;     // nats
  Estimate flips;  // share of tokens whose likeliest one changed
  double reference_entropy = 0, quantised_entropy = 0;
  double reference_best_mass = 0, quantised_best_mass = 0;
  double reference_support = 0,
         quantised_support = 0;  // e^entropy: among how many tokens the model hesitates
  std::array<double, kMassTemperatures.size()> reference_beside = {}, quantised_beside = {};
};

// A mean of all values of clusters that differ in size, with the 95 % interval from the spread between
// clusters. The sums and counts of each cluster, those without values included.
Estimate RatioMean(std::span<const double> sums, std::span<const int64_t> counts);

// Ten rows of equally many tokens each, the most certain of the reference first; named by their entropies.
std::vector<DivergenceRow> ByEntropyDecile(std::span<const TokenComparison> tokens);
// A row for each kind that there is.
std::vector<DivergenceRow> ByTokenKind(std::span<const TokenComparison> tokens);
// Certain and uncertain steps: those whose mean entropy, by the reference, is above that of their answer.
// `steps` has the number of the step of each token.
std::vector<DivergenceRow> ByStepCertainty(std::span<const TokenComparison> tokens,
                                           std::span<const int32_t> steps);
// One row of all.
DivergenceRow OfAll(std::span<const TokenComparison> tokens);

Json DivergenceJson(std::span<const DivergenceRow> rows);
std::string DivergenceText(std::span<const DivergenceRow> rows, const std::string& heading);  // a table

}  // namespace fourstep
