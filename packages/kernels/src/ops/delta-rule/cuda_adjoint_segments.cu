#include "cuda_adjoint_segments.h"

namespace longscan {

namespace {

/// How many blocks a segment has on Hopper for so many channels of V, or of M.
int64_t blocksOf(int64_t heads, int K, int channels) {
  const int width = K <= 128 ? 64 : 32;
  return heads * ((channels + width - 1) / width);
}

/// A chip's multiprocessors, one of which each block fills.
constexpr int64_t multiprocessors = 132;

/// Not more than `wanted`: a segment's way through the fold takes about as long as a chunk of its own.
Segments segmentsOf(int64_t T, int64_t wanted) {
  constexpr int64_t leastTokens = 16 * tileTokens;
  return Segments::about(T, std::max<int64_t>(1, std::min(wanted, T / leastTokens)), tileTokens);
}

struct FoldCall {
  int64_t B;
  int H, K, V;
  int first, count;          // segments
  const float* dht;          // [B, H, V, K] or null
  const float* adjoints;     // [segments, B, H, V, K]: G
  const float* maps;         // [segments, B, H, K, K]: M, not read of the last one if dht is null
  const int32_t* starts;     // [segments, B]
  float* behind;             // [segments, B, H, V, K] or null
  float* before;             // [B, H, V, K]: D before the first segment, or null
};

constexpr int foldRows = 8, foldGroups = 4;

/// D before a segment is G + D M: eight rows of a head a block, a column of M and a quarter of its rows a thread.
template <int KP>
__global__ void __launch_bounds__(foldGroups* KP) foldKernel(const FoldCall call) {
  constexpr int share = KP / foldGroups, atOnce = 16, ownRows = foldRows / foldGroups;
  __shared__ __align__(16) float adjoint[foldRows][KP];
  __shared__ float sums[foldGroups][foldRows][KP];
  const int column = threadIdx.x, group = threadIdx.y, b = blockIdx.x / call.H, row0 = foldRows * blockIdx.y;
  const int64_t heads = call.B * call.H, bh = blockIdx.x;
  // visit(row of the block, its place in states of all heads)
  const auto eachOwn = [&](auto&& visit) {
#pragma unroll
    for (int i = 0; i < ownRows; i++) {
      const int row = group * ownRows + i;
      if (row0 + row < call.V && column < call.K)
        visit(row, (bh * call.V + row0 + row) * call.K + column);
      else
        adjoint[row][column] = 0.0f;
    }
  };
  bool isZero = call.dht == nullptr;
  eachOwn([&](int row, int64_t place) { adjoint[row][column] = isZero ? 0.0f : call.dht[place]; });
  for (int segment = call.count - 1; segment >= call.first; segment--) {
    const int64_t state = segment * heads * call.V * call.K;
    if (call.behind != nullptr)
      eachOwn([&](int row, int64_t place) { call.behind[state + place] = adjoint[row][column]; });
    // The map of a segment in which a document starts has no meaning.
    const bool meets = !isZero && call.starts[segment * call.B + b] == 0;
    __syncthreads();
    float sum[foldRows] = {};
    if (meets) {
      const float* const map = call.maps + (segment * heads + bh) * call.K * call.K;
#pragma unroll 1
      for (int k0 = group * share; k0 < group * share + share; k0 += atOnce) {
        float m[atOnce];
#pragma unroll
        for (int k = 0; k < atOnce; k++)
          m[k] = k0 + k < call.K && column < call.K ? map[(k0 + k) * call.K + column] : 0.0f;
#pragma unroll
        for (int k = 0; k < atOnce; k += 4)
#pragma unroll
          for (int row = 0; row < foldRows; row++) {
            const float4 x = *reinterpret_cast<const float4*>(&adjoint[row][k0 + k]);
            sum[row] = fmaf(x.x, m[k], fmaf(x.y, m[k + 1], fmaf(x.z, m[k + 2], fmaf(x.w, m[k + 3], sum[row]))));
          }
      }
    }
#pragma unroll
    for (int row = 0; row < foldRows; row++) sums[group][row][column] = sum[row];
    __syncthreads();
    eachOwn([&](int row, int64_t place) {
      float total = call.adjoints[state + place];
#pragma unroll
      for (int i = 0; i < foldGroups; i++) total += sums[i][row][column];
      adjoint[row][column] = total;
    });
    isZero = false;
  }
  if (call.before != nullptr)
    eachOwn([&](int row, int64_t place) { call.before[place] = adjoint[row][column]; });
  else if (call.first > 0)
    eachOwn([&](int row, int64_t place) {
      call.behind[(call.first - 1) * heads * call.V * call.K + place] = adjoint[row][column];
    });
}

cudaError_t fold(const FoldCall& call, cudaStream_t stream) {
  const auto launch = [&](auto kernel, int KP) {
    const dim3 blocks(static_cast<unsigned>(call.B * call.H), (call.V + foldRows - 1) / foldRows);
    kernel<<<blocks, dim3(KP, foldGroups), 0, stream>>>(call);
    return cudaGetLastError();
  };
  if (call.K <= 64) return launch(foldKernel<64>, 64);
  return call.K <= 128 ? launch(foldKernel<128>, 128) : launch(foldKernel<256>, 256);
}

/// The sweep of what the segments from `first` on do to an adjoint, D behind the last one being `dht`.
cudaError_t launchSegments(DeltaSweepCall call, const Segments& segments, const DeltaSegmentStates& states,
                           int first, const float* dht, cudaStream_t stream) {
  call.segmentChunks = static_cast<int>(segments.tokens / tileTokens);
  call.firstSegment = first;
  call.numSegments = segments.count;
  call.dht = nullptr;
  call.adjoints = nullptr;
  call.dv = nullptr;
  call.dh0 = nullptr;
  call.finished = nullptr;
  call.segments = {states.adjoints, states.maps, segments.count - (dht == nullptr), states.starts};
  return launchDeltaBackwardSweep(call, stream);
}

FoldCall foldOf(const DeltaSweepCall& call, const Segments& segments, const DeltaSegmentStates& states,
                int first, const float* dht) {
  return {call.B, call.H,          call.K,      call.V,        first,         segments.count,
          dht,    states.adjoints, states.maps, states.starts, states.behind, nullptr};
}

}  // namespace

Segments deltaSummarySegments(int64_t B, int64_t T, int H, int K, int V) {
  // Of the last segment M is not wanted.
  const int64_t values = blocksOf(B * H, K, V), keys = blocksOf(B * H, K, K);
  return segmentsOf(T, (multiprocessors + keys) / (values + keys));
}

Segments deltaBackwardSegments(int64_t B, int64_t T, int H, int K, int V) {
  // Of the first segment nothing is wanted. Two sweeps of the segments, and a fold, instead of one of all.
  const int64_t blocks = blocksOf(B * H, K, V) + blocksOf(B * H, K, K);
  const Segments segments = segmentsOf(T, 1 + multiprocessors / blocks);
  return segments.count >= 4 ? segments : segmentsOf(T, 1);
}

cudaError_t launchDeltaAdjointSummary(DeltaSweepCall call, const Segments& segments,
                                      const DeltaSegmentStates& states, float* adjoint, cudaStream_t stream) {
  if (segments.count == 1) {
    call.dh0 = adjoint;
    return launchDeltaBackwardSweep(call, stream);
  }
  const cudaError_t error = launchSegments(call, segments, states, 0, nullptr, stream);
  if (error != cudaSuccess) return error;
  FoldCall folded = foldOf(call, segments, states, 0, nullptr);
  folded.before = adjoint;
  return fold(folded, stream);
}

cudaError_t launchDeltaAdjointsBehind(DeltaSweepCall& call, const Segments& segments,
                                      const DeltaSegmentStates& states, cudaStream_t stream) {
  if (segments.count == 1) return cudaSuccess;
  cudaError_t error = launchSegments(call, segments, states, 1, call.dht, stream);
  if (error != cudaSuccess) return error;
  error = fold(foldOf(call, segments, states, 1, call.dht), stream);
  call.segmentChunks = static_cast<int>(segments.tokens / tileTokens);
  call.numSegments = segments.count;
  call.dht = states.behind;
  return error;
}

}  // namespace longscan
