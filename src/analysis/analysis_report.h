// What an analysis says: for people, for programs, as charts.
#pragma once

#include <string>
#include <vector>

#include "analysis/chart.h"
#include "analysis/model_analysis.h"
#include "base/json.h"

namespace fourstep {

std::string AnalysisText(const ModelAnalysis& analysis);
Json AnalysisJson(const ModelAnalysis& analysis);
std::vector<Chart> AnalysisCharts(const ModelAnalysis& analysis);

}  // namespace fourstep
