// Whether a Python program passes its tests, each run in a sandbox of its own.
#pragma once

#include <string_view>

#include "eval/code_tests.h"

namespace fourstep {

// Stops at the first test that fails; what a program should answer never enters its sandbox. A test has 6
// seconds of processor time, 20 of any, and 2 GiB. Throws std::runtime_error where the sandbox fails.
bool PassesTests(std::string_view program, const CodeTests& tests);

// Throws Error where programs cannot be run on this machine.
void CheckCodeGrader();

}  // namespace fourstep
