#include "decay_gradient.h"

#include "cuda/tile.cuh"

namespace longscan {

namespace {

constexpr int warpsPerBlock = 4;

/// One warp a chunk and head, 32 tokens at a time, against time. A lane has one token.
__global__ void decayGradientKernel(const DecayGradientCall call) {
  const int lane = threadIdx.x & 31;
  const int64_t numChunks = (call.T + tileTokens - 1) / tileTokens;
  const int64_t task = static_cast<int64_t>(blockIdx.x) * warpsPerBlock + threadIdx.x / 32;
  if (task >= call.B * call.H * numChunks) return;
  const int64_t bh = task / numChunks, chunk = task % numChunks, b = bh / call.H, h = bh % call.H;
  const int32_t* resets = call.resets ? call.resets + b * call.T : nullptr;
  const int64_t begin = chunk * tileTokens, end = min(begin + tileTokens, call.T);

  // What lies behind the present 32 tokens, up to the end of the document that goes on there.
  float behind = 0.0f;
  for (int i = lane; i < call.endParts; i += 32) behind += call.ends[task * call.endParts + i];
  for (int distance = 16; distance > 0; distance /= 2) behind += __shfl_xor_sync(~0u, behind, distance);
  behind *= call.endScale;

  for (int64_t first = begin + (end - begin - 1) / 32 * 32; first >= begin; first -= 32) {
    const int64_t token = first + lane;
    float sum = 0.0f;
    if (token < end) {
      const int64_t at = (bh * call.T + token) * call.parts;
      for (int part = 0; part < call.parts; part++)
        sum += call.queryDots[at + part] - call.keyDots[at + part];
    }
    const unsigned starts = __ballot_sync(~0u, resets != nullptr && token < end && resets[token] != 0);
    const unsigned later = starts & ~((2u << lane) - 1);
    const int documentEnd = later ? __ffs(later) - 1 : 32;
    for (int distance = 1; distance < 32; distance *= 2) {
      const float next = __shfl_down_sync(~0u, sum, distance);
      if (lane + distance < documentEnd) sum += next;
    }
    if (later == 0) sum += behind;
    behind = starts & 1 ? 0.0f : __shfl_sync(~0u, sum, 0);
    const bool meetsNothing = (starts >> lane & 1) || (call.fromZero && token == 0);
    if (token < end) call.dg[(b * call.T + token) * call.H + h] = meetsNothing ? 0.0f : sum;
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
