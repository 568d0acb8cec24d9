#include "combine.h"

#include "cuda/pack.cuh"

namespace longscan {

namespace {

constexpr int combineThreads = 128;

/// One thread `width` neighbours of the state: rows of the free axis are contiguous, as everywhere on the
/// wire.
template <int width>
__global__ void combineKernel(const CombineCall call) {
  using Numbers = Pack<float, width>;
  const int64_t size = static_cast<int64_t>(call.V) * call.K;
  const int64_t at = (static_cast<int64_t>(blockIdx.x) * combineThreads + threadIdx.x) * width;
  if (at >= call.heads * size) return;
  const int64_t head = at / size, element = at % size;
  const int key = static_cast<int>(element % call.K);
  Numbers state{};
  if (call.incoming) state = loadPack<width>(call.incoming + at);
#pragma unroll
  for (float& x : state.x) x *= call.incomingScale;
  if (call.summaries == nullptr) {
    storePack(call.states + at, state);
    return;
  }
#pragma unroll 4
  for (int i = 0; i < call.numSegments; i++) {
    const int64_t segment = head * call.numSegments + (call.backward ? call.numSegments - 1 - i : i);
    const Numbers entered = loadPack<width>(call.summaries + segment * size + element);
    Numbers factor;
    if (call.diagonal) {
      factor = loadPack<width>(call.factor + segment * call.K + key);
    } else {
      const float same = call.factor[segment];
#pragma unroll
      for (float& x : factor.x) x = same;
    }
    const bool reset = call.reset[segment] != 0;
    if (call.states) storePack(call.states + segment * size + element, state);
#pragma unroll
    for (int x = 0; x < width; x++)
      state.x[x] = reset ? entered.x[x] : factor.x[x] * state.x[x] + entered.x[x];
  }
  if (call.last) storePack(call.last + at, state);
  if (call.outgoing == nullptr) return;
#pragma unroll
  for (float& x : state.x) x *= call.outgoingScale;
  storePack(call.outgoing + at, state);
}

template <int width>
cudaError_t launchCombineWidth(const CombineCall& call, cudaStream_t stream) {
  const int64_t threads = call.heads * call.V * call.K / width;
  const auto blocks = static_cast<unsigned>((threads + combineThreads - 1) / combineThreads);
  combineKernel<width><<<blocks, combineThreads, 0, stream>>>(call);
  return cudaGetLastError();
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
  // Four neighbours are of one head, and their factors of one row, only where those are made of fours; else
  // states begin where no access of 16 bytes may: scans of 33 channels, states of single numbers.
  const int64_t row = call.diagonal ? call.K : static_cast<int64_t>(call.V) * call.K;
  return row % 4 == 0 ? launchCombineWidth<4>(call, stream) : launchCombineWidth<1>(call, stream);
}

}  // namespace longscan
