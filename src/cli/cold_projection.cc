#include "cli/cold_projection.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <numeric>
#include <stdexcept>
#include <string>

#include "cli/projection_check.h"
#include "formats/bfloat16.h"

namespace fourstep::cli {
namespace {

constexpr float kEpsilon = 1e-6f;
// A backend may record a step, capture it the second time and replay it from the third on.
constexpr int kWarmSteps = 3;

}  // namespace

ColdProjection::ColdProjection(Backend& backend, const Projection& projection, int32_t num_copies)
    : b_(backend), p_(projection) {
  for (int32_t i = 0; i < num_copies; ++i) copies_.push_back(b_.AddLinear(p_.weights, p_.numerics));
  if (!p_.consumer.empty()) consumer_ = b_.AddLinear(p_.consumer, p_.numerics);
  PhiloxStream random(17);
  const auto k = static_cast<int32_t>(p_.inputs()), n = static_cast<int32_t>(p_.outputs());
  input_table_ = AddRandomTable(k, random);
  norm_ = b_.AddVector(std::vector<float>(static_cast<size_t>(k), 1.0f));
  x_ = b_.AddActivation(k);
  input_ = b_.AddActivation(k);
  if (p_.use == LinearUse::kResidual) residual_table_ = AddRandomTable(n, random);
  if (p_.use != LinearUse::kHead) out_ = b_.AddActivation(p_.use == LinearUse::kGated ? n / 2 : n);
  SetBatch(1);
  alone_ = Run(1, true);
  if (RunOneCopy(copies_.back(), false) != alone_.one)
    throw std::runtime_error(p_.name + ": the last copy's outputs differ from the first one's");
}

// A row a token, uniform with a variance of 1.
EmbeddingId ColdProjection::AddRandomTable(int64_t width, PhiloxStream& random) {
  std::vector<uint16_t> values(static_cast<size_t>(b_.max_rows() * width));
  for (uint16_t& value : values)
    value = BFloat16::Encode(static_cast<float>((random.Uniform() - 0.5) * std::sqrt(12.0))).bits;
  LinearWeight table;
  table.name = "random rows";
  table.n = b_.max_rows();
  table.k = width;
  table.values = std::as_bytes(std::span(values));
  return b_.AddEmbedding(table);
}

void ColdProjection::SetBatch(int32_t batch) {
  rows_.resize(static_cast<size_t>(batch));
  std::iota(rows_.begin(), rows_.end(), 0);
  positions_.assign(rows_.size(), 0);
  batch_ = {.tokens = rows_, .positions = positions_, .slots = rows_, .draw_rows = rows_, .block_tables = {}};
}

void ColdProjection::IssueInput() {
  b_.Embed(x_, input_table_);
  if (p_.use == LinearUse::kResidual) b_.Embed(out_, residual_table_);
  if (p_.use != LinearUse::kHead) b_.Norm(input_, x_, norm_, kEpsilon, copies_[0]);
}

void ColdProjection::IssueUse(LinearId copy, LinearId consumer) {
  switch (p_.use) {
    case LinearUse::kPlain:
      return b_.Linear(out_, input_, copy);
    case LinearUse::kResidual:
      return b_.LinearResidual(out_, input_, copy);
    case LinearUse::kGated:
      return b_.GatedLinear(out_, input_, copy, consumer);
    case LinearUse::kHead:
      return b_.Head(x_, norm_, kEpsilon, copy);
  }
}

void ColdProjection::RunStep(int32_t passes) {
  b_.BeginStep(batch_);
  IssueInput();
  for (int32_t pass = 0; pass < passes; ++pass) {
    for (const LinearId copy : copies_) IssueUse(copy, consumer_);
  }
  b_.EndStep();
}

double ColdProjection::TimeSteps(int32_t passes, int32_t steps) {
  const auto started = Clock::now();
  for (int32_t step = 0; step < steps; ++step) RunStep(passes);
  (void)b_.ReadRecords(true);  // waits
  return MicrosecondsSince(started);
}

std::vector<float> ColdProjection::FirstRow(std::vector<float> rows) const {
  rows.resize(rows.size() / rows_.size());
  return rows;
}

// After a step.
std::vector<float> ColdProjection::ReadOutput() {
  return FirstRow(p_.use == LinearUse::kHead ? b_.ReadLogits() : b_.ReadActivation(out_));
}

// The first row of a step of one copy, looked into as it goes; `checks`: against double precision too. Gated
// outputs are checked plain, and as their consumer reads them.
std::vector<float> ColdProjection::RunOneCopy(LinearId copy, bool checks) {
  const bool is_head = p_.use == LinearUse::kHead;
  std::vector<float> residual, output;
  b_.BeginStep(batch_);
  IssueInput();
  if (is_head) b_.Norm(input_, x_, norm_, kEpsilon, copies_[0]);  // to see what the head's own norm gives
  const std::vector<float> input = FirstRow(b_.ReadActivation(input_));
  if (p_.use == LinearUse::kResidual) residual = FirstRow(b_.ReadActivation(out_));
  IssueUse(copy, {});
  if (!is_head) output = FirstRow(b_.ReadActivation(out_));
  std::vector<float> encoded;
  if (p_.use == LinearUse::kGated) {
    IssueUse(copy, consumer_);
    encoded = FirstRow(b_.ReadActivation(out_));
  }
  b_.EndStep();
  if (is_head) output = ReadOutput();
  if (checks) {
    CheckProjectionRow(p_, {input, residual, output}, p_.name);
    if (p_.use == LinearUse::kGated && p_.numerics == Numerics::kW4A4)
      CheckEncodedRow(output, encoded, p_.consumer.front().input_scale.value(), p_.name);
  }
  return encoded.empty() ? output : encoded;
}

ColdProjection::Outputs ColdProjection::Run(int32_t batch, bool checks) {
  SetBatch(batch);
  Outputs outputs{.one = RunOneCopy(copies_[0], checks), .all = {}};
  for (int i = 0; i < kWarmSteps; ++i) RunStep(1);
  outputs.all = ReadOutput();
  // All copies have the same weights, so what the last one left is the first one's; residuals have grown.
  if (p_.use != LinearUse::kResidual && outputs.all != outputs.one)
    throw std::runtime_error(fmt::format(
        "{}: the outputs of a step of all copies differ from those of one at batch {}", p_.name, batch));
  return outputs;
}

void ColdProjection::Check(int32_t batch) {
  const Outputs outputs = Run(batch, false);
  if (outputs.one != alone_.one || outputs.all != alone_.all)
    throw std::runtime_error(
        fmt::format("{}: the first row's outputs differ between batch 1 and {}", p_.name, batch));
}

Spread ColdProjection::TimeUs(int32_t batch, int32_t repeats) {
  constexpr double kRepeatUs = 20'000, kMaxSteps = 200;
  SetBatch(batch);
  for (int i = 0; i < kWarmSteps; ++i) {
    RunStep(1);
    RunStep(2);
  }
  (void)b_.ReadRecords(true);
  const auto steps = static_cast<int32_t>(std::clamp(kRepeatUs / TimeSteps(1, 1), 1.0, kMaxSteps));
  std::vector<double> us;
  for (int32_t repeat = 0; repeat < repeats; ++repeat) {
    const double once = TimeSteps(1, steps), twice = TimeSteps(2, steps);
    us.push_back((twice - once) / (static_cast<double>(steps) * static_cast<double>(copies_.size())));
  }
  return SpreadOf(us);
}

}  // namespace fourstep::cli
