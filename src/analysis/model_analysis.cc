#include "analysis/model_analysis.h"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <utility>

#include "base/check.h"
#include "base/error.h"
#include "eval/entropy_calibration.h"
#include "eval/study.h"
#include "runtime/prompt_encoder.h"

namespace fourstep {
namespace {

using Report = std::function<void(const std::string&, int64_t, int64_t)>;

constexpr const char* kReference = "reference";
constexpr const char* kQuantised = "quantised";
constexpr const char* kReset = "reset";

ResolvedArm FixedArm(const std::string& name, const EngineOptions& engine, const AnalysisOptions& options) {
  ArmSetting setting{.name = name};
  setting.sampling.policy = "fixed";
  setting.sampling.temperature = options.temperature;
  setting.sampling.top_p = options.top_p;
  return ResolveArms({setting}, engine).at(0);
}

ResolvedArm ResetArm(const AnalysisOptions& options, const ArmAnswers& quantised) {
  ArmSetting setting{.name = kReset};
  if (options.reset) {
    setting.sampling = *options.reset;
  } else if (!KnowsReset(options.quantised.model)) {
    constexpr double kPublishedPercentile = 80;
    setting.sampling.t_low = 0.3;
    setting.sampling.t_high = 1;
    const std::vector<float> entropies(quantised.token_entropies.begin(), quantised.token_entropies.end());
    setting.sampling.tau_0 = Percentile(entropies, kPublishedPercentile);
  }
  setting.sampling.policy = "reset";
  if (!setting.sampling.top_p) setting.sampling.top_p = options.top_p;
  return ResolveArms({setting}, options.quantised).at(0);
}

// False where `keep_going` said no.
bool AnswerAll(Study& study, const Report& progress, const std::function<bool()>& keep_going) {
  for (const std::vector<size_t>& family : study.UnfinishedFamilies()) {
    EngineAnswers source(study.arms()[family[0]].engine);
    study.Answer(source, family, [&] {
      progress("answers", study.num_answered(), study.num_wanted());
      return keep_going();
    });
    if (!keep_going()) return false;
  }
  return true;
}

// Turns problems into the tokens that the models see.
class Prompts {
 public:
  explicit Prompts(const EngineOptions& options)
      : encoder_(options.model, options.chat_template,
                 static_cast<int32_t>(Checkpoint::Open(options.model).config().vocab_size)) {}
  std::vector<int32_t> Of(const StudyProblem& problem) const {
    Request request;
    request.messages = {{.role = "user", .content = problem.text, .reasoning = {}}};
    return encoder_.Encode(request).tokens;
  }
  const Tokenizer& tokenizer() const { return encoder_.tokenizer(); }

