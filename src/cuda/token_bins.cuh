// Top-p and the draw without a search of the row. While a row is weighed, each of its parts sums its tokens'
// weights in bins, the most probable first. Of the sums of all parts one block then finds the bin in which
// top-p ends, divides it once more where it is full, ranks the tokens of what is left, knows what mass every
// part keeps, hence in which part the draw falls, and reads that part.
#pragma once

#include "cuda/token_parts.cuh"

namespace fourstep::cuda {

// The bin of exponent y in kListFloor..0, and the part of that bin: both equally wide, and never before those
// of a more probable token (the products are rounded the same way for both, the difference is exact).
__device__ __forceinline__ int BinOf(float y) {
  return min(kMassBins - 1, static_cast<int>(y * (kMassBins / kListFloor)));
}
__device__ __forceinline__ int InBin(float y, int bin) {
  const float within = y * (kMassBins / kListFloor) - static_cast<float>(bin);
  return min(kMassBins - 1, static_cast<int>(within * kMassBins));
}

// A part's bins in shared memory, in three sums of 14 bits of the weights each: shared memory adds 32 bits by
// itself, 64 by trying until nobody else has added meanwhile. Of at most kMostTokens.
struct BinSums {
  static constexpr int kBits = 14, kFields = 3, kMostTokens = 1 << (32 - kBits);
  uint32_t fields[kFields][kMassBins];

  // The whole block calls, and meets before Add.
  __device__ void Clear() {
    for (int i = static_cast<int>(threadIdx.x); i < kFields * kMassBins; i += static_cast<int>(blockDim.x))
      fields[i / kMassBins][i % kMassBins] = 0;
  }
  __device__ void Add(int bin, uint64_t weight) {
#pragma unroll
    for (int f = 0; f < kFields; ++f)
      atomicAdd(&fields[f][bin], static_cast<uint32_t>(weight >> (kBits * f)) & ((1u << kBits) - 1));
  }
  __device__ uint64_t Sum(int bin) const {
    uint64_t sum = 0;
#pragma unroll
    for (int f = 0; f < kFields; ++f) sum += static_cast<uint64_t>(fields[f][bin]) << (kBits * f);
    return sum;
  }
};

// What one block needs to draw from bins; a warp serves a part, and a lane kLaneBins of its bins.
struct BinnedDraw {
  static constexpr int kMostRanked = 256;  // tokens, each with each
  static constexpr int kLaneBins = kMassBins / kWarpLanes;
  static_assert(kPickThreads == kStatParts * kWarpLanes && kMassBins <= kPickThreads);

  uint64_t part_bins[kStatParts][kMassBins];
  uint64_t bins[kMassBins];  // of all parts
  uint64_t ranked_keys[kMostRanked], ranked_weights[kMostRanked];
  BinSums in_bin;                  // of the bin in which top-p ends
  BinSums kept;                    // of that bin, by part of the row
  uint64_t part_mass[kStatParts];  // that is kept
  uint64_t mass_before, last_key, rest;
  int num_ranked, cut_bin, cut_in_bin, part, token;
};

// Of a row that is weighed.
struct WeighedRow {
  const float* logits;      // [vocab]
  const ListedToken* list;  // [listed]
  const uint64_t* bins;     // [kStatParts, kMassBins]
  const uint64_t* mass;     // [kStatParts]
  int vocab, listed;        // vocab: drawable
  float max, temperature;

