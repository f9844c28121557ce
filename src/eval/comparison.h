// Paired comparison of arms: the same problems answered by different models, numerics or policies, one answer
// a problem each.
#pragma once

#include <cstdint>
#include <istream>
#include <span>
#include <string>
#include <vector>

#include "base/json.h"
#include "eval/statistics.h"

namespace fourstep {

struct GradedAnswer {
  std::string id;    // of the problem, as JSON
  std::string task;  // may be empty
  bool is_correct;   // a reply without an answer is wrong
};

struct Arm {
  std::string name;
  std::vector<GradedAnswer> answers;
};

// Reads the lines of `fourstep tasks grade`. Throws Error (naming `where` and the line) for anything else, an
// id that stands twice, or no line at all.
Arm ReadArm(const std::string& name, std::istream& lines, const std::string& where);

struct TaskAccuracies {
  std::string task;
  int64_t num_problems = 0;
  std::vector<Estimate> accuracies;  // [arms], Wilson's interval
};

struct PairedArms {
  size_t arm = 0, baseline = 0;             // indices of arms, baseline < arm
  Estimate difference;                      // accuracy of arm minus that of baseline
  int64_t only_arm = 0, only_baseline = 0;  // problems that one of the two alone got right
  double p_value = 1, p_value_holm = 1;     // exact McNemar; adjusted for all pairs
};

struct Comparison {
  std::vector<std::string> arms;
  std::vector<TaskAccuracies> tasks;  // in the order in which the first arm has them
  TaskAccuracies all;
  std::vector<PairedArms> pairs;  // all pairs, over all tasks
};

// Throws Error where there are fewer than two arms, two of one name, or arms with different problems.
Comparison CompareArms(std::span<const Arm> arms);

Json ComparisonJson(const Comparison& comparison);

// For people, a few lines; accuracies in percent, differences in points.
std::string ComparisonText(const Comparison& comparison);

}  // namespace fourstep