 private:
  PromptEncoder encoder_;
};

void CheckSameTokens(const Tokenizer& a, const Tokenizer& b) {
  bool is_same = a.vocab_size() == b.vocab_size();
  for (int32_t id = 0; is_same && id < a.vocab_size(); ++id) is_same = a.TokenBytes(id) == b.TokenBytes(id);
  if (!is_same) throw Error("analyze", "the two models do not have the same tokens");
}

// A trace from a file that was changed by others must not reach a model.
void CheckTrace(const TokenTrace& trace, const Tokenizer& tokenizer, const std::string& path) {
  const auto is_token = [&](int32_t id) { return id >= 0 && id < tokenizer.vocab_size(); };
  const auto is_finite = [](float value) { return std::isfinite(value); };
  if (!std::all_of(trace.tokens.begin(), trace.tokens.end(), is_token) ||
      !std::all_of(trace.entropies.begin(), trace.entropies.end(), is_finite)) {
    throw Error(Printable(path, 300), "a trace is damaged");
  }
}

// The answers of `arm`, of the problems that `study` is about, in the order of problem and sample.
ArmAnswers AnswersOf(StudyStore& store, const AnalysisOptions& options, const Prompts& prompts,
                     const std::string& arm) {
  const std::vector<StudyArm> arms = store.Arms();
  const std::vector<StudyProblem> problems = store.Problems();
  std::set<std::string> wanted;
  for (const StudyProblem& problem : options.problems) wanted.insert(problem.id);
  ArmAnswers result{.name = arm};
  store.ForEachAnswer(/*with_responses=*/false, [&](const StoredAnswer& stored) {
    const auto arm_index = static_cast<size_t>(stored.key.arm - 1),
               problem = static_cast<size_t>(stored.key.problem - 1);
    if (arm_index >= arms.size() || problem >= problems.size() || arms[arm_index].name != arm ||
        stored.key.sample != 0 || !wanted.contains(problems[problem].id)) {
      return;
    }
    std::optional<TokenTrace> trace = store.Trace(stored.key);
    if (!trace) throw Error(Printable(store.path(), 300), "lacks the entropies of an answer");
    CheckTrace(*trace, prompts.tokenizer(), store.path());
    result.answers.push_back({.problem = problems[problem].id,
                              .sample = stored.key.sample,
                              .is_right = stored.verdict.correct.value_or(false),
                              .prompt = prompts.Of(problems[problem]),
                              .tokens = std::move(trace->tokens),
                              .entropies = std::move(trace->entropies),
                              .temperatures = std::move(trace->temperatures)});
  });
  for (const TracedAnswer& answer : result.answers) {
    result.token_entropies.insert(result.token_entropies.end(), answer.entropies.begin(),
                                  answer.entropies.end());
    const std::vector<double> steps =
        StepEntropies(StepsOf(prompts.tokenizer(), answer.tokens), answer.entropies);
    result.step_entropies.insert(result.step_entropies.end(), steps.begin(), steps.end());
  }
  std::sort(result.token_entropies.begin(), result.token_entropies.end());
  std::sort(result.step_entropies.begin(), result.step_entropies.end());
  result.repeated_steps = RepeatedSteps(prompts.tokenizer(), result.answers);
  return result;
}

void ReadByBoth(const AnalysisOptions& options, const Tokenizer& tokenizer, const Report& progress,
                ModelAnalysis& analysis) {
  std::vector<AnswerText> texts;
  std::vector<int32_t> steps;
  size_t longest = 1;
  for (const TracedAnswer& answer : analysis.reference.answers) {
    texts.push_back({answer.prompt, answer.tokens});
    const std::vector<int32_t> of_answer = StepsOf(tokenizer, answer.tokens);
    steps.insert(steps.end(), of_answer.begin(), of_answer.end());
    longest = std::max(longest, answer.prompt.size() + answer.tokens.size());
  }
  ForcedReader reference(options.reference, static_cast<int32_t>(longest));
  ForcedReader quantised(options.quantised, static_cast<int32_t>(longest));
  if (reference.vocab_size() != quantised.vocab_size()) {
    throw Error("analyze", "the two models do not have vocabularies of one size");
  }
  const std::vector<TokenComparison> tokens =
      CompareOnTexts(reference, quantised, tokenizer, texts, [&](size_t done) {
        progress("answers read by both", static_cast<int64_t>(done), static_cast<int64_t>(texts.size()));
      });
  analysis.all = OfAll(tokens);
  analysis.by_decile = ByEntropyDecile(tokens);
  analysis.by_kind = ByTokenKind(tokens);
  analysis.by_certainty = ByStepCertainty(tokens, steps);
}

}  // namespace

std::optional<ModelAnalysis> AnalyzeModels(StudyStore& store, const AnalysisOptions& options,
                                           const Report& progress, const std::function<bool()>& keep_going) {
  const Prompts prompts(options.reference);
  CheckSameTokens(prompts.tokenizer(), Prompts(options.quantised).tokenizer());
  StudyPlan plan{.problems = options.problems,
                 .max_tokens = options.max_tokens,
                 .seed = options.seed,
                 .keep_traces = true};
  std::vector<ResolvedArm> arms = {FixedArm(kReference, options.reference, options),
                                   FixedArm(kQuantised, options.quantised, options)};
  Study fixed(store, plan, arms);
  if (!AnswerAll(fixed, progress, keep_going)) return std::nullopt;
  ModelAnalysis analysis;
  analysis.quantised = AnswersOf(store, options, prompts, kQuantised);
  arms.push_back(ResetArm(options, analysis.quantised));
  Study all(store, std::move(plan), std::move(arms));
  if (!AnswerAll(all, progress, keep_going)) return std::nullopt;

  analysis.study = MakeStudyReport(store);
  analysis.reference = AnswersOf(store, options, prompts, kReference);
  analysis.reset = AnswersOf(store, options, prompts, kReset);
  constexpr int32_t kPublishedWindow = 32;
  analysis.estimators = EstimatorErrors(prompts.tokenizer(), analysis.quantised.answers, kPublishedWindow);
  analysis.changes = ChangesOf(prompts.tokenizer(), analysis.quantised.answers, analysis.reset.answers);
  ReadByBoth(options, prompts.tokenizer(), progress, analysis);
  return analysis;
}

}  // namespace fourstep
