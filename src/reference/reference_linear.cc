// Linears under the three numerics, and the head.
#include <cmath>
#include <cstring>

#include "backend/linear_stack.h"
#include "base/check.h"
#include "reference/reference_impl.h"

namespace fourstep {

LinearId ReferenceBackend::AddLinear(std::span<const LinearWeight> weights, Numerics numerics) {
  CheckStack(weights, numerics);
  const LinearWeight& first = weights.front();
  PreparedLinear prepared{
      .numerics = numerics,
      .n = 0,
      .k = first.k,
      .input_scale = numerics == Numerics::kW4A4 ? *first.input_scale : 1.0f,
      .pre_quant_scale = {first.pre_quant_scale.begin(), first.pre_quant_scale.end()},
      .parts = {},
  };
  std::vector<float> row(static_cast<size_t>(first.k));
  for (const LinearWeight& w : weights) {
    const bool is_dense = numerics == Numerics::kBf16 && w.format != WeightFormat::kFp8;
    Part part{.format = is_dense ? WeightFormat::kBf16 : w.format,
              .n = w.n,
              .dense = {},
              .codes = {},
              .scales = {},
              .global_scale = w.format == WeightFormat::kNvFp4 ? w.global_scale : 1.0,
              .output_scales = {},
              .bias = {w.bias.begin(), w.bias.end()}};
    if (is_dense) {
      for (int64_t n = 0; n < w.n; ++n) {
        DecodeRow(w, n, row.data());
        for (const float x : row) part.dense.push_back(BFloat16::Encode(x));
      }
    } else {
      part.codes.resize(w.values.size());
      std::memcpy(part.codes.data(), w.values.data(), w.values.size());
      part.scales.assign(w.block_scales.begin(), w.block_scales.end());
      for (int64_t n = 0; w.format == WeightFormat::kFp8 && n < w.n; ++n)
        part.output_scales.push_back(OutputScale(w, n));
    }
    prepared.n += w.n;
    prepared.parts.push_back(std::move(part));
  }
  linears_.push_back(std::move(prepared));
  return {static_cast<int32_t>(linears_.size()) - 1};
}

namespace {

uint8_t CodeAt(const uint8_t* codes, int64_t i) {
  return codes[i / 2] >> (4 * (i & 1)) & 0xF;
}

double BlockScale(WeightFormat format, uint8_t code) {
  return format == WeightFormat::kNvFp4 ? E4M3::Decode(code) : E8M0::Decode(code);
}

// sum_k c b x, without the tensor's scale
double DotW4A16(WeightFormat format, const uint8_t* codes, const uint8_t* scales, const BFloat16* x,
                int64_t k) {
  const int64_t block = BlockValues(format);
  double sum = 0;
  for (int64_t i = 0; i < k; ++i)
    sum += E2M1::Decode(CodeAt(codes, i)) * BlockScale(format, scales[i / block]) * BFloat16::Decode(x[i]);
  return sum;
}

// sum_blocks b_x b_w sum_16 c_x c_w, without the tensors' scales; the inner sum is an exact integer.
double DotW4A4(const uint8_t* codes, const uint8_t* scales, const NvFp4::Block* x, int64_t k) {
  double sum = 0;
  for (int64_t b = 0; b < k / NvFp4::kBlockValues; ++b) {
    int32_t products = 0;  // four times the sum: both codes are doubled
    for (int i = 0; i < NvFp4::kBlockValues; ++i) {
      products += E2M1::DecodeDoubled(CodeAt(codes, b * NvFp4::kBlockValues + i)) *
                  E2M1::DecodeDoubled(CodeAt(x[b].codes, i));
    }
    sum += 0.25 * products * E4M3::Decode(scales[b]) * E4M3::Decode(x[b].scale);
  }
  return sum;
}

// sum_k e4m3 x, without the output's scale
double DotFp8(const uint8_t* w, const BFloat16* x, int64_t k) {
  double sum = 0;
  for (int64_t i = 0; i < k; ++i) sum += double{E4M3::Decode(w[i])} * BFloat16::Decode(x[i]);
  return sum;
}

double DotBf16(const BFloat16* w, const BFloat16* x, int64_t k) {
  double sum = 0;
  for (int64_t i = 0; i < k; ++i) sum += double{BFloat16::Decode(w[i])} * BFloat16::Decode(x[i]);
  return sum;
}

}  // namespace

void ReferenceBackend::MultiplyRow(const PreparedLinear& l, const Rows& x, int32_t r,
                                   std::span<double> out) const {
  FOURSTEP_CHECK(x.width == l.k, "linear reads {} values, rows have {}", l.k, x.width);
  const bool is_written_for_it =
      x.consumer.id < 0 ? !l.reads_special_form() : l.ReadsFormOf(linear(x.consumer));
  FOURSTEP_CHECK(is_written_for_it, "rows are in the form of linear {}", x.consumer.id);
  const int64_t k = l.k;
  const BFloat16* values = x.values.data() + r * k;
  const NvFp4::Block* blocks = x.blocks.data() + r * (k / NvFp4::kBlockValues);
  size_t o = 0;
  for (const Part& part : l.parts) {
    const int64_t block = BlockValues(part.format);
    for (int64_t n = 0; n < part.n; ++n, ++o) {
      const uint8_t* codes = part.codes.data() + n * (k / 2);
      const uint8_t* scales = part.scales.data() + n * (k / block);
      if (l.numerics == Numerics::kW4A4) {
        out[o] = DotW4A4(codes, scales, blocks, k) * part.global_scale * l.input_scale;
      } else if (l.numerics == Numerics::kW4A16) {
        out[o] = DotW4A16(part.format, codes, scales, values, k) * part.global_scale;
      } else if (part.format == WeightFormat::kFp8) {
        out[o] = DotFp8(part.codes.data() + n * k, values, k) * part.output_scales[static_cast<size_t>(n)];
      } else {
        out[o] = DotBf16(part.dense.data() + n * k, values, k);
      }
      if (!part.bias.empty()) out[o] += part.bias[static_cast<size_t>(n)];
    }
  }
}

void ReferenceBackend::Linear(ActivationId out, ActivationId x, LinearId id) {
  const PreparedLinear& l = linear(id);
  std::vector<double> row(static_cast<size_t>(l.n));
  for (int32_t r = 0; r < num_rows(); ++r) {
    MultiplyRow(l, rows(x), r, row);
    StoreRow(rows(out), r, row, {});
  }
}

void ReferenceBackend::LinearResidual(ActivationId residual, ActivationId x, LinearId id) {
  const PreparedLinear& l = linear(id);
  Rows& to = rows(residual);
  FOURSTEP_CHECK(to.consumer.id < 0 && to.width == l.n, "residual of width {} for {} outputs", to.width, l.n);
  std::vector<double> row(static_cast<size_t>(l.n));
  for (int32_t r = 0; r < num_rows(); ++r) {
    MultiplyRow(l, rows(x), r, row);
    for (size_t i = 0; i < row.size(); ++i)
      row[i] += BFloat16::Decode(to.values[static_cast<size_t>(r) * row.size() + i]);
    StoreRow(to, r, row, {});
  }
}

void ReferenceBackend::GatedLinear(ActivationId out, ActivationId x, LinearId gate_up, LinearId consumer) {
  const PreparedLinear& l = linear(gate_up);
  FOURSTEP_CHECK(l.parts.size() == 2 && l.parts[0].n == l.parts[1].n, "gate and up of {} parts",
                 l.parts.size());
  const auto n = static_cast<size_t>(l.n / 2);
  std::vector<double> both(2 * n), row(n);
  for (int32_t r = 0; r < num_rows(); ++r) {
    MultiplyRow(l, rows(x), r, both);
    for (size_t i = 0; i < n; ++i) row[i] = both[i] / (1 + std::exp(-both[i])) * both[n + i];
    StoreRow(rows(out), r, row, consumer);
  }
}

void ReferenceBackend::Head(ActivationId x, VectorId norm, float epsilon, LinearId head) {
  const PreparedLinear& l = linear(head);
  const Rows& from = rows(x);
  FOURSTEP_CHECK(from.consumer.id < 0);
  const auto width = static_cast<size_t>(from.width);
  Rows normed{.width = from.width,
              .values = std::vector<BFloat16>(width),
              .blocks = std::vector<NvFp4::Block>(width / NvFp4::kBlockValues),
              .consumer = {}};
  std::vector<double> row(width), outputs(static_cast<size_t>(l.n));
  logits_.clear();
  for (const int32_t r : batch_->draw_rows) {
    NormRow(std::span(from.values).subspan(static_cast<size_t>(r) * width, width), vector(norm), epsilon,
            row);
    StoreRow(normed, 0, row, head);
    MultiplyRow(l, normed, 0, outputs);
    for (const double y : outputs) logits_.push_back(static_cast<float>(y));
  }
}

}  // namespace fourstep
