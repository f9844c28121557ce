// Help as it fits a terminal of 100 columns.
#pragma once

#include <CLI/CLI.hpp>
#include <string>

namespace fourstep::cli {

class HelpFormatter : public CLI::Formatter {
 public:
  HelpFormatter();
  std::string make_option_desc(const CLI::Option* option) const override;
};

}  // namespace fourstep::cli
