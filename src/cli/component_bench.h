// `fourstep bench components`: what each kind of operation takes of a step, on random weights of a published
// shape.
#pragma once

#include <string>

#include "cli/shape_decoder.h"

namespace fourstep::cli {

struct ComponentBenchOptions {
  ShapeOptions shape;
  bool json = false;
  std::string csv_path;
};

// Throws Error for bad options.
void RunComponentBench(const ComponentBenchOptions& options);

}  // namespace fourstep::cli
