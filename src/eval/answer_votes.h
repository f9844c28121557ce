// What several answers to one problem are worth together: the chance that one of k is right, and the vote of
// k.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "eval/task.h"

namespace fourstep {

// The chance that at least one of k answers, drawn without putting back from `samples` of which `right` are
// right, is right: an estimate without bias (Chen et al., 2021). 1 <= k <= samples.
double PassAtK(int64_t samples, int64_t right, int64_t k);

// The share of votes of k answers that a right answer wins, over as many votes as the answers allow without
// using one twice. Answers vote for what was extracted; right ones agree, however they are spelt; those
// without an answer do not vote; where answers tie, each wins its share. 1 <= k <= verdicts.size().
double MajorityAtK(std::span<const Verdict> verdicts /*[samples]*/, int64_t k);

// 1, 2, 4, ... and `samples` itself.
std::vector<int64_t> VoteSizes(int64_t samples);

}  // namespace fourstep
