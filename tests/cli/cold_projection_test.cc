// Kernels that compute something wrong are not timed.
#include "cli/cold_projection.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <memory>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "backend/forwarding_backend.h"
#include "model/published_shapes.h"
#include "model/random_decoder.h"
#include "runtime/backends.h"

namespace fourstep::cli {
namespace {

enum class Fault {
  kNone,
  kSums,     // products are off by a third
  kBatch,    // the first row depends on how many there are, in the last bit
  kCopy,     // the last copy has other weights
  kEncoded,  // 4-bit rows are off in the last bit
};

// A backend with a fault.
class FaultyBackend final : public ForwardingBackend {
 public:
  explicit FaultyBackend(Fault fault)
      : ForwardingBackend(MakeBackend({.name = "cpu", .cpu_path = "", .num_threads = 1, .max_rows = 4})),
        fault_(fault) {}

  static constexpr int32_t kNumCopies = 3;
  std::vector<int> uses_of_steps;  // residual linears of each

  LinearId AddLinear(std::span<const LinearWeight> weights, Numerics numerics) override {
    std::vector<LinearWeight> own(weights.begin(), weights.end());
    const bool is_wrong =
        fault_ == Fault::kSums || (fault_ == Fault::kCopy && num_linears_ == kNumCopies - 1);
    for (LinearWeight& w : own) w.global_scale *= is_wrong ? 1.3f : 1.0f;
    ++num_linears_;
    return ForwardingBackend::AddLinear(own, numerics);
  }
  void BeginStep(const Batch& batch) override {
    num_rows_ = batch.num_rows();
    uses_of_steps.push_back(0);
    ForwardingBackend::BeginStep(batch);
  }
  void LinearResidual(ActivationId residual, ActivationId x, LinearId linear) override {
    ++uses_of_steps.back();
    ForwardingBackend::LinearResidual(residual, x, linear);
  }
  void GatedLinear(ActivationId out, ActivationId x, LinearId gate_up, LinearId consumer) override {
    encoded_ = consumer.id >= 0 ? out.id : -1;
    ForwardingBackend::GatedLinear(out, x, gate_up, consumer);
  }
  std::vector<float> ReadLogits() override { return Nudged(ForwardingBackend::ReadLogits(), false); }
  std::vector<float> ReadActivation(ActivationId x) override {
    return Nudged(ForwardingBackend::ReadActivation(x), x.id == encoded_);
  }

 private:
  std::vector<float> Nudged(std::vector<float> values, bool is_encoded) const {
    const bool is_wrong =
        (fault_ == Fault::kBatch && num_rows_ > 1) || (fault_ == Fault::kEncoded && is_encoded);
    if (is_wrong) values[5] = std::nextafter(std::nextafter(std::nextafter(values[5], 9.0f), 9.0f), 9.0f);
    return values;
  }

  const Fault fault_;
  int32_t num_linears_ = 0, num_rows_ = 0, encoded_ = -1;
};

// What is said of every projection: "" where all is right.
std::vector<std::pair<std::string, std::string>> FaultsFound(Fault fault) {
  HfConfig shape = PublishedShape("abacus");
  shape.num_layers = 1;
  const RandomDecoderWeights weights(shape, Numerics::kW4A4, WeightFormat::kNvFp4);
  std::vector<std::pair<std::string, std::string>> found;
  for (const Projection& p : ProjectionsOf(weights.view(), Numerics::kW4A4)) {
    FaultyBackend backend(fault);
    std::string said;
    try {
      ColdProjection cold(backend, p, FaultyBackend::kNumCopies);
      cold.Check(3);
    } catch (const std::runtime_error& error) {
      said = error.what();
    }
    found.emplace_back(p.name, said);
  }
  return found;
}

TEST(ColdProjection, FindsNoFaultWhereThereIsNone) {
  for (const auto& [name, said] : FaultsFound(Fault::kNone)) EXPECT_EQ(said, "") << name;
}

TEST(ColdProjection, FindsFaultsOfEveryProjection) {
  for (const auto& [fault, fragment] : {std::pair{Fault::kSums, ", expected "},
                                        {Fault::kBatch, "differ between batch 1 and 3"},
                                        {Fault::kCopy, "differ from"}}) {
    for (const auto& [name, said] : FaultsFound(fault)) {
      EXPECT_THAT(said, testing::StartsWith(name + ": "));
      EXPECT_THAT(said, testing::HasSubstr(fragment)) << name;
    }
  }
}

TEST(ColdProjection, FindsGatedRowsThatAreEncodedWrongly) {
  for (const auto& [name, said] : FaultsFound(Fault::kEncoded)) {
    if (name == "gate|up") {
      EXPECT_THAT(said, testing::HasSubstr("is encoded as"));
    } else {
      EXPECT_EQ(said, "") << name;
    }
  }
}

TEST(ColdProjection, TimesStepsOfAllCopiesOnceAndTwice) {
  HfConfig shape = PublishedShape("abacus");
  shape.num_layers = 1;
  const RandomDecoderWeights weights(shape, Numerics::kBf16, WeightFormat::kBf16);
  const Projection down = ProjectionsOf(weights.view(), Numerics::kBf16)[3];
  FaultyBackend backend(Fault::kNone);
  ColdProjection cold(backend, down, FaultyBackend::kNumCopies);
  backend.uses_of_steps.clear();
  (void)cold.TimeUs(2, 3);
  const std::vector<int>& uses = backend.uses_of_steps;
  const auto once = std::count(uses.begin(), uses.end(), FaultyBackend::kNumCopies),
             twice = std::count(uses.begin(), uses.end(), 2 * FaultyBackend::kNumCopies);
  EXPECT_EQ(once + twice, static_cast<int64_t>(uses.size()));
  EXPECT_EQ(once, twice + 1);  // one more to find how many steps a measurement takes
}

}  // namespace
}  // namespace fourstep::cli
