// The sizes of published models, and of the one that ships with the program.
#pragma once

#include <string>
#include <vector>

#include "checkpoint/hf_config.h"

namespace fourstep {

// "qwen3-8b", ... as `fourstep bench` takes them with --shape.
std::vector<std::string> PublishedShapeNames();

// Throws Error, naming the choices, for another name.
HfConfig PublishedShape(const std::string& name);

}  // namespace fourstep
