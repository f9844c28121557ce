// Names that checkpoints of every architecture give to what stands outside the layers.
#pragma once

namespace fourstep {

inline constexpr char kEmbeddingModule[] = "model.embed_tokens", kHeadModule[] = "lm_head";

}  // namespace fourstep
