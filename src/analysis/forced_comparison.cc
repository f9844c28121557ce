#include "analysis/forced_comparison.h"

#include <algorithm>

#include "base/check.h"

namespace fourstep {
namespace {

TokenComparison CompareRows(std::span<const float> p_logits, std::span<const float> q_logits) {
  const DistributionFacts p = FactsOf(p_logits), q = FactsOf(q_logits);
  TokenComparison result;
  result.is_flip = p.best != q.best;
  result.kl = KlDivergence(p_logits, p, q_logits, q);
  result.reference_entropy = p.entropy;
  result.quantised_entropy = q.entropy;
  result.reference_best_mass = p.best_mass;
  result.quantised_best_mass = q.best_mass;
  for (size_t t = 0; t < kMassTemperatures.size(); ++t) {
    result.reference_beside[t] = MassBeside(p_logits, p.best, kMassTemperatures[t]);
    result.quantised_beside[t] = MassBeside(q_logits, p.best, kMassTemperatures[t]);
  }
  return result;
}

}  // namespace

std::vector<TokenComparison> CompareOnTexts(ForcedReader& reference, ForcedReader& quantised,
                                            const Tokenizer& tokenizer, std::span<const AnswerText> texts,
                                            const std::function<void(size_t)>& progress) {
  const auto vocab = static_cast<size_t>(reference.vocab_size());
  FOURSTEP_CHECK(reference.vocab_size() == quantised.vocab_size());
  std::vector<TokenComparison> comparisons;
  for (size_t text = 0; text < texts.size(); ++text) {
    const AnswerText& read = texts[text];
    FOURSTEP_CHECK(!read.prompt.empty());
    const std::vector<TokenKind> kinds = TokenKinds(tokenizer, read.prompt, read.answer);
    // What stands after the last token is not asked for.
    std::vector<int32_t> tokens = read.prompt;
    if (!read.answer.empty()) tokens.insert(tokens.end(), read.answer.begin(), read.answer.end() - 1);
    const auto first = static_cast<int32_t>(read.prompt.size()) - 1;  // the row of the answer's first token
    const auto end = static_cast<int32_t>(read.answer.empty() ? 0 : tokens.size());
    for (int32_t begin = 0; begin < end; begin += ForcedReader::kChunkTokens) {
      const int32_t count = std::min(ForcedReader::kChunkTokens, end - begin);
      const int32_t first_row = std::clamp(first - begin, 0, count);
      const auto chunk = std::span(tokens).subspan(static_cast<size_t>(begin), static_cast<size_t>(count));
      const std::vector<float> p = reference.Read(chunk, begin, first_row),
                               q = quantised.Read(chunk, begin, first_row);
      for (int32_t row = first_row; row < count; ++row) {
        const size_t at = static_cast<size_t>(row - first_row) * vocab;
        TokenComparison result =
            CompareRows(std::span(p).subspan(at, vocab), std::span(q).subspan(at, vocab));
        result.text = static_cast<int32_t>(text);
        result.position = begin + row - first;
        result.kind = kinds[static_cast<size_t>(result.position)];
        comparisons.push_back(result);
      }
    }
    progress(text + 1);
  }
  return comparisons;
}

}  // namespace fourstep