  __device__ float Exponent(float logit) const { return (logit - max) / temperature; }
  // Calls visit(y, logit, token) for this thread's share of the tokens of a bin.
  template <class Visit>
  __device__ void ForEachOf(int bin, const Visit& visit) const {
    const bool is_listed = listed <= kListCapacity;
    const int count = is_listed ? listed : vocab;
    for (int i = static_cast<int>(threadIdx.x); i < count; i += kPickThreads) {
      const ListedToken t = is_listed ? list[i] : ListedToken{logits[i], i};
      const float y = Exponent(t.logit);
      if (y >= kListFloor && BinOf(y) == bin) visit(y, t.logit, t.token);
    }
  }
};

__device__ __forceinline__ int PartOf(int token, int vocab) {
  int part = static_cast<int>(int64_t{token} * kStatParts / vocab);
  while (token < RangeOf(part, vocab).begin) --part;
  while (token >= RangeOf(part, vocab).end) ++part;
  return part;
}

// The first of shared.bins with which `wanted` is reached, and the mass before it added to
// shared.mass_before; kMassBins where they have less. One warp.
__device__ __forceinline__ void FindBin(uint64_t wanted, BinnedDraw& shared, int& found) {
  const int first = BinnedDraw::kLaneBins * static_cast<int>(threadIdx.x);
  uint64_t mine = 0;
  for (int i = 0; i < BinnedDraw::kLaneBins; ++i) mine += shared.bins[first + i];
  uint64_t sum = shared.mass_before + WarpScan(mine);
  const unsigned met = __ballot_sync(kAllLanes, sum >= wanted);
  const int lane = met != 0 ? __ffs(static_cast<int>(met)) - 1 : 0;
  if (static_cast<int>(threadIdx.x) != lane) return;
  found = kMassBins;
  if (met == 0) return;
  sum -= mine;
  int bin = first;
  while (sum + shared.bins[bin] < wanted) sum += shared.bins[bin++];
  found = bin;
  shared.mass_before = sum;
}

// Sums the bins over the parts and finds the one in which top-p ends: shared.cut_bin.
__device__ __forceinline__ void FindCut(const WeighedRow& row, uint64_t wanted, BinnedDraw& shared) {
  const int thread = static_cast<int>(threadIdx.x), lane = thread % kWarpLanes, part = thread / kWarpLanes;
  for (int i = lane; i < kMassBins; i += kWarpLanes)
    shared.part_bins[part][i] = row.bins[part * kMassBins + i];
  __syncthreads();
  if (thread < kMassBins) {
    uint64_t sum = 0;
#pragma unroll 8
    for (int p = 0; p < kStatParts; ++p) sum += shared.part_bins[p][thread];
    shared.bins[thread] = sum;
  }
  __syncthreads();
  if (thread < kWarpLanes) FindBin(wanted, shared, shared.cut_bin);
  __syncthreads();
}

// Divides that bin where it has more tokens than can be ranked, as far as its mass tells: shared.cut_in_bin,
// 0 .. and -1 where it is whole.
__device__ __forceinline__ void DivideCut(const WeighedRow& row, uint64_t wanted, BinnedDraw& shared) {
  const int thread = static_cast<int>(threadIdx.x), cut = shared.cut_bin;
  if (thread == 0) shared.cut_in_bin = -1;
  const float middle = (static_cast<float>(cut) + 0.5f) * (kListFloor / kMassBins);
  const uint64_t tokens = shared.bins[cut] / max(WeightOf(middle), uint64_t{1});
  __syncthreads();
  if (tokens < BinnedDraw::kMostRanked / 2) return;
  row.ForEachOf(cut, [&](float y, float, int) { shared.in_bin.Add(InBin(y, cut), WeightOf(y)); });
  __syncthreads();
  if (thread < kMassBins) shared.bins[thread] = shared.in_bin.Sum(thread);
  __syncthreads();
  if (thread < kWarpLanes) FindBin(wanted, shared, shared.cut_in_bin);
  __syncthreads();
}

// Ranks the tokens where top-p ends, each with each: shared.last_key is the last one kept, and what the row's
// parts keep of the bin is in shared.kept. False where they are too many.
__device__ __forceinline__ bool RankCut(const WeighedRow& row, uint64_t wanted, BinnedDraw& shared) {
  const int thread = static_cast<int>(threadIdx.x), cut = shared.cut_bin, cut_in_bin = shared.cut_in_bin;
  row.ForEachOf(cut, [&](float y, float logit, int token) {
    const int in_bin = cut_in_bin < 0 ? -1 : InBin(y, cut);
    if (in_bin < cut_in_bin) shared.kept.Add(PartOf(token, row.vocab), WeightOf(y));
    if (in_bin != cut_in_bin) return;
    const int place = atomicAdd(&shared.num_ranked, 1);
    if (place >= BinnedDraw::kMostRanked) return;
    shared.ranked_keys[place] = RankKey(logit, token);
    shared.ranked_weights[place] = WeightOf(y);
  });
  __syncthreads();
  const int count = shared.num_ranked;
  if (count > BinnedDraw::kMostRanked) return false;
  constexpr int kLanes = kPickThreads / BinnedDraw::kMostRanked;  // of a token
  const int ranked = thread / kLanes;
  uint64_t key = 0, weight = 0, before = 0;
  if (ranked < count) {
    key = shared.ranked_keys[ranked];
    weight = shared.ranked_weights[ranked];
    for (int i = thread % kLanes; i < count; i += kLanes)
      before += shared.ranked_keys[i] < key ? shared.ranked_weights[i] : 0;
  }
  for (int distance = 1; distance < kLanes; distance *= 2)
    before += __shfl_xor_sync(kAllLanes, before, distance);
  before += shared.mass_before;
  if (ranked < count && before < wanted && wanted <= before + weight) shared.last_key = key;
  __syncthreads();
  if (ranked < count && thread % kLanes == 0 && key <= shared.last_key)
    shared.kept.Add(PartOf(static_cast<int>(key & 0xFFFFFFFFu), row.vocab), weight);
  __syncthreads();
  return true;
}

// The part in which the draw falls: shared.part, and shared.rest within it. `random`: 64 bits.
__device__ __forceinline__ void FindPart(const WeighedRow& row, uint64_t random, BinnedDraw& shared) {
  const int thread = static_cast<int>(threadIdx.x), lane = thread % kWarpLanes, part = thread / kWarpLanes;
  uint64_t mass = 0;
  if (shared.cut_bin < kMassBins) {
    for (int i = lane; i < shared.cut_bin; i += kWarpLanes) mass += shared.part_bins[part][i];
    mass = WarpReduce(mass, Add{}) + shared.kept.Sum(part);
  } else {
    mass = row.mass[part];
  }
  if (lane == 0) shared.part_mass[part] = mass;
  __syncthreads();
  if (thread < kWarpLanes) {
    const uint64_t mine = shared.part_mass[lane], sum = WarpScan(mine);
    const uint64_t rest = __umul64hi(random, __shfl_sync(kAllLanes, sum, kWarpLanes - 1));
    const unsigned after = __ballot_sync(kAllLanes, sum > rest);
    if (lane == __ffs(static_cast<int>(after)) - 1) {
      shared.part = lane;
      shared.rest = rest - (sum - mine);
    }
  }
  __syncthreads();
}

// The token of the part at which the sum of weights, in the order of ids, exceeds shared.rest. `scratch`: one
// a warp.
__device__ __forceinline__ int DrawOfPart(const WeighedRow& row, BinnedDraw& shared, uint64_t* scratch) {
  const PartRange range = RangeOf(shared.part, row.vocab);
  const int thread = static_cast<int>(threadIdx.x), lane = thread % kWarpLanes, warp = thread / kWarpLanes;
  const int each = (range.end - range.begin + kPickThreads - 1) / kPickThreads;
  const int begin = min(range.begin + thread * each, range.end), end = min(begin + each, range.end);
  constexpr int kMostEach = BinSums::kMostTokens / kStatParts / kPickThreads;  // of a row that has bins
  float logits[kMostEach];                                                     // all under way at a time
#pragma unroll
  for (int i = 0; i < kMostEach; ++i) logits[i] = begin + i < end ? row.logits[begin + i] : 0.0f;
  uint64_t weights[kMostEach], mine = 0;
#pragma unroll
  for (int i = 0; i < kMostEach; ++i) {
    const bool is_kept = begin + i < end && RankKey(logits[i], begin + i) <= shared.last_key;
    weights[i] = is_kept ? WeightOf(row.Exponent(logits[i])) : 0;
    mine += weights[i];
  }
  const uint64_t in_warp = WarpScan(mine);
  if (lane == kWarpLanes - 1) scratch[warp] = in_warp;
  __syncthreads();
  const uint64_t warps = WarpScan(scratch[lane]);
  uint64_t before = __shfl_sync(kAllLanes, warps, max(warp - 1, 0));
  before = (warp > 0 ? before : 0) + in_warp - mine;
  if (before <= shared.rest && shared.rest < before + mine) {
    uint64_t sum = before;
    int num_before = 0;
#pragma unroll
    for (int i = 0; i < kMostEach; ++i) {
      sum += weights[i];
      num_before += sum <= shared.rest ? 1 : 0;
    }
    shared.token = begin + num_before;
  }
  __syncthreads();
  return shared.token;
}

// Draws after top-p (`wanted` of mass, kNoLimit for none), or returns -1 where bins do not tell: top-p ends
// below them, or hundreds of tokens are nearly as likely as the last that it keeps. The whole block calls.
__device__ __forceinline__ int DrawBinned(const WeighedRow& row, uint64_t wanted, uint64_t random,
                                          BinnedDraw& shared, uint64_t* scratch) {
  if (threadIdx.x == 0) {
    shared.last_key = ~uint64_t{0};
    shared.cut_bin = kMassBins;
    shared.mass_before = 0;
    shared.num_ranked = 0;
  }
  shared.in_bin.Clear();
  shared.kept.Clear();
  __syncthreads();
  if (wanted != kNoLimit) {
    FindCut(row, wanted, shared);
    if (shared.cut_bin == kMassBins) return -1;
    DivideCut(row, wanted, shared);
    if (!RankCut(row, wanted, shared)) return -1;
  }
  FindPart(row, random, shared);
  return DrawOfPart(row, shared, scratch);
}

}  // namespace fourstep::cuda
