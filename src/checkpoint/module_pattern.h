// Names of modules as quantisation configurations list them: a name, a wildcard ("model.layers.0*",
// ModelOpt), or "re:" and a regular expression (compressed-tensors).
#pragma once

#include <memory>
#include <string>
#include <string_view>

namespace fourstep {

class ModulePattern {
 public:
  // With `allow_regex`, "re:..." is a regular expression that must match from the start of the name, not to
  // its end, as Python's re.match. Throws Error naming `where` for one that does not compile or is too long.
  ModulePattern(std::string text, bool allow_regex, const std::string& where);

  // Throws Error for a regular expression that needs too many steps on this name.
  bool Matches(std::string_view module) const;

  const std::string& text() const { return text_; }

 private:
  std::string text_, where_;
  std::shared_ptr<void> regex_;  // pcre2_code; null: a name or wildcard
};

}  // namespace fourstep
