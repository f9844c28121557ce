// The golden files beside the tiny checkpoints, and a model on any backend that answers for their prompt.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <filesystem>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/file.h"
#include "base/philox.h"
#include "checkpoint/checkpoint.h"
#include "checkpoint/safetensors.h"
#include "cpu/cpu_backend.h"
#include "cpu/kernels.h"
#if defined(FOURSTEP_HAS_CUDA)
#include "cuda/cuda_backend.h"
#endif
#include "formats/bfloat16.h"
#include "model/model.h"
#include "reference/reference_backend.h"
#include "tests/backend/random_model.h"
#include "tests/model/tiny_checkpoint.h"

namespace fourstep {

using Logits = std::vector<std::vector<float>>;  // [row][vocab]

// One checkpoint's golden file; see tools/make_model_goldens.py for what is in it.
class Golden {
 public:
  explicit Golden(const std::string& name)
      : file_(TinyCheckpoint("goldens") / (name + ".safetensors")),
        tensors_(ParseSafetensors(file_.bytes(), name)) {}

  bool Has(const std::string& name) const { return tensors_.contains(name); }

  std::vector<int32_t> Ints(const std::string& name) const {
    const TensorView& view = tensors_.at(name);
    std::vector<int32_t> out(static_cast<size_t>(view.num_values()));
    std::memcpy(out.data(), view.bytes.data(), view.bytes.size());
    return out;
  }

  Logits Rows(const std::string& name) const {
    const TensorView& view = tensors_.at(name);
    const auto width = static_cast<size_t>(view.shape.back());
    Logits rows(static_cast<size_t>(view.num_values()) / width, std::vector<float>(width));
    size_t at = 0;
    for (std::vector<float>& row : rows) {
      for (float& x : row) {
        if (view.type == TensorType::kBf16) {
          uint16_t bits;
          std::memcpy(&bits, view.bytes.data() + 2 * at, 2);
          x = BFloat16::Decode({bits});
        } else {
          std::memcpy(&x, view.bytes.data() + 4 * at, 4);
        }
        ++at;
      }
    }
    return rows;
  }

 private:
  MappedFile file_;
  TensorMap tensors_;
};

// "reference", every CPU path that this machine has, and "cuda" where there is a GPU.
inline std::vector<std::string> BackendsHere() {
  std::vector<std::string> names = {"reference"};
  for (const char* path : {"portable", "avx2", "avx512-vnni"})
    if (cpu::FindKernels(path) != nullptr) names.push_back(path);
#if defined(FOURSTEP_HAS_CUDA)
  if (CountCudaDevices() > 0) names.push_back("cuda");
#endif
  return names;
}

// One thread: results do not depend on it (tests/backend), and these steps are too small for two.
inline std::unique_ptr<Backend> MakeBackendHere(const std::string& name) {
  if (name == "reference") return MakeReferenceBackend({.max_rows = 64});
#if defined(FOURSTEP_HAS_CUDA)
  if (name == "cuda") return MakeCudaBackend({.max_rows = 64});
#endif
  return MakeCpuBackend({.path = name, .num_threads = 1, .max_rows = 64});
}

// A model of a checkpoint folder with its own backend; one sequence in one slot.
class TinyModel {
 public:
  TinyModel(const std::filesystem::path& folder, const std::string& backend, std::optional<Numerics> numerics,
            std::optional<KvCacheFormat> kv_cache = {})
      : backend_(MakeBackendHere(backend)) {
    Checkpoint checkpoint = Checkpoint::Open(folder);
    model_ = Model::Load(checkpoint, *backend_,
                         {.numerics = numerics,
                          .kv_cache = kv_cache,
                          .max_slots = 2,
                          .block_tokens = 8,
                          .num_cache_blocks = 32});
  }

  // Logits of `rows` (ascending) of a prompt that is given in chunks.
  Logits Run(std::span<const int32_t> prompt, std::span<const int32_t> rows, int32_t chunk_tokens,
             LinearObserver* observer = nullptr) {
    Logits logits;
    for (int32_t first = 0; first < static_cast<int32_t>(prompt.size()); first += chunk_tokens) {
      const auto end = std::min(first + chunk_tokens, static_cast<int32_t>(prompt.size()));
      BatchRows batch;
      batch.SetTables(2, 16);
      for (int32_t t = first; t < end; ++t)
        batch.Add(1, t, prompt[static_cast<size_t>(t)], std::ranges::find(rows, t) != rows.end());
      Step(batch, observer, logits);
    }
    return logits;
  }

  // `count` tokens by arg-max after a prompt, one step each.
  std::vector<int32_t> Continue(std::span<const int32_t> prompt, size_t count) {
    const auto last = static_cast<int32_t>(prompt.size()) - 1;
    Logits logits = Run(prompt, {&last, 1}, 64);
    std::vector<int32_t> tokens;
    while (true) {
      const std::vector<float>& row = logits.back();
      tokens.push_back(static_cast<int32_t>(std::ranges::max_element(row) - row.begin()));
      if (tokens.size() == count) return tokens;
      BatchRows batch;
      batch.SetTables(2, 16);
      batch.Add(1, last + static_cast<int32_t>(tokens.size()), tokens.back(), true);
      Step(batch, nullptr, logits);
    }
  }

  Model& model() { return *model_; }
  Backend& backend() { return *backend_; }

 private:
  void Step(const BatchRows& rows, LinearObserver* observer, Logits& logits) {
    const Batch batch = rows.view();
    backend_->BeginStep(batch);
    model_->Forward(observer);
    backend_->EndStep();
    const std::vector<float> all = backend_->ReadLogits();
    for (size_t at = 0; at < all.size(); at += size_t{kTinyVocab})
      logits.emplace_back(all.begin() + static_cast<ptrdiff_t>(at),
                          all.begin() + static_cast<ptrdiff_t>(at) + kTinyVocab);
  }

  std::unique_ptr<Backend> backend_;
  std::unique_ptr<Model> model_;
};

// How far two sets of logits are from each other.
struct Distance {
  double relative = 0;   // root mean square of the difference over that of `expected`
  double largest = 0;    // of one logit
  double same_best = 0;  // share of rows with the same arg-max
};

inline Distance Measure(const Logits& got, const Logits& expected) {
  Distance d;
  double error = 0, norm = 0, same = 0;
  for (size_t r = 0; r < expected.size(); ++r) {
    for (size_t i = 0; i < expected[r].size(); ++i) {
      const double e = double{got[r][i]} - expected[r][i];
      error += e * e;
      norm += double{expected[r][i]} * expected[r][i];
      d.largest = std::max(d.largest, std::fabs(e));
    }
    const auto best = [](const std::vector<float>& row) {
      return std::ranges::max_element(row) - row.begin();
    };
    same += best(got[r]) == best(expected[r]) ? 1 : 0;
  }
  d.relative = std::sqrt(error / norm);
  d.same_best = same / static_cast<double>(expected.size());
  return d;
}

}  // namespace fourstep
