#include "eval/answer_votes.h"

#include <algorithm>
#include <map>

#include "base/check.h"
#include "eval/answer.h"

namespace fourstep {
namespace {

double ShareWonByRight(std::span<const Verdict> voters) {
  int64_t right = 0, best_wrong = 0;
  std::map<std::string_view, int64_t> wrong;
  for (const Verdict& voter : voters) {
    if (!voter.correct) continue;
    if (*voter.correct) {
      ++right;
    } else {
      best_wrong = std::max(best_wrong, ++wrong[TrimBlanks(voter.extracted)]);
    }
  }
  if (right == 0 || right < best_wrong) return 0;
  if (right > best_wrong) return 1;
  const auto num_tied =
      std::count_if(wrong.begin(), wrong.end(), [&](const auto& group) { return group.second == right; });
  return 1.0 / static_cast<double>(num_tied + 1);
}

}  // namespace

double PassAtK(int64_t samples, int64_t right, int64_t k) {
  FOURSTEP_CHECK(k >= 1 && k <= samples && right >= 0 && right <= samples, "{} of {}, k {}", right, samples,
                 k);
  double all_wrong = 1;
  for (int64_t i = 0; i < k; ++i) {
    const int64_t wrong_left = samples - right - i;
    if (wrong_left <= 0) return 1;
    all_wrong *= static_cast<double>(wrong_left) / static_cast<double>(samples - i);
  }
  return 1 - all_wrong;
}

double MajorityAtK(std::span<const Verdict> verdicts, int64_t k) {
  const auto size = static_cast<size_t>(k);
  FOURSTEP_CHECK(k >= 1 && size <= verdicts.size(), "k {} of {}", k, verdicts.size());
  const size_t num_votes = verdicts.size() / size;
  double sum = 0;
  for (size_t vote = 0; vote < num_votes; ++vote) sum += ShareWonByRight(verdicts.subspan(vote * size, size));
  return sum / static_cast<double>(num_votes);
}

std::vector<int64_t> VoteSizes(int64_t samples) {
  std::vector<int64_t> sizes;
  for (int64_t k = 1; k < samples; k *= 2) sizes.push_back(k);
  sizes.push_back(samples);
  return sizes;
}

}  // namespace fourstep
