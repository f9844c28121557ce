// The files of a checkpoint folder beside its weights and config.json.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

namespace fourstep {

// Which of them belong to the quantised checkpoint too, by name, sorted.
struct SideFiles {
  std::vector<std::string> copied;    // tokenizer, chat template, generation settings, licence, ...
  std::vector<std::string> left_out;  // reset.json, weights in other formats
};

// Files only, links followed; subfolders and hidden files are in neither list. Throws Error for a link that
// leads nowhere: a tokenizer must not go missing unsaid.
SideFiles FindSideFiles(const std::filesystem::path& folder);

// Byte for byte. Throws Error where one cannot be read, std::runtime_error where one cannot be written.
void CopyFiles(const std::vector<std::string>& names, const std::filesystem::path& from,
               const std::filesystem::path& to);

}  // namespace fourstep
