#include "../../cuda/pack.cuh"
#include "cuda_online_softmax.cuh"
#include "cuda_row_terms.h"

namespace longscan {

namespace {

constexpr int rowThreads = 16, rowsPerBlock = 16;

/// 16 threads a row of [B, T, H], heads side by side as in memory.
template <typename Element, typename Result>
__global__ void __launch_bounds__(rowThreads* rowsPerBlock)
    rowTermsKernel(const LongscanAttention c, const LongscanAttentionBackward io, const RowTerms terms) {
  const int64_t row = static_cast<int64_t>(blockIdx.x) * rowsPerBlock + threadIdx.x / rowThreads;
  const int64_t padded = terms.pitch * c.H;
  const int64_t b = row / padded, t = row % padded / c.H, h = row % c.H;
  if (b >= c.B) return;
  float delta = 0.0f, lse = 0.0f;
  if (t < c.T) {
    const int64_t at = (b * c.T + t) * c.H + h;
    const auto* dO = static_cast<const Element*>(io.dO) + at * c.V;
    const auto* o = static_cast<const Result*>(io.o) + at * c.V;
    for (int column = threadIdx.x % rowThreads * 8; column < c.V; column += 8 * rowThreads) {
      const auto x = loadPack<8>(dO + column);
      const auto y = loadPack<8>(o + column);
#pragma unroll
      for (int i = 0; i < 8; i++) delta += toFloat(x.x[i]) * toFloat(y.x[i]);
    }
    lse = io.lse[at] * log2OfE;
  }
  const unsigned lanes = __activemask();
#pragma unroll
  for (int step = 1; step < rowThreads; step *= 2) delta += __shfl_xor_sync(lanes, delta, step);
  if (threadIdx.x % rowThreads != 0) return;
  terms.lse[(b * c.H + h) * terms.pitch + t] = lse;
  terms.delta[(b * c.H + h) * terms.pitch + t] = delta;
}

}  // namespace

cudaError_t launchRowTerms(const LongscanAttention& call, const LongscanAttentionBackward& io,
                           const RowTerms& terms, cudaStream_t stream) {
  const int64_t rows = call.B * terms.pitch * call.H;
  const auto blocks = static_cast<unsigned>((rows + rowsPerBlock - 1) / rowsPerBlock);
  constexpr int threads = rowThreads * rowsPerBlock;
  using Bf16 = __nv_bfloat16;
  if (call.type == longscanElementF32)
    rowTermsKernel<float, float><<<blocks, threads, 0, stream>>>(call, io, terms);
  else if (io.oType == longscanElementF32)
    rowTermsKernel<Bf16, float><<<blocks, threads, 0, stream>>>(call, io, terms);
  else
    rowTermsKernel<Bf16, Bf16><<<blocks, threads, 0, stream>>>(call, io, terms);
  return cudaGetLastError();
}

}  // namespace longscan
