#include "model/published_shapes.h"

#include <fmt/ranges.h>

#include <algorithm>
#include <iterator>

#include "base/error.h"

namespace fourstep {
namespace {

struct Shape {
  const char* name;
  const char* architecture;
  int64_t hidden, intermediate, layers, heads, kv_heads, head_dim, vocab;
  double rope_theta;
};

// From the config.json of Qwen/Qwen3-*, deepseek-ai/DeepSeek-R1-Distill-Qwen-* and models/abacus.
constexpr Shape kShapes[] = {
    {"abacus", "Qwen3ForCausalLM", 384, 1152, 8, 6, 2, 64, 1024, 1e6},
    {"qwen3-0.6b", "Qwen3ForCausalLM", 1024, 3072, 28, 16, 8, 128, 151936, 1e6},
    {"qwen3-8b", "Qwen3ForCausalLM", 4096, 12288, 36, 32, 8, 128, 151936, 1e6},
    {"qwen3-14b", "Qwen3ForCausalLM", 5120, 17408, 40, 40, 8, 128, 151936, 1e6},
    {"qwen3-32b", "Qwen3ForCausalLM", 5120, 25600, 64, 64, 8, 128, 151936, 1e6},
    {"r1-qwen-7b", "Qwen2ForCausalLM", 3584, 18944, 28, 28, 4, 128, 152064, 1e4},
    {"r1-qwen-14b", "Qwen2ForCausalLM", 5120, 13824, 48, 40, 8, 128, 152064, 1e6},
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

}  // namespace fourstep
