#include "model/published_shapes.h"

#include <fmt/ranges.h>

#include <algorithm>
#include <cmath>
#include <cstring>

#include "base/error.h"
#include "base/philox.h"
#include "formats/nvfp4.h"
#include "model/decoder.h"

namespace fourstep {
namespace {

struct Shape {
  const char* name;
  const char* architecture;
  int64_t hidden, intermediate, layers, heads, kv_heads, head_dim, vocab;
  double rope_theta;
};

// From the config.json of Qwen/Qwen3-*, deepseek-ai/DeepSeek-R1-Distill-Qwen-*.
constexpr Shape kShapes[] = {
    {"qwen3-0.6b", "Qwen3ForCausalLM", 1024, 3072, 28, 16, 8, 128, 151936, 1e6},
    {"qwen3-8b", "Qwen3ForCausalLM", 4096, 12288, 36, 32, 8, 128, 151936, 1e6},
    {"qwen3-14b", "Qwen3ForCausalLM", 5120, 17408, 40, 40, 8, 128, 151936, 1e6},
    {"qwen3-32b", "Qwen3ForCausalLM", 5120, 25600, 64, 64, 8, 128, 151936, 1e6},
    {"r1-qwen-7b", "Qwen2ForCausalLM", 3584, 18944, 28, 28, 4, 128, 152064, 1e4},
    {"r1-qwen-14b", "Qwen2ForCausalLM", 5120, 13824, 48, 40, 8, 128, 152064, 1e6},
};

bool HasHeadNorms(const HfConfig& c) {
  return c.architecture == "Qwen3ForCausalLM";
}

// Random values that every weight of one format views the beginning of.
class RandomValues {
 public:
  RandomValues(const HfConfig& c, bool needs_four_bit) {
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
  std::vector<uint64_t> dense_, codes_, scales_;
};

}  // namespace

std::vector<std::string> PublishedShapeNames() {
  std::vector<std::string> names;
  for (const Shape& shape : kShapes) names.emplace_back(shape.name);
  return names;
}

HfConfig PublishedShape(const std::string& name) {
  const Shape* s =
      std::find_if(std::begin(kShapes), std::end(kShapes), [&](const Shape& x) { return x.name == name; });
  if (s == std::end(kShapes))
    throw Errorf("shape", "\"{}\" is not one of {}", Printable(name), fmt::join(PublishedShapeNames(), ", "));
  HfConfig c;
  c.where = name;
  c.architecture = s->architecture;
  c.hidden_size = s->hidden;
  c.intermediate_size = s->intermediate;
  c.num_layers = s->layers;
  c.num_heads = s->heads;
  c.num_kv_heads = s->kv_heads;
  c.head_dim = s->head_dim;
  c.vocab_size = s->vocab;
  c.max_positions = 1 << 17;
  c.rope.theta = s->rope_theta;
  return c;
}

std::unique_ptr<Model> MakeRandomDecoder(const HfConfig& c, Backend& backend, const ModelOptions& options,
                                         HeadFormat head) {
  const bool is_dense = options.numerics == Numerics::kBf16;
  const RandomValues values(c, !is_dense || head == HeadFormat::kNvFp4);
  const auto linear = [&](int64_t n, int64_t k) {
    return is_dense ? values.Dense(n, k) : values.FourBit(n, k);
  };
  const std::vector<float> ones(static_cast<size_t>(std::max(c.hidden_size, c.head_dim)), 1.0f);
  const auto norm = [&](int64_t n) { return std::span(ones).first(static_cast<size_t>(n)); };
  const std::vector<float> bias(static_cast<size_t>(c.num_heads * c.head_dim), 0.125f);

  DecoderWeights w;
  w.embedding = values.Dense(c.vocab_size, c.hidden_size);
  const int64_t q = c.num_heads * c.head_dim, kv = c.num_kv_heads * c.head_dim;
  for (int64_t i = 0; i < c.num_layers; ++i) {
    DecoderLayerWeights& l = w.layers.emplace_back();
    l.attention_norm = l.ffn_norm = norm(c.hidden_size);
    if (HasHeadNorms(c)) l.q_norm = l.k_norm = norm(c.head_dim);
    l.qkv = {linear(q, c.hidden_size), linear(kv, c.hidden_size), linear(kv, c.hidden_size)};
    if (!HasHeadNorms(c)) {
      for (LinearWeight& part : l.qkv) part.bias = std::span(bias).first(static_cast<size_t>(part.n));
    }
    l.o = {linear(c.hidden_size, q)};
    l.gate_up = {linear(c.intermediate_size, c.hidden_size), linear(c.intermediate_size, c.hidden_size)};
    l.down = {linear(c.hidden_size, c.intermediate_size)};
  }
  // Trained models are mostly sure of the next token: logits of a standard deviation of about 8.
  const std::vector<float> final_norm(static_cast<size_t>(c.hidden_size), 5.0f);
  w.norm = final_norm;
  w.head = {head == HeadFormat::kNvFp4 ? values.FourBit(c.vocab_size, c.hidden_size)
                                       : values.Dense(c.vocab_size, c.hidden_size)};
  return BindDecoder(c, w, backend, options);
}

}  // namespace fourstep
