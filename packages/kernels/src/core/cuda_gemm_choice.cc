#include "cuda_gemm_choice.h"

#include <algorithm>
#include <cmath>

namespace longscan {

namespace {

// Of cublasLtMatmulTile_t.
constexpr int tile128x128 = 20, tile128x160 = 29, tile176x128 = 201;

/// Sums from here on are long: a tile's beginning and end do not count.
constexpr int64_t longSum = 4096;
/// Waves from which on the last one's emptiness does not count.
constexpr float manyWaves = 10.0f;
/// Of the waves that a product takes: below it the last one is partly empty.
constexpr float wellFilled = 0.88f;

}  // namespace

size_t chooseCudaGemm(const std::vector<CudaGemmCandidate>& candidates, int64_t k) {
  const CudaGemmCandidate& first = candidates.front();
  // A tile smaller than the first's; larger ones are for other shapes.
  const auto find = [&](auto condition) {
    const auto found = std::find_if(candidates.begin(), candidates.end(), [&](const auto& candidate) {
      return candidate.splits == 1 && candidate.waves > first.waves && condition(candidate);
    });
    return found == candidates.end() ? 0 : static_cast<size_t>(found - candidates.begin());
  };
  const bool isWellFilled = first.waves >= wellFilled * std::ceil(first.waves);
  if (k >= longSum && isWellFilled) return 0;
  const size_t middle = find([](const auto& candidate) {
    return (candidate.tile == tile128x160 || candidate.tile == tile176x128) && candidate.waves >= manyWaves;
  });
  if (middle != 0) return middle;
  return find([](const auto& candidate) { return candidate.tile == tile128x128; });
}

}  // namespace longscan
