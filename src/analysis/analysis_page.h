// An analysis as one HTML page that needs no other file: tables, charts, and answers whose tokens are tinted
// by the temperature they were drawn at.
#pragma once

#include <filesystem>
#include <string>
#include <string_view>

#include "analysis/analysis_report.h"
#include "checkpoint/tokenizer.h"

namespace fourstep {

// `charts` have been drawn as SVG into `folder`; those that were not are left out.
std::string AnalysisPage(const ModelAnalysis& analysis, const Tokenizer& tokenizer,
                         const std::vector<Chart>& charts, const std::filesystem::path& folder);

// `text` as it may stand in HTML, between tags or in quotes.
std::string HtmlText(std::string_view text);

}  // namespace fourstep
