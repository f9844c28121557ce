#include "cli/help_formatter.h"

#include <sstream>

namespace fourstep::cli {
namespace {

constexpr size_t kNameColumns = 30, kTextColumns = 70;

}  // namespace

HelpFormatter::HelpFormatter() {
  column_width(kNameColumns);
}

// The formatter indents further lines to the column of the text.
std::string HelpFormatter::make_option_desc(const CLI::Option* option) const {
  std::istringstream words(CLI::Formatter::make_option_desc(option));
  std::string text, word;
  size_t columns = 0;
  while (words >> word) {
    const bool fits = columns + 1 + word.size() <= kTextColumns;
    if (!text.empty()) text += fits ? ' ' : '\n';
    columns = (fits && !text.empty() ? columns + 1 : 0) + word.size();
    text += word;
  }
  return text;
}

}  // namespace fourstep::cli
