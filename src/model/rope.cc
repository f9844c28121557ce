#include "model/rope.h"

#include <algorithm>
#include <cmath>
#include <numbers>

#include "base/check.h"

namespace fourstep {
namespace {

// A wave longer than the context that the model was first trained on is interpolated (its frequency divided),
// a short one kept, and between the two there is a ramp.
float Llama3Frequency(const RopeConfig& config, float inv_freq) {
  const auto factor = static_cast<float>(config.factor);
  const auto context = static_cast<float>(config.original_max_positions);
  const float wavelength = static_cast<float>(2 * std::numbers::pi) / inv_freq;
  if (wavelength > static_cast<float>(config.original_max_positions / config.low_freq_factor))
    return inv_freq / factor;
  if (wavelength < static_cast<float>(config.original_max_positions / config.high_freq_factor))
    return inv_freq;
  const float kept = (context / wavelength - static_cast<float>(config.low_freq_factor)) /
                     static_cast<float>(config.high_freq_factor - config.low_freq_factor);
  return (1 - kept) * inv_freq / factor + kept * inv_freq;
}

// Yarn: pairs that turn more than beta_fast times within the context are kept, those that turn less than
// beta_slow times are interpolated, and between the two there is a ramp over the index of the pair.
class YarnRamp {
 public:
  YarnRamp(const RopeConfig& config, int64_t head_dim) {
    const auto dim = static_cast<double>(head_dim);
    const auto pair_that_turns = [&](double times) {
      return dim * std::log(config.original_max_positions / (times * 2 * std::numbers::pi)) /
             (2 * std::log(config.theta));
    };
    low_ = pair_that_turns(config.beta_fast);
    high_ = pair_that_turns(config.beta_slow);
    if (config.truncate) {
      low_ = std::floor(low_);
      high_ = std::ceil(high_);
    }
    low_ = std::max(low_, 0.0);
    high_ = std::min(high_, dim - 1);
    if (low_ == high_) high_ += 0.001;
  }

  float Kept(int64_t pair) const {
    const float ramp =
        (static_cast<float>(pair) - static_cast<float>(low_)) / static_cast<float>(high_ - low_);
    return 1 - std::clamp(ramp, 0.0f, 1.0f);
  }

 private:
  double low_, high_;
};

double Mscale(double factor, double mscale) {
  return factor <= 1 ? 1 : 0.1 * mscale * std::log(factor) + 1;
}

float YarnAttentionFactor(const RopeConfig& config) {
  if (config.attention_factor) return static_cast<float>(*config.attention_factor);
  if (config.mscale && config.mscale_all_dim)
    return static_cast<float>(Mscale(config.factor, *config.mscale) /
                              Mscale(config.factor, *config.mscale_all_dim));
  return static_cast<float>(Mscale(config.factor, 1));
}

}  // namespace

RopeTable MakeRopeTable(const RopeConfig& config, int64_t head_dim) {
  FOURSTEP_CHECK(head_dim >= 2 && head_dim % 2 == 0, "head_dim {}", head_dim);
  RopeTable table;
  const auto factor = static_cast<float>(config.factor);
  const YarnRamp yarn(config, head_dim);
  for (int64_t i = 0; i < head_dim / 2; ++i) {
    const float exponent = static_cast<float>(2 * i) / static_cast<float>(head_dim);
    const float wave = std::pow(static_cast<float>(config.theta), exponent), inv_freq = 1 / wave;
    switch (config.type) {
      case RopeType::kDefault:
        table.inv_freq.push_back(inv_freq);
        break;
      case RopeType::kLinear:
        table.inv_freq.push_back(inv_freq / factor);
        break;
      case RopeType::kLlama3:
        table.inv_freq.push_back(Llama3Frequency(config, inv_freq));
        break;
      case RopeType::kYarn: {
        const float kept = yarn.Kept(i);
        table.inv_freq.push_back(1 / (factor * wave) * (1 - kept) + inv_freq * kept);
        break;
      }
    }
  }
  if (config.type == RopeType::kYarn) table.attention_factor = YarnAttentionFactor(config);
  return table;
}

}  // namespace fourstep
