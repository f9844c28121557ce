#include "cuda/gemm.h"

#include "cuda/launch.h"
#include "cuda/mma_gemm.cuh"
#include "cuda/weight_units.cuh"
#include "cuda/wgmma_gemm.cuh"

namespace fourstep::cuda {
namespace {

constexpr int kMostGemmUnits = 1 << 10;

template <class Gemm>
__global__ __launch_bounds__(kGemmThreads,
                             Gemm::kBlocksPerSm) void GemmKernel(const __grid_constant__ Plan p) {
  extern __shared__ __align__(128) uint8_t shared[];
  LetNextBegin();
  WaitForPrevious();
  Gemm(p, shared).Run();
}

dim3 GridOf(const LinearCall& c, int block_rows) {
  return dim3(static_cast<unsigned>((c.num_rows + block_rows - 1) / block_rows),
              static_cast<unsigned>((c.linear.num_tiles + kGemmTiles - 1) / kGemmTiles));
}

// False, and nothing launched, where a block wants too much memory or, with `fills`, some SM would have none.
template <class Gemm>
bool LaunchAs(const Plan& p, bool fills, const DeviceLimits& limits, cudaStream_t stream) {
  using Block = typename Gemm::Block;
  const dim3 grid = GridOf(p.call, Block::kRows);
  if (Block::Bytes(kMostGemmUnits) > limits.shared_bytes_per_block) return false;
  if (fills && grid.x * grid.y < static_cast<unsigned>(limits.num_sms)) return false;
  const auto kernel = GemmKernel<Gemm>;
  static const bool is_ready = AllowSharedBytes(kernel, Block::Bytes(kMostGemmUnits));
  (void)is_ready;
  Launch(kernel, grid, dim3(kGemmThreads), static_cast<size_t>(Block::Bytes(p.call.linear.num_units)), stream,
         p);
  return true;
}

// As many rows a block as leave a block for every SM.
template <class Unit>
void LaunchUnits(const Plan& p, const DeviceLimits& limits, cudaStream_t stream) {
  const bool is_launched = limits.has_wgmma ? LaunchAs<WgmmaGemm<Unit, 128>>(p, true, limits, stream) ||
                                                  LaunchAs<WgmmaGemm<Unit, 64>>(p, false, limits, stream)
                                            : LaunchAs<MmaGemm<Unit, 8>>(p, true, limits, stream) ||
                                                  LaunchAs<MmaGemm<Unit, 4>>(p, true, limits, stream) ||
                                                  LaunchAs<MmaGemm<Unit, 2>>(p, false, limits, stream);
  FOURSTEP_CUDA_REQUIRE(is_launched);
}

}  // namespace

// Where its blocks would be few the kernel for few rows, which shares out any matrix evenly, is faster. By
// the projections of the 8B at 32 to 256 rows on an H200; in 4 bits that kernel reads less and wins for
// longer.
bool IsForGemm(const LinearCall& call) {
  constexpr int kFewestRows = 64, kFewestRowTiles = 20'000, kFewestFourBitRowTiles = 60'000;
  return call.num_rows >= kFewestRows && call.linear.num_units <= kMostGemmUnits &&
         int64_t{call.num_rows} * call.linear.num_tiles >=
             (call.linear.kind == UnitKind::kFourBit ? kFewestFourBitRowTiles : kFewestRowTiles);
}

void LaunchGemm(const Plan& plan, const DeviceLimits& limits, cudaStream_t stream) {
  const UnitKind kind = plan.call.linear.kind;
  if (kind == UnitKind::kFourBit) {
    LaunchUnits<FourBitUnit>(plan, limits, stream);
  } else if (kind == UnitKind::kFp8) {
    LaunchUnits<Fp8Unit>(plan, limits, stream);
  } else {
    LaunchUnits<Bf16Unit>(plan, limits, stream);
  }
}

}  // namespace fourstep::cuda
