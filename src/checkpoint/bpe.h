// Byte-pair merging of one pre-token: of all neighbours that a merge names, the one of lowest rank (the
// leftmost of equal ones) is joined, until none is left.
#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

namespace fourstep {

struct Merge {
  int32_t left, right;  // token ids
  int32_t merged;       // the id of both joined
};

class BpeMerger {
 public:
  // `byte_ids`: the token of each single byte. `merges` in order of rank; no pair twice.
  BpeMerger(const std::array<int32_t, 256>& byte_ids, std::span<const Merge> merges);

  // Appends the tokens of `piece` (below 2^31 bytes). Time is n log n in its length.
  void Append(std::string_view piece, std::vector<int32_t>& ids) const;

 private:
  struct Slot {
    uint64_t pair;  // left << 32 | right
    uint32_t rank;
    int32_t merged;
  };
  struct Found {
    uint32_t rank;  // kNoRank where no merge names the pair
    int32_t merged;
  };

  Found Find(int32_t left, int32_t right) const;
  size_t Home(uint64_t pair) const;
  void AppendShort(std::string_view piece, std::vector<int32_t>& ids) const;
  void AppendLong(std::string_view piece, std::vector<int32_t>& ids) const;

  std::array<int32_t, 256> byte_ids_;
  std::vector<Slot> slots_;  // open addressing, a power of two
  uint64_t seed_;
};

}  // namespace fourstep
