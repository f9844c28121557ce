// Embedding, RMSNorm, and the form in which rows are stored for their consumer.
#include "base/check.h"
#include "cpu/cpu_impl.h"
#include "formats/bfloat16.h"

namespace fourstep::cpu {

Rows::Rows(int64_t row_width, int64_t max_rows)
    : width(row_width),
      stride(RoundUp16(row_width)),
      values(static_cast<size_t>(max_rows * stride)),
      doubled(static_cast<size_t>(max_rows * stride)),
      scales(static_cast<size_t>(max_rows * stride / 16)),
      corrections(static_cast<size_t>(max_rows * stride / 16)) {}

void CpuBackend::SetForm(Rows& out, LinearId consumer) {
  if (consumer.id >= 0) {
    FOURSTEP_CHECK(linear(consumer).k == out.width, "consumer reads {} values, rows have {}",
                   linear(consumer).k, out.width);
  }
  out.consumer = consumer.id >= 0 && linear(consumer).reads_special_form() ? consumer : LinearId{};
}

void CpuBackend::StoreRow(Rows& out, int64_t r, LinearId consumer) {
  const PreparedLinear* reader = consumer.id >= 0 ? &linear(consumer) : nullptr;
  const bool has_factors = reader != nullptr && !reader->pre_quant_scale.empty();
  kernels_.round(out.row(r), has_factors ? reader->pre_quant_scale.data() : nullptr, out.stride);
  if (reader == nullptr || reader->numerics != Numerics::kW4A4) return;
  const int64_t blocks = out.stride / 16;
  kernels_.encode(out.row(r), blocks, 1.0f / reader->input_scale,
                  {.codes = nullptr,
                   .scale_codes = nullptr,
                   .doubled = out.doubled.data() + r * out.stride,
                   .scales = out.scales.data() + r * blocks,
                   .corrections = out.corrections.data() + r * blocks});
}

std::vector<float> CpuBackend::ReadActivation(ActivationId id) {
  const Rows& x = rows(id);
  const bool is_encoded = x.consumer.id >= 0 && linear(x.consumer).numerics == Numerics::kW4A4;
  std::vector<float> out;
  out.reserve(static_cast<size_t>(num_rows() * x.width));
  for (int64_t r = 0; r < num_rows(); ++r) {
    for (int64_t i = 0; i < x.width; ++i) {
      if (!is_encoded) {
        out.push_back(x.row(r)[i]);
        continue;
      }
      const auto at = static_cast<size_t>(r * x.stride + i);
      out.push_back(0.5f * static_cast<float>(x.doubled[at]) *
                    (x.scales[at / 16] * linear(x.consumer).input_scale));
    }
  }
  return out;
}

void CpuBackend::Embed(ActivationId out, EmbeddingId table) {
  Rows& to = rows(out);
  const Embedding& from = embeddings_.at(static_cast<size_t>(table.id));
  FOURSTEP_CHECK(from.k == to.width, "table has width {}, rows {}", from.k, to.width);
  SetForm(to, {});
  for (int32_t r = 0; r < num_rows(); ++r) {
    const int32_t token = tokens_[static_cast<size_t>(r)];
    FOURSTEP_CHECK(token >= 0 && token < from.n, "token {}", token);
    const uint16_t* values = from.values.data() + token * from.k;
    for (int64_t i = 0; i < from.k; ++i) to.row(r)[i] = BFloat16::Decode({values[i]});
  }
}

void CpuBackend::Norm(ActivationId out, ActivationId x, VectorId weight, float epsilon, LinearId consumer) {
  Rows& to = rows(out);
  const Rows& from = rows(x);
  const Vector& w = vector(weight);
  FOURSTEP_CHECK(from.consumer.id < 0 && from.width == to.width && w.n == from.width,
                 "norm of {} values to {} with {} weights", from.width, to.width, w.n);
  SetForm(to, consumer);
  ForShares(num_rows(), num_rows() * from.width * 4, [&](int64_t first, int64_t last, int) {
    for (int64_t r = first; r < last; ++r) {
      kernels_.rms_norm(from.row(r), w.values.data(), from.width, epsilon, to.row(r));
      StoreRow(to, r, consumer);
    }
  });
}

}  // namespace fourstep::cpu
