#include "cuda_combine.h"

namespace longscan {

namespace {

constexpr int combineThreads = 256;

/// One thread an element of the state: rows of the free axis are contiguous, as everywhere on the wire.
__global__ void combineKernel(const CombineCall call) {
  const int64_t size = static_cast<int64_t>(call.V) * call.K;
  const int64_t at = static_cast<int64_t>(blockIdx.x) * combineThreads + threadIdx.x;
  if (at >= call.heads * size) return;
  const int64_t head = at / size, element = at % size;
  const int key = static_cast<int>(element % call.K);
  const float* __restrict__ summaries = call.summaries;
  float* __restrict__ states = call.states;
  float state = call.incoming ? call.incoming[at] * call.incomingScale : 0.0f;
  if (summaries == nullptr) {
    states[at] = state;
    return;
  }
#pragma unroll 4
  for (int i = 0; i < call.numSegments; i++) {
    const int64_t segment = head * call.numSegments + (call.backward ? call.numSegments - 1 - i : i);
    const float entered = summaries[segment * size + element];
    const float factor = call.diagonal ? call.factor[segment * call.K + key] : call.factor[segment];
    if (states) states[segment * size + element] = state;
    state = call.reset[segment] ? entered : factor * state + entered;
  }
  if (call.outgoing) call.outgoing[at] = state * call.outgoingScale;
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
  const int64_t elements = call.heads * call.V * call.K;
  const auto blocks = static_cast<unsigned>((elements + combineThreads - 1) / combineThreads);
  combineKernel<<<blocks, combineThreads, 0, stream>>>(call);
  return cudaGetLastError();
}

}  // namespace longscan
