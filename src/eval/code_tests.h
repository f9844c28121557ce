// The tests that a program must pass, as livecodebench has them.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace fourstep {

struct CodeTest {
  std::string input, output;
};

struct CodeTests {
  std::string function;  // the one that is called; empty: the program reads standard input
  std::vector<CodeTest> tests;
};

// Reads {"function": name or null, "tests": [{"input", "output"}, ...], "packed": text}, where one of the
// last two may be missing; packed tests are the same array as JSON, or that in a pickle in zlib in base64, as
// the hidden tests of livecodebench are. Throws Error (naming `where`) where it cannot be read, or unpacks to
// more than 256 MiB.
CodeTests ParseCodeTests(std::string_view text, const std::string& where);

// Whether a program's output is the wanted one: the same lines but for blanks at their ends, or lines of the
// same decimal numbers however they are written.
bool SameOutput(std::string_view wanted, std::string_view given);

}  // namespace fourstep
