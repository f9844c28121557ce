// What a lane holds of a group whose last position is put in place after it was loaded is what it would hold
// of the same group, loaded later. Run by the host: a lane at a time.
#include "cuda/lane_cache.cuh"

#include <gtest/gtest.h>

#include <cstring>
#include <vector>

#include "base/philox.h"

namespace fourstep::cuda {
namespace {

constexpr int kDims = 128, kSumDims = kDims / 2;

// A group of a cache: keys [16, kDims], values [kDims, 16], zero from head_dim on, in the cache's order.
template <class Cache>
struct Group {
  using Value = typename Cache::Value;
  std::vector<Value> k = std::vector<Value>(kGroupTokens * kDims), v = k;

  void Put(int position, int dim, Value key, Value value) {
    k[static_cast<size_t>(position * kDims + Cache::KeyIndex(dim))] = key;
    v[static_cast<size_t>(Cache::ValueIndex(dim, position))] = value;
  }
};

// What a lane holds, to be compared byte by byte.
template <class Cache>
struct Held {
  LaneKeys<Cache, kDims> keys;
  LaneValues<Cache, kSumDims> values;

  Held(const Group<Cache>& group, int first_dim, int lane) {
    std::memset(static_cast<void*>(this), 0, sizeof *this);
    keys.template Load<false>(group.k.data(), lane);
    values.Load(group.v.data(), first_dim, lane);
  }
  bool operator==(const Held& o) const { return std::memcmp(this, &o, sizeof o) == 0; }
};

template <class Cache>
void ExpectReplaced(int head_dim, int position) {
  using Value = typename Cache::Value;
  PhiloxStream random(static_cast<uint64_t>(head_dim * kGroupTokens + position));
  const auto any = [&] { return static_cast<Value>(random.Uniform() * 65536); };
  Group<Cache> early, late;
  alignas(16) Value key[kDims] = {}, value[kDims] = {};
  for (int dim = 0; dim < head_dim; ++dim) {
    for (int i = 0; i < kGroupTokens; ++i) {
      const Value k = any(), v = any();
      late.Put(i, dim, k, v);
      early.Put(i, dim, i == position ? any() : k, i == position ? any() : v);
      if (i != position) continue;
      key[Cache::KeyIndex(dim)] = k;
      value[dim] = v;
    }
  }
  for (const int first_dim : {0, kSumDims}) {
    for (int lane = 0; lane < kWarpLanes; ++lane) {
      Held<Cache> held(early, first_dim, lane);
      held.keys.Replace(position, key, lane);
      held.values.Replace(position, value, first_dim, lane);
      ASSERT_EQ(held, Held<Cache>(late, first_dim, lane)) << "lane " << lane << ", from " << first_dim;
    }
  }
}

TEST(LaneCache, APositionPutInPlaceIsAsIfItHadBeenLoaded) {
  for (const int head_dim : {2, 24, 30, 66, 126, 128}) {
    for (int position = 0; position < kGroupTokens; ++position) {
      SCOPED_TRACE(testing::Message() << head_dim << " dimensions, position " << position);
      ASSERT_NO_FATAL_FAILURE(ExpectReplaced<Bf16Cache>(head_dim, position));
      ASSERT_NO_FATAL_FAILURE(ExpectReplaced<Fp8Cache>(head_dim, position));
    }
  }
}

}  // namespace
}  // namespace fourstep::cuda
