#include "cuda/dependent.cuh"
#include "cuda/elements.cuh"
#include "gradient.h"
#include "lane.cuh"

namespace longscan {

namespace {

constexpr int warpsPerBlock = 4;

/// One warp a chunk and head, two tokens a lane: sums from the token to the end of its document or chunk.
__global__ void gateGradientKernel(const DeltaGateGradientCall call) {
  const DeltaLane at;
  const int64_t numChunks = (call.T + tileTokens - 1) / tileTokens;
  const int64_t task = static_cast<int64_t>(blockIdx.x) * warpsPerBlock + at.warp;
  if (task >= call.B * call.H * numChunks) return;
  const int64_t bh = task / numChunks, b = bh / call.H, h = bh % call.H,
                first = task % numChunks * tileTokens;
  const int length = static_cast<int>(min(static_cast<int64_t>(tileTokens), call.T - first));
  const int32_t* resets = call.resets ? call.resets + b * call.T : nullptr;
  const uint64_t starts = documentStarts(resets, first, length, at.lane);

  waitForKernelBefore();
  float end = 0.0f;
  for (int part = 0; part < call.parts; part++) end += call.ends[task * call.parts + part];
  float sum[2], ownErase[2] = {0.0f, 0.0f};
#pragma unroll
  for (int i = 0; i < 2; i++) {
    const int row = 2 * at.lane + i;
    sum[i] = 0.0f;
    for (int part = 0; row < length && part < call.parts; part++) {
      const int64_t place = (bh * call.T + first + row) * call.parts + part;
      sum[i] += call.risingDots[place] - call.fallingDots[place];
      if (call.eraseDots != nullptr) ownErase[i] += call.eraseDots[place];
    }
    if (row == length - 1) sum[i] += end;
  }
  // Lane by lane backwards; at a document's start nothing of what is behind it goes on.
  const bool starts1 = starts >> (2 * at.lane + 1) & 1;
  const auto startsIn = [&](int row, int count) {
    return row < 64 && (starts >> row & ((1ull << count) - 1)) != 0;
  };
  float behind = starts1 ? sum[0] : sum[0] + sum[1];
#pragma unroll
  for (int distance = 1; distance < 32; distance *= 2) {
    const float later = __shfl_down_sync(~0u, behind, distance);
    if (at.lane + distance < 32 && !startsIn(2 * at.lane + 1, 2 * distance)) behind += later;
  }
  float next = __shfl_down_sync(~0u, behind, 1);
  if (at.lane == 31 || startsIn(2 * at.lane + 2, 1)) next = 0.0f;
  const float gradient[2] = {behind - ownErase[0], sum[1] + next - ownErase[1]};
#pragma unroll
  for (int i = 0; i < 2; i++) {
    const int row = 2 * at.lane + i;
    const bool meetsNothing = (starts >> row & 1) || (call.fromZero && first + row == 0);
    if (row < length) call.dg[(b * call.T + first + row) * call.H + h] = meetsNothing ? 0.0f : gradient[i];
  }
}

struct SumOfShares {
  const float* from;
  int shares;
  int64_t count;
  float* sums;

  __device__ void operator()(int64_t i) const {
    float sum = from[i];
    for (int share = 1; share < shares; share++) sum += from[share * count + i];
    sums[i] = sum;
  }
};

}  // namespace

cudaError_t launchDeltaBetaSum(const float* from, int shares, int64_t count, float* sums,
                               cudaStream_t stream) {
  return forEachElement(count, SumOfShares{from, shares, count, sums}, stream);
}

cudaError_t launchDeltaGateGradient(const DeltaGateGradientCall& call, cudaStream_t stream) {
  const int64_t numChunks = (call.T + tileTokens - 1) / tileTokens;
  const int64_t blocks = (call.B * call.H * numChunks + warpsPerBlock - 1) / warpsPerBlock;
  const dim3 grid(static_cast<unsigned>(blocks));
  if (call.begins) return launchBeside(gateGradientKernel, grid, 32 * warpsPerBlock, 0, stream, call);
  gateGradientKernel<<<grid, 32 * warpsPerBlock, 0, stream>>>(call);
  return cudaGetLastError();
}

}  // namespace longscan
