#include "cuda_decay_gradient.h"
#include "cuda_pieces.cuh"

namespace longscan {

namespace {

constexpr int warpsPerBlock = 4;

/// One warp a chunk and head.
__global__ void decayGradientKernel(const DecayGradientCall call) {
  __shared__ float terms[warpsPerBlock][tileTokens];
  const int lane = threadIdx.x & 31, warp = threadIdx.x >> 5;
  const int64_t numChunks = (call.T + tileTokens - 1) / tileTokens;
  const int64_t task = static_cast<int64_t>(blockIdx.x) * warpsPerBlock + warp;
  if (task >= call.B * call.H * numChunks) return;
  const int64_t bh = task / numChunks, chunk = task % numChunks, b = bh / call.H, h = bh % call.H;
  const int64_t first = chunk * tileTokens;
  const int length = static_cast<int>(min(static_cast<int64_t>(tileTokens), call.T - first));
  const uint64_t starts =
      documentStarts(call.resets ? call.resets + b * call.T : nullptr, first, length, lane);

  for (int i = lane; i < length; i += 32) {
    const int64_t at = (bh * call.T + first + i) * call.parts;
    float term = 0.0f;
    for (int part = 0; part < call.parts; part++) term += call.queryDots[at + part] - call.keyDots[at + part];
    terms[warp][i] = term;
  }
  float product = 0.0f;
  for (int i = lane; i < call.K; i += 32) product += call.ends[task * call.K + i];
  for (int distance = 16; distance > 0; distance /= 2) product += __shfl_xor_sync(~0u, product, distance);
  product *= call.endScale;
  __syncwarp();

  for (int i = lane; i < length; i += 32) {
    const uint64_t later = i < 63 ? starts >> (i + 1) : 0;
    const int end = later ? i + __ffsll(static_cast<long long>(later)) : length;
    float sum = end == length ? product : 0.0f;
    for (int s = end - 1; s >= i; s--) sum += terms[warp][s];
    const bool meetsNothing = (starts >> i & 1) || (call.fromZero && first + i == 0);
    call.dg[(b * call.T + first + i) * call.H + h] = meetsNothing ? 0.0f : sum;
  }
}

}  // namespace

cudaError_t launchDecayGradient(const DecayGradientCall& call, cudaStream_t stream) {
  const int64_t numChunks = (call.T + tileTokens - 1) / tileTokens;
  const int64_t blocks = (call.B * call.H * numChunks + warpsPerBlock - 1) / warpsPerBlock;
  decayGradientKernel<<<static_cast<unsigned>(blocks), 32 * warpsPerBlock, 0, stream>>>(call);
  return cudaGetLastError();
}

}  // namespace longscan
