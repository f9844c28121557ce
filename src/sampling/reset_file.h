// reset.json beside a checkpoint: the parameters of ReSET for that model, and how they were chosen.
//
//   {"format": "fourstep-reset-1", "t_low": 0.1, "t_high": 1.0, "tau_0": 0.5505, "window": 32, "percentile":
//   80,
//    "tau_0_from": "entropies of 5 calibration problems at T 0.6", "temperatures_from": "..."}
#pragma once

#include <filesystem>
#include <string>

#include "backend/token_record.h"
#include "base/json.h"

namespace fourstep {

struct ResetFile {
  double t_low = 0.3, t_high = 1.0;
  double tau_0 = 0.55;                 // nats
  int32_t window = 32;                 // tokens
  double percentile = 80;              // of the token entropies, tau_0 is; 0..100
  std::string tau_0_from = "";         // for people: which entropies
  std::string temperatures_from = "";  // for people: on which problems t_low and t_high were chosen
  Json choice = nullptr;  // for programs: contestants, sizes and intervals of that choice, an object or null

  PolicyParams policy() const;  // of kind kReset
};

// Throws Error naming the file and field: not JSON, a missing, unknown or out-of-range field, over 64 KiB.
ResetFile ReadResetFile(const std::filesystem::path& path);

// Replaces the file atomically. Throws Error where it cannot be written or a value is out of range.
void WriteResetFile(const std::filesystem::path& path, const ResetFile& file);

}  // namespace fourstep
