#include "model/random_decoder.h"

#include <algorithm>
#include <cmath>
#include <vector>

#include "formats/nvfp4.h"

namespace fourstep {
namespace {

bool HasHeadNorms(const HfConfig& c) {
  return c.architecture == "Qwen3ForCausalLM";
}

// Random values that every weight of one format views the beginning of.
class RandomValues {
 public:
  RandomValues(const HfConfig& c, bool needs_four_bit, bool needs_fp8) {
    const int64_t largest =
        std::max({c.intermediate_size * c.hidden_size, c.num_heads * c.head_dim * c.hidden_size,
                  c.vocab_size * c.hidden_size});
    uint64_t state = 1;
    const auto next = [&state] {  // SplitMix64
      uint64_t z = state += 0x9E3779B97F4A7C15u;
      z = (z ^ z >> 30) * 0xBF58476D1CE4E5B9u;
      z = (z ^ z >> 27) * 0x94D049BB133111EBu;
      return z ^ z >> 31;
    };
    // Signs and mantissas at random, magnitudes of 2^-6 to 2^-5: about what a matrix of 4096 inputs has.
    dense_.resize(static_cast<size_t>((largest + 3) / 4));
    for (uint64_t& four : dense_) four = (next() & 0x80FF80FF80FF80FFu) | 0x3C003C003C003C00u;
    if (needs_fp8) {  // magnitudes of 1/2 to 2; scales that differ
      fp8_.resize(static_cast<size_t>((largest + 7) / 8));
      for (uint64_t& eight : fp8_) eight = (next() & 0x8F8F8F8F8F8F8F8Fu) | 0x3030303030303030u;
      for (int64_t n = 0; n < c.vocab_size; ++n)
        output_scales_.push_back(0x1p-6f * (1 + static_cast<float>(n % 8) / 8));
    }
    if (!needs_four_bit) return;
    codes_.resize(static_cast<size_t>((largest + 15) / 16));
    for (uint64_t& sixteen : codes_) sixteen = next();
    scales_.resize(static_cast<size_t>((largest / 16 + 7) / 8));
    for (uint64_t& eight : scales_)
      eight = (next() & 0x0707070707070707u) | 0x7070707070707070u;  // 128 to 240
  }

  LinearWeight Dense(int64_t n, int64_t k) const {
    LinearWeight w = Named(n, k);
    w.values = {reinterpret_cast<const std::byte*>(dense_.data()), static_cast<size_t>(2 * n * k)};
    return w;
  }
  // Of at most as many outputs as the vocabulary has.
  LinearWeight Fp8(int64_t n, int64_t k) const {
    LinearWeight w = Named(n, k);
    w.format = WeightFormat::kFp8;
    w.values = {reinterpret_cast<const std::byte*>(fp8_.data()), static_cast<size_t>(n * k)};
    w.output_scales = std::span(output_scales_).first(static_cast<size_t>(n));
    return w;
  }
  LinearWeight FourBit(int64_t n, int64_t k) const {
    LinearWeight w = Named(n, k);
    w.format = WeightFormat::kNvFp4;
    w.values = {reinterpret_cast<const std::byte*>(codes_.data()), static_cast<size_t>(n * k / 2)};
    w.block_scales = {reinterpret_cast<const uint8_t*>(scales_.data()), static_cast<size_t>(n * k / 16)};
    // Codes have a root mean square of 2.9, scales are about 180.
    w.global_scale = 1 / (2.9f * 180.0f * std::sqrt(static_cast<float>(k)));
    w.input_scale = NvFp4::GlobalScale(8.0f);
    return w;
  }

 private:
  static LinearWeight Named(int64_t n, int64_t k) {
    LinearWeight w;
    w.name = "random";
    w.n = n;
    w.k = k;
    return w;
  }
  std::vector<uint64_t> dense_, fp8_, codes_, scales_;
  std::vector<float> output_scales_;
};

}  // namespace

struct RandomDecoderWeights::Values {
  RandomValues linears;
  std::vector<float> norm, final_norm, bias;
};

RandomDecoderWeights::RandomDecoderWeights(const HfConfig& c, Numerics numerics, WeightFormat head) {
  const bool is_dense = numerics == Numerics::kBf16;
  // Trained models are mostly sure of the next token: logits of a standard deviation of about 8.
  constexpr float kFinalNorm = 5.0f;
  values_.reset(new Values{
      .linears = RandomValues(c, !is_dense || head == WeightFormat::kNvFp4, head == WeightFormat::kFp8),
      .norm = std::vector<float>(static_cast<size_t>(std::max(c.hidden_size, c.head_dim)), 1.0f),
      .final_norm = std::vector<float>(static_cast<size_t>(c.hidden_size), kFinalNorm),
      .bias = std::vector<float>(static_cast<size_t>(c.num_heads * c.head_dim), 0.125f)});
  const RandomValues& values = values_->linears;
  const auto linear = [&](int64_t n, int64_t k) {
    return is_dense ? values.Dense(n, k) : values.FourBit(n, k);
  };
  const auto norm = [&](int64_t n) { return std::span(values_->norm).first(static_cast<size_t>(n)); };
  view_.embedding = values.Dense(c.vocab_size, c.hidden_size);
  const int64_t q = c.num_heads * c.head_dim, kv = c.num_kv_heads * c.head_dim;
  for (int64_t i = 0; i < c.num_layers; ++i) {
    DecoderLayerWeights& l = view_.layers.emplace_back();
    l.attention_norm = l.ffn_norm = norm(c.hidden_size);
    if (HasHeadNorms(c)) l.q_norm = l.k_norm = norm(c.head_dim);
    l.qkv = {linear(q, c.hidden_size), linear(kv, c.hidden_size), linear(kv, c.hidden_size)};
    if (!HasHeadNorms(c)) {
      for (LinearWeight& part : l.qkv)
        part.bias = std::span(values_->bias).first(static_cast<size_t>(part.n));
    }
    l.o = {linear(c.hidden_size, q)};
    l.gate_up = {linear(c.intermediate_size, c.hidden_size), linear(c.intermediate_size, c.hidden_size)};
    l.down = {linear(c.hidden_size, c.intermediate_size)};
  }
  view_.norm = values_->final_norm;
  view_.head = {head == WeightFormat::kNvFp4 ? values.FourBit(c.vocab_size, c.hidden_size)
                : head == WeightFormat::kFp8 ? values.Fp8(c.vocab_size, c.hidden_size)
                                             : values.Dense(c.vocab_size, c.hidden_size)};
  // As sure as the dense head, whose rows are about 1.5 times as long: flat logits cost the draw more.
  if (head == WeightFormat::kNvFp4) view_.head[0].global_scale *= 1.5f;
}

RandomDecoderWeights::~RandomDecoderWeights() = default;

std::unique_ptr<Model> MakeRandomDecoder(const HfConfig& shape, Backend& backend, const ModelOptions& options,
                                         WeightFormat head) {
  const RandomDecoderWeights weights(shape, options.numerics.value(), head);
  return BindDecoder(shape, weights.view(), backend, options);
}

}  // namespace fourstep
