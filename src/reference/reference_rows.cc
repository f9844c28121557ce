// Embedding, RMSNorm, and the form in which rows are stored for their consumer.
#include <algorithm>
#include <cmath>

#include "base/check.h"
#include "reference/reference_impl.h"

namespace fourstep {

void ReferenceBackend::StoreRow(Rows& out, int32_t r, std::span<const double> values, LinearId consumer) {
  const auto width = static_cast<size_t>(out.width);
  FOURSTEP_CHECK(values.size() == width, "{} values for width {}", values.size(), width);
  BFloat16* row = out.values.data() + static_cast<size_t>(r) * width;
  // Rounding a double to fp32 and then to BF16 may differ from one rounding by half a BF16 ulp where the
  // double lies within 2^-25 of a tie: other backends round their fp32 sums the same way.
  for (size_t i = 0; i < width; ++i) row[i] = BFloat16::Encode(static_cast<float>(values[i]));
  out.consumer = {};
  if (consumer.id < 0 || !linear(consumer).reads_special_form()) return;
  out.consumer = consumer;
  const PreparedLinear& reader = linear(consumer);
  FOURSTEP_CHECK(reader.k == out.width, "consumer reads {} values, rows have {}", reader.k, out.width);
  for (size_t i = 0; i < reader.pre_quant_scale.size(); ++i)
    row[i] = BFloat16::Encode(BFloat16::Decode(row[i]) * reader.pre_quant_scale[i]);
  if (reader.numerics != Numerics::kW4A4) return;
  const float inverse_scale = 1.0f / reader.input_scale;
  for (size_t b = 0; b < width / NvFp4::kBlockValues; ++b) {
    float block[NvFp4::kBlockValues];
    for (size_t i = 0; i < NvFp4::kBlockValues; ++i)
      block[i] = BFloat16::Decode(row[b * NvFp4::kBlockValues + i]);
    out.blocks[static_cast<size_t>(r) * (width / NvFp4::kBlockValues) + b] =
        NvFp4::EncodeActivation(block, inverse_scale);
  }
}

std::vector<float> ReferenceBackend::ReadActivation(ActivationId x) {
  const Rows& from = rows(x);
  const auto count = static_cast<size_t>(num_rows()) * static_cast<size_t>(from.width);
  std::vector<float> out(count);
  if (from.consumer.id >= 0 && linear(from.consumer).numerics == Numerics::kW4A4) {
    const float scale = linear(from.consumer).input_scale;
    for (size_t b = 0; b < count / NvFp4::kBlockValues; ++b)
      NvFp4::Decode(from.blocks[b], scale, out.data() + b * NvFp4::kBlockValues);
  } else {
    for (size_t i = 0; i < count; ++i) out[i] = BFloat16::Decode(from.values[i]);
  }
  return out;
}

void ReferenceBackend::Embed(ActivationId out, EmbeddingId table) {
  Rows& to = rows(out);
  const Embedding& from = embeddings_.at(static_cast<size_t>(table.id));
  FOURSTEP_CHECK(from.k == to.width, "table has width {}, rows {}", from.k, to.width);
  to.consumer = {};
  for (int32_t r = 0; r < num_rows(); ++r) {
    const int32_t token = tokens_[static_cast<size_t>(r)];
    FOURSTEP_CHECK(token >= 0 && token < from.n, "token {}", token);
    std::copy_n(from.values.begin() + token * from.k, from.k, to.values.begin() + r * from.k);
  }
}

void ReferenceBackend::NormRow(std::span<const BFloat16> x, std::span<const float> weight, double epsilon,
                               std::span<double> out) const {
  FOURSTEP_CHECK(weight.size() == x.size(), "norm weight has {} values, rows {}", weight.size(), x.size());
  double sum = 0;
  for (const BFloat16 v : x) sum += double{BFloat16::Decode(v)} * BFloat16::Decode(v);
  const double inverse_rms = 1 / std::sqrt(sum / static_cast<double>(x.size()) + epsilon);
  for (size_t i = 0; i < x.size(); ++i) out[i] = BFloat16::Decode(x[i]) * inverse_rms * weight[i];
}

void ReferenceBackend::Norm(ActivationId out, ActivationId x, VectorId weight, float epsilon,
                            LinearId consumer) {
  Rows& to = rows(out);
  const Rows& from = rows(x);
  FOURSTEP_CHECK(from.consumer.id < 0 && from.width == to.width);
  const auto width = static_cast<size_t>(from.width);
  std::vector<double> row(width);
  for (int32_t r = 0; r < num_rows(); ++r) {
    NormRow(std::span(from.values).subspan(static_cast<size_t>(r) * width, width), vector(weight), epsilon,
            row);
    StoreRow(to, r, row, consumer);
  }
}

}  // namespace fourstep
