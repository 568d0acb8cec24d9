#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

namespace longscan {

/// One way to compute a product, as cuBLASLt's heuristics offer it.
struct CudaGemmCandidate {
  int tile;     // cublasLtMatmulTile_t: what of C a block of threads computes
  int splits;   // parts of each sum, which blocks of their own compute
  float waves;  // how often the tiles fill the GPU
};

/// Which of the candidates to take for products of bf16 with sums of `k` terms on a Hopper GPU; the
/// heuristics' first is in front. A function of its arguments alone, so that a product has the same bits in
/// every run.
///
/// The heuristics like tiles of 128 x 256, of which a multiprocessor holds one: nothing hides how it begins
/// and ends, and under the power limit its rate falls most. On an H200
/// (docs/benchmarks/gpu-products_h200_2026-11.md): where sums are short or the large ones leave a wave partly
/// empty, many tiles of 128 x 160 or 176 x 128 are up to 28 % faster, and a few of 128 x 128 up to 9 %. Else
/// the large ones, which read less, cost less energy.
size_t chooseCudaGemm(const std::vector<CudaGemmCandidate>& candidates, int64_t k);

}  // namespace longscan
