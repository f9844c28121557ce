#include "eval/problem_stream.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <unordered_set>

#include "base/check.h"
#include "base/error.h"
#include "base/hash.h"

namespace fourstep {
namespace {

constexpr std::string_view kSplitNames[] = {"evaluation", "calibration", "training"};

// So many candidates in a row without a new problem, and the knobs are taken to allow no more.
constexpr int64_t kMaxBarrenCandidates = 100'000;
constexpr int64_t kCandidatesABatch = 2048;

uint64_t ProblemHash(const GeneratedTask& task, std::string_view canonical) {
  return HashText(canonical, HashText(task.name()));
}

struct Candidate {
  bool in_split = false;
  uint64_t hash = 0;
  GeneratedProblem generated;
};

Candidate MakeCandidate(const GeneratedTask& task, const ProblemRequest& request, uint64_t index) {
  PhiloxStream random(request.seed, index);
  std::vector<int> values(request.knobs.size());
  for (size_t i = 0; i < values.size(); ++i) {
    values[i] = random.Between(request.knobs[i].low, request.knobs[i].high);
  }
  Candidate candidate;
  Writer writer(random, request.record_choices);
  candidate.generated.problem = task.Generate(values, writer);
  const std::string& canonical = candidate.generated.problem.canonical;
  candidate.hash = ProblemHash(task, canonical);
  candidate.in_split = SplitOf(task, canonical) == request.split;
  if (candidate.in_split) {
    candidate.generated.trace = writer.text();
    candidate.generated.choices = writer.choices();
  }
  return candidate;
}

int ParseBound(std::string_view text, std::string_view setting) {
  int value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size()) {
    throw Errorf("--knob", "\"{}\" is neither name=value nor name=low..high", Printable(setting));
  }
  return value;
}

}  // namespace

Split SplitOf(const GeneratedTask& task, std::string_view canonical) {
  switch (ProblemHash(task, canonical) % 16) {
    case 0:
      return Split::kEvaluation;
    case 15:
      return Split::kCalibration;
    default:
      return Split::kTraining;
  }
}

Split ParseSplit(std::string_view name) {
  for (int i = 0; i < 3; ++i) {
    if (kSplitNames[i] == name) return static_cast<Split>(i);
  }
  throw Errorf("--split", "\"{}\" is not evaluation, calibration or training", Printable(name));
}

std::string_view SplitName(Split split) {
  return kSplitNames[static_cast<int>(split)];
}

std::vector<IntRange> DefaultKnobs(const GeneratedTask& task, Split split) {
  std::vector<IntRange> ranges;
  for (const Knob& knob : task.knobs()) {
    ranges.push_back(split == Split::kTraining ? knob.training : knob.evaluation);
  }
  return ranges;
}

void SetKnob(const GeneratedTask& task, std::string_view setting, std::vector<IntRange>& ranges) {
  const size_t equals = std::min(setting.find('='), setting.size());
  const std::string_view name = setting.substr(0, equals);
  const auto knobs = task.knobs();
  const auto knob = std::find_if(knobs.begin(), knobs.end(), [&](const Knob& k) { return k.name == name; });
  if (knob == knobs.end()) {
    std::string names;
    for (const Knob& k : knobs) names += fmt::format("{}{}", names.empty() ? "" : ", ", k.name);
    throw Errorf("--knob", "{} has no knob \"{}\"; it has {}", task.name(), Printable(name), names);
  }
  const std::string_view value = setting.substr(std::min(equals + 1, setting.size()));
  const size_t dots = value.find("..");
  IntRange range{};
  range.low = ParseBound(value.substr(0, dots), setting);
  range.high = dots == value.npos ? range.low : ParseBound(value.substr(dots + 2), setting);
  if (range.low > range.high || range.low < knob->allowed.low || range.high > knob->allowed.high) {
    throw Errorf("--knob", "{} of {} must lie within {}..{}, not \"{}\"", knob->name, task.name(),
                 knob->allowed.low, knob->allowed.high, Printable(value));
  }
  ranges[static_cast<size_t>(knob - knobs.begin())] = range;
}

void GenerateProblems(const GeneratedTask& task, const ProblemRequest& request, int64_t count,
                      const std::function<void(const GeneratedProblem&)>& sink) {
  FOURSTEP_CHECK(request.knobs.size() == task.knobs().size(), "{} knob values for {}", request.knobs.size(),
                 task.name());
  std::unordered_set<uint64_t> seen;
  const bool distinct = request.split != Split::kTraining;
  int64_t written = 0, barren = 0, next = 0;
  while (written < count) {
    const double kept_share = distinct ? 1.0 / 16 : 14.0 / 16;
    const auto wanted = static_cast<int64_t>(static_cast<double>(count - written) / kept_share) + 16;
    std::vector<Candidate> batch(static_cast<size_t>(std::min(kCandidatesABatch, wanted)));
#pragma omp parallel for num_threads(request.num_threads) schedule(dynamic, 16)
    for (size_t i = 0; i < batch.size(); ++i) {
      batch[i] = MakeCandidate(task, request, static_cast<uint64_t>(next) + i);
    }
    next += static_cast<int64_t>(batch.size());
    for (Candidate& candidate : batch) {
      if (written == count) break;
      if (!candidate.in_split || (distinct && !seen.insert(candidate.hash).second)) {
        if (++barren > kMaxBarrenCandidates) {
          throw Errorf("--knob", "{} has only {} distinct {} problems with these knobs, {} were asked for",
                       task.name(), written, SplitName(request.split), count);
        }
        continue;
      }
      barren = 0;
      candidate.generated.id =
          fmt::format("{}-{}-{}-{}", task.name(), SplitName(request.split), request.seed, written++);
      sink(candidate.generated);
    }
  }
}

}  // namespace fourstep
