#include "cuda_combine.h"

#include "cuda/pack.cuh"

namespace longscan {

namespace {

constexpr int combineThreads = 128;

constexpr int combineWidth = 4;
using Four = Pack<float, combineWidth>;

/// One thread four elements of the state: rows of the free axis are contiguous, as everywhere on the wire.
__global__ void combineKernel(const CombineCall call) {
  const int64_t size = static_cast<int64_t>(call.V) * call.K;
  const int64_t at = (static_cast<int64_t>(blockIdx.x) * combineThreads + threadIdx.x) * combineWidth;
  if (at >= call.heads * size) return;
  const int64_t head = at / size, element = at % size;
  const int key = static_cast<int>(element % call.K);
  Four state{};
  if (call.incoming) state = loadPack<combineWidth>(call.incoming + at);
#pragma unroll
  for (float& x : state.x) x *= call.incomingScale;
  if (call.summaries == nullptr) {
    storePack(call.states + at, state);
    return;
  }
#pragma unroll 4
  for (int i = 0; i < call.numSegments; i++) {
    const int64_t segment = head * call.numSegments + (call.backward ? call.numSegments - 1 - i : i);
    const Four entered = loadPack<combineWidth>(call.summaries + segment * size + element);
    Four factor;
    if (call.diagonal) {
      factor = loadPack<combineWidth>(call.factor + segment * call.K + key);
    } else {
      const float same = call.factor[segment];
      factor = {{same, same, same, same}};
    }
    const bool reset = call.reset[segment] != 0;
    if (call.states) storePack(call.states + segment * size + element, state);
#pragma unroll
    for (int x = 0; x < combineWidth; x++)
      state.x[x] = reset ? entered.x[x] : factor.x[x] * state.x[x] + entered.x[x];
  }
  if (call.outgoing == nullptr) return;
#pragma unroll
  for (float& x : state.x) x *= call.outgoingScale;
  storePack(call.outgoing + at, state);
}

/// One thread a head or a channel of one.
__global__ void combineFactorsKernel(const CombineCall call, int H, float* factor, float* reset) {
  const int channels = call.diagonal ? call.K : 1;
  const int64_t at = static_cast<int64_t>(blockIdx.x) * combineThreads + threadIdx.x;
  if (at >= call.heads * channels) return;
  const int64_t head = at / channels;
  float product = 1.0f, starts = 0.0f;
  for (int64_t segment = head * call.numSegments; segment < (head + 1) * call.numSegments; segment++) {
    product *= call.factor[segment * channels + at % channels];
    if (call.reset[segment]) starts = 1.0f;
  }
  if (factor) factor[at] = product;
  if (reset && head % H == 0 && at % channels == 0) reset[head / H] = starts;
}

}  // namespace

cudaError_t launchCombineFactors(const CombineCall& call, int H, float* factor, float* reset,
                                 cudaStream_t stream) {
  const int64_t elements = call.heads * (call.diagonal ? call.K : 1);
  const auto blocks = static_cast<unsigned>((elements + combineThreads - 1) / combineThreads);
  combineFactorsKernel<<<blocks, combineThreads, 0, stream>>>(call, H, factor, reset);
  return cudaGetLastError();
}

cudaError_t launchCombine(const CombineCall& call, cudaStream_t stream) {
  const int64_t threads = call.heads * call.V * call.K / combineWidth;
  const auto blocks = static_cast<unsigned>((threads + combineThreads - 1) / combineThreads);
  combineKernel<<<blocks, combineThreads, 0, stream>>>(call);
  return cudaGetLastError();
}

}  // namespace longscan
