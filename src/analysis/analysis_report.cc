#include "analysis/analysis_report.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "eval/estimate_text.h"
#include "sampling/params.h"

namespace fourstep {
namespace {

double MeanOf(const std::vector<double>& values) {
  double sum = 0;
  for (const double value : values) sum += value;
  return values.empty() ? 0 : sum / static_cast<double>(values.size());
}

// Of ascending values, the nearest rank.
double QuantileOf(const std::vector<double>& values, double share) {
  if (values.empty()) return 0;
  return values[static_cast<size_t>(share * static_cast<double>(values.size() - 1) + 0.5)];
}

std::vector<const ArmAnswers*> ArmsOf(const ModelAnalysis& analysis) {
  return {&analysis.reference, &analysis.quantised, &analysis.reset};
}

std::string EntropyText(const ModelAnalysis& analysis) {
  std::string text = fmt::format("{:<12} {:>8} {:>10} {:>10} {:>10} {:>12} {:>10} {:>12}\n", "entropy, nats",
                                 "tokens", "mean", "median", "80th", "step mean", "step 80th", "repeated, %");
  for (const ArmAnswers* arm : ArmsOf(analysis)) {
    text += fmt::format("{:<12} {:>8} {:>10.4f} {:>10.4f} {:>10.4f} {:>12.4f} {:>10.4f} {:>12.1f}\n",
                        arm->name, arm->token_entropies.size(), MeanOf(arm->token_entropies),
                        QuantileOf(arm->token_entropies, 0.5), QuantileOf(arm->token_entropies, 0.8),
                        MeanOf(arm->step_entropies), QuantileOf(arm->step_entropies, 0.8),
                        100 * arm->repeated_steps);
  }
  return text;
}

std::string EstimatorText(const ModelAnalysis& analysis) {
  std::string text =
      fmt::format("{:<18} {}\n", "step estimator", "mean error against the step's true entropy, nats");
  for (const EstimatorError& estimator : analysis.estimators) {
    text += fmt::format("{:<18} {:.4f} [{:.4f}, {:.4f}]\n", StepEstimatorName(estimator.estimator),
                        estimator.error.mean, estimator.error.low, estimator.error.high);
  }
  return text;
}

Json ArmJson(const ArmAnswers& arm) {
  Json quantiles = Json::array();
  for (int percent = 0; percent <= 100; percent += 5) {
    quantiles.push_back({{"percent", percent},
                         {"token_entropy", QuantileOf(arm.token_entropies, percent / 100.0)},
                         {"step_entropy", QuantileOf(arm.step_entropies, percent / 100.0)}});
  }
  return {{"name", arm.name},
          {"answers", arm.answers.size()},
          {"tokens", arm.token_entropies.size()},
          {"steps", arm.step_entropies.size()},
          {"mean_token_entropy", MeanOf(arm.token_entropies)},
          {"mean_step_entropy", MeanOf(arm.step_entropies)},
          {"repeated_steps", arm.repeated_steps},
          {"quantiles", quantiles}};
}

// The share of values in bins of equal width up to `end`; the rest is in the last.
ChartLine Histogram(const std::string& name, const std::vector<double>& values, double end) {
  constexpr size_t kBins = 40;
  std::vector<double> shares(kBins, 0.0);
  for (const double value : values) {
    const auto bin = static_cast<size_t>(std::max(0.0, value) / end * kBins);
    shares[std::min(bin, kBins - 1)] += 1.0 / static_cast<double>(values.size());
  }
  ChartLine line{.name = name, .points = {}};
  for (size_t bin = 0; bin < kBins; ++bin) {
    line.points.emplace_back((static_cast<double>(bin) + 0.5) * end / kBins, 100 * shares[bin]);
  }
  return line;
}

// The share of values that are at most x.
ChartLine Cumulative(const std::string& name, const std::vector<double>& values) {
  constexpr int kPoints = 200;
  ChartLine line{.name = name, .points = {}};
  if (values.empty()) return line;
  for (int i = 0; i <= kPoints; ++i) {
    const double share = static_cast<double>(i) / kPoints;
    line.points.emplace_back(QuantileOf(values, share), 100 * share);
  }
  return line;
}

Chart EntropyChart(const ModelAnalysis& analysis) {
  Chart chart{.file = "token_entropy",
              .title = "Entropy of tokens",
              .x_label = "entropy, nats",
              .y_label = "tokens, %"};
  const double end = std::max({0.1, QuantileOf(analysis.reference.token_entropies, 0.995),
                               QuantileOf(analysis.quantised.token_entropies, 0.995)});
  for (const ArmAnswers* arm : {&analysis.reference, &analysis.quantised}) {
    chart.lines.push_back(Histogram(arm->name, arm->token_entropies, end));
  }
  return chart;
}

Chart CumulativeChart(const ModelAnalysis& analysis, const char* file, const char* title,
                      const std::vector<double> ArmAnswers::*values) {
  Chart chart{.file = file, .title = title, .x_label = "entropy, nats", .y_label = "at most that, %"};
  for (const ArmAnswers* arm : ArmsOf(analysis)) chart.lines.push_back(Cumulative(arm->name, arm->*values));
  return chart;
}

ChartBars::Bar BarOf(const Estimate& estimate, double scale) {
  return {scale * estimate.mean, scale * estimate.low, scale * estimate.high};
}

Chart DivergenceChart(const std::vector<DivergenceRow>& rows, const char* file, const char* title,
                      const char* x_label) {
  Chart chart{.file = file, .title = title, .x_label = x_label, .y_label = "KL, 0.01 nats; flips, %"};
  ChartBars kl{.name = "KL(reference || quantised)", .bars = {}},
      flips{.name = "likeliest token changed", .bars = {}};
  for (const DivergenceRow& row : rows) {
    chart.categories.push_back(row.name);
    kl.bars.push_back(BarOf(row.kl, 100));
    flips.bars.push_back(BarOf(row.flips, 100));
  }
  chart.bars = {std::move(kl), std::move(flips)};
  return chart;
}

Chart MassChart(const std::vector<DivergenceRow>& rows, size_t temperature) {
  Chart chart{.file = fmt::format("mass_beside_t{:g}", kMassTemperatures[temperature]),
              .title = fmt::format("Mass beside the reference's likeliest token at T {:g}",
                                   kMassTemperatures[temperature]),
              .x_label = "kind of token",
              .y_label = "mass, %"};
  ChartBars reference{.name = "reference", .bars = {}}, quantised{.name = "quantised", .bars = {}};
  for (const DivergenceRow& row : rows) {
    chart.categories.push_back(row.name);
    reference.bars.push_back({.value = 100 * row.reference_beside[temperature]});
    quantised.bars.push_back({.value = 100 * row.quantised_beside[temperature]});
  }
  chart.bars = {std::move(reference), std::move(quantised)};
  return chart;
}

Chart TemperatureChart(const std::vector<TemperatureShares>& rows) {
  Chart chart{.file = "reset_temperature",
              .title = "Where ReSET draws hotter and colder than the fixed temperature",
              .x_label = "entropy of the token, nats, in tenths of all tokens",
              .y_label = "tokens, %"};
  ChartBars raised{.name = "raised", .bars = {}}, lowered{.name = "lowered", .bars = {}};
  for (const TemperatureShares& row : rows) {
    chart.categories.push_back(row.name);
    raised.bars.push_back({.value = 100 * row.raised});
    lowered.bars.push_back({.value = 100 * row.lowered});
  }
  chart.bars = {std::move(raised), std::move(lowered)};
  return chart;
}

}  // namespace

std::string AnalysisText(const ModelAnalysis& analysis) {
  std::string text = StudyReportText(analysis.study);
  text += "\n" + EntropyText(analysis);
  text +=
      "\nThe reference's answers, read by both models: what the quantised one would have drawn (pairs of "
      "figures: "
      "reference, quantised)\n\n";
  const std::vector<DivergenceRow> all = {analysis.all};
  text += DivergenceText(all, "all tokens");
  text += "\n" + DivergenceText(analysis.by_decile, "by entropy, nats");
  text += "\n" + DivergenceText(analysis.by_kind, "by kind");
  text += "\n" + DivergenceText(analysis.by_certainty, "by step");
  text += "\n" + EstimatorText(analysis);
  return text + "\n" + PolicyChangesText(analysis.changes);
}

Json AnalysisJson(const ModelAnalysis& analysis) {
  Json estimators = Json::array(), arms = Json::array();
  for (const EstimatorError& estimator : analysis.estimators) {
    estimators.push_back(
        {{"estimator", StepEstimatorName(estimator.estimator)}, {"error", EstimateJson(estimator.error)}});
  }
  for (const ArmAnswers* arm : ArmsOf(analysis)) arms.push_back(ArmJson(*arm));
  const std::vector<DivergenceRow> all = {analysis.all};
  return {{"study", StudyReportJson(analysis.study)},
          {"arms", arms},
          {"all", DivergenceJson(all)},
          {"by_entropy_decile", DivergenceJson(analysis.by_decile)},
          {"by_token_kind", DivergenceJson(analysis.by_kind)},
          {"by_step_certainty", DivergenceJson(analysis.by_certainty)},
          {"step_estimators", estimators},
          {"reset", PolicyChangesJson(analysis.changes)}};
}

std::vector<Chart> AnalysisCharts(const ModelAnalysis& analysis) {
  return {
      EntropyChart(analysis),
      CumulativeChart(analysis, "token_entropy_cumulative", "Entropy of tokens, cumulative",
                      &ArmAnswers::token_entropies),
      CumulativeChart(analysis, "step_entropy_cumulative", "Mean entropy of steps, cumulative",
                      &ArmAnswers::step_entropies),
      DivergenceChart(analysis.by_decile, "divergence_by_entropy", "What quantisation changes, by entropy",
                      "entropy of the reference, nats, in tenths of all tokens"),
      DivergenceChart(analysis.by_kind, "divergence_by_kind", "What quantisation changes, by kind of token",
                      "kind of token"),
      MassChart(analysis.by_kind, 0),
      MassChart(analysis.by_kind, 2),
      TemperatureChart(analysis.changes.by_decile)};
}

}  // namespace fourstep
