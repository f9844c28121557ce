// Linears, gated linears and the head.
#include "backend/linear_stack.h"
#include "base/check.h"
#include "cpu/cpu_impl.h"

namespace fourstep::cpu {
namespace {

// Rows that are multiplied with a group of weights before the next group is read.
constexpr int64_t kRowChunk = 64;

}  // namespace

LinearId CpuBackend::AddLinear(std::span<const LinearWeight> weights, Numerics numerics) {
  CheckStack(weights, numerics);
  const LinearWeight& first = weights.front();
  PreparedLinear prepared;
  prepared.numerics = numerics;
  prepared.k = first.k;
  if (numerics == Numerics::kW4A4) prepared.input_scale = *first.input_scale;
  prepared.pre_quant_scale.assign(first.pre_quant_scale.begin(), first.pre_quant_scale.end());
  if (!prepared.pre_quant_scale.empty())
    prepared.pre_quant_scale.resize(static_cast<size_t>(RoundUp16(first.k)), 0.0f);
  for (const LinearWeight& w : weights) {
    prepared.n += w.n;
    prepared.parts.push_back(PackWeight(w, numerics, threads_));
  }
  linears_.push_back(std::move(prepared));
  return {static_cast<int32_t>(linears_.size()) - 1};
}

void CpuBackend::CheckForm(const PreparedLinear& l, const Rows& x) const {
  FOURSTEP_CHECK(x.width == l.k, "linear reads {} values, rows have {}", l.k, x.width);
  const bool is_written_for_it =
      x.consumer.id < 0 ? !l.reads_special_form() : l.ReadsFormOf(linear(x.consumer));
  FOURSTEP_CHECK(is_written_for_it, "rows are in the form of linear {}", x.consumer.id);
}

void CpuBackend::MultiplyGroup(const PreparedLinear& l, const PackedWeight& w, int64_t group, const Rows& x,
                               int64_t first_row, int64_t num_rows, float* y) const {
  const int64_t num_blocks = x.stride / 16;
  if (l.numerics == Numerics::kW4A4) {
    const EncodedRows encoded{.doubled = x.doubled.data() + first_row * x.stride,
                              .scales = x.scales.data() + first_row * num_blocks,
                              .corrections = x.corrections.data() + first_row * num_blocks};
    kernels_.w4a4(w.group_codes(group), w.group_scales(group), num_blocks, encoded, num_rows, y);
  } else if (l.numerics == Numerics::kW4A16) {
    kernels_.w4a16(w.group_codes(group), w.group_scales(group), w.scale_format, num_blocks, x.row(first_row),
                   x.stride, num_rows, y);
  } else if (w.form == PackedForm::kFp8) {
    kernels_.fp8(w.group_fp8(group), w.padded_k, x.row(first_row), x.stride, num_rows, y);
  } else {
    kernels_.bf16(w.group_dense(group), w.padded_k, x.row(first_row), x.stride, num_rows, y);
  }
}

void CpuBackend::Multiply(const PreparedLinear& l, const Rows& x, int64_t num_rows, bool add, bool round,
                          float* out, int64_t out_stride) {
  CheckForm(l, x);
  int64_t first_output = 0;
  for (const PackedWeight& w : l.parts) {
    float* part_out = out + first_output;
    first_output += w.n;
    const int64_t row_tiles = (num_rows + 3) / 4;
    ForShares(
        w.num_groups, w.num_groups * w.group_bytes() * row_tiles, [&](int64_t first, int64_t last, int) {
          alignas(64) float y[kRowChunk * kLanes], tail[kLanes];
          for (int64_t g = first; g < last; ++g) {
            const float *alpha = w.alpha.data() + g * kLanes, *bias = w.bias.data() + g * kLanes;
            const int64_t valid = std::min<int64_t>(kLanes, w.n - g * kLanes);
            for (int64_t r = 0; r < num_rows; r += kRowChunk) {
              const int64_t chunk = std::min(kRowChunk, num_rows - r);
              MultiplyGroup(l, w, g, x, r, chunk, y);
              float* to = part_out + r * out_stride + g * kLanes;
              if (valid == kLanes) {
                kernels_.finish(y, chunk, alpha, bias, add ? to : nullptr, out_stride, round, to, out_stride);
                continue;
              }
              // The lanes beyond belong to the next part, or to nobody.
              for (int64_t i = 0; i < chunk; ++i, to += out_stride) {
                std::fill(tail, tail + kLanes, 0.0f);
                std::copy(to, to + valid, tail);
                kernels_.finish(y + i * kLanes, 1, alpha, bias, add ? tail : nullptr, kLanes, round, tail,
                                kLanes);
                std::copy(tail, tail + valid, to);
              }
            }
          }
        });
  }
}

void CpuBackend::Linear(ActivationId out, ActivationId x, LinearId id) {
  const PreparedLinear& l = linear(id);
  Rows& to = rows(out);
  FOURSTEP_CHECK(to.width == l.n, "rows of width {} for {} outputs", to.width, l.n);
  SetForm(to, {});
  Multiply(l, rows(x), num_rows(), false, true, to.row(0), to.stride);
}

void CpuBackend::LinearResidual(ActivationId residual, ActivationId x, LinearId id) {
  const PreparedLinear& l = linear(id);
  Rows& to = rows(residual);
  FOURSTEP_CHECK(to.consumer.id < 0 && to.width == l.n, "residual of width {} for {} outputs", to.width, l.n);
  Multiply(l, rows(x), num_rows(), true, true, to.row(0), to.stride);
}

void CpuBackend::GatedLinear(ActivationId out, ActivationId x, LinearId gate_up, LinearId consumer) {
  const PreparedLinear& l = linear(gate_up);
  Rows& to = rows(out);
  const Rows& from = rows(x);
  FOURSTEP_CHECK(l.parts.size() == 2 && l.parts[0].n == l.parts[1].n && to.width == l.parts[0].n,
                 "gate and up: {} parts, {} outputs for width {}", l.parts.size(), l.n, to.width);
  CheckForm(l, from);
  SetForm(to, consumer);
  const PackedWeight &gate = l.parts[0], &up = l.parts[1];
  const int64_t num_rows = this->num_rows(), row_tiles = (num_rows + 3) / 4;
  ForShares(gate.num_groups, 2 * gate.num_groups * gate.group_bytes() * row_tiles,
            [&](int64_t first, int64_t last, int) {
              alignas(64) float gates[kRowChunk * kLanes], ups[kRowChunk * kLanes];
              for (int64_t g = first; g < last; ++g) {
                const int64_t o = g * kLanes;
                for (int64_t r = 0; r < num_rows; r += kRowChunk) {
                  const int64_t chunk = std::min(kRowChunk, num_rows - r);
                  MultiplyGroup(l, gate, g, from, r, chunk, gates);
                  MultiplyGroup(l, up, g, from, r, chunk, ups);
                  // Lanes beyond the width are silu(0) * 0 = 0, as the padding of rows has to be.
                  for (int64_t i = 0; i < chunk; ++i) {
                    kernels_.gate(gates + i * kLanes, gate.alpha.data() + o, gate.bias.data() + o,
                                  ups + i * kLanes, up.alpha.data() + o, up.bias.data() + o,
                                  to.row(r + i) + o);
                  }
                }
              }
            });
  if (to.consumer.id < 0) return;
  ForShares(num_rows, num_rows * to.width * 4, [&](int64_t first, int64_t last, int) {
    for (int64_t r = first; r < last; ++r) StoreRow(to, r, consumer);
  });
}

void CpuBackend::Head(ActivationId x, VectorId norm, float epsilon, LinearId head) {
  const PreparedLinear& l = linear(head);
  const Rows& from = rows(x);
  const Vector& w = vector(norm);
  FOURSTEP_CHECK(from.consumer.id < 0 && w.n == from.width && l.k == from.width);
  if (head_rows_.empty() || head_rows_[0].width != from.width) {
    head_rows_.clear();
    head_rows_.emplace_back(from.width, max_rows_);
  }
  Rows& normed = head_rows_[0];
  SetForm(normed, head);
  const auto num_draws = static_cast<int64_t>(batch_->draw_rows.size());
  for (int64_t d = 0; d < num_draws; ++d) {
    const int32_t r = batch_->draw_rows[static_cast<size_t>(d)];
    kernels_.rms_norm(from.row(r), w.values.data(), from.width, epsilon, normed.row(d));
    StoreRow(normed, d, head);
  }
  logits_.resize(static_cast<size_t>(num_draws * l.n));
  Multiply(l, normed, num_draws, false, false, logits_.data(), l.n);
}

}  // namespace fourstep::cpu
