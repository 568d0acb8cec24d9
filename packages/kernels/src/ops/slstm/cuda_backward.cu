#include "cuda/pack.cuh"
#include "cuda_sweeps.h"
#include "cuda_weights.cuh"

namespace longscan {

namespace {

constexpr int mostWarps = 32;

/// A warp has every `warps`-th of the N units before, `units` at most, and of their weights a lane every
/// 32nd.
struct BackwardShape {
  int warps, columns, room;  // columns: of a lane, for each unit

  BackwardShape(int N, int units, int mostShared) {
    warps = N < mostWarps ? N : mostWarps;
    columns = (4 * N + 31) / 32;
    room = roomForWeights(mostShared, vectors(N), 32 * warps, units * columns - ThreadWeights::inRegisters);
  }
  static __host__ __device__ int paddedSums(int N) {
    return (4 * N + 31) / 32 * 32 + 32 * ThreadWeights::inRegisters;
  }
  static __host__ __device__ int vectors(int N) { return paddedSums(N) + N; }
  int bytes(int N) const { return static_cast<int>(sizeof(float)) * (vectors(N) + room * 32 * warps); }
};

/// c, n and m of a unit.
struct Cell {
  float c, n, m;
};

template <typename Element, int units>
__global__ void __launch_bounds__(32 * mostWarps)
    backwardKernel(const LongscanSlstm call, const BackwardShape shape, const LongscanSlstmBackward io,
                   float* dSums) {
  extern __shared__ float memory[];
  const int N = call.N, x = threadIdx.x, lane = x % 32, warp = x / 32;
  const int64_t b = blockIdx.x / call.H, h = blockIdx.x % call.H;
  float* const sumGradients = memory;
  float* const adjoint = memory + BackwardShape::paddedSums(N);  // of h
  const auto weightAt = [&](int i) {
    const int unit = warp + i % units * shape.warps, column = lane + i / units * 32;
    return call.recurrent + (h * N + min(unit, N - 1)) * int64_t{4} * N + min(column, 4 * N - 1);
  };
  ThreadWeights own;
  own.load(units * shape.columns, memory + BackwardShape::vectors(N), shape.room, weightAt);

  const bool hasCell = x < N;
  const float* const last = io.dht ? io.dht + int64_t{blockIdx.x} * 4 * N + x : nullptr;
  float dc = hasCell && last ? last[0] : 0.0f, dn = hasCell && last ? last[N] : 0.0f;
  for (int i = x; i < BackwardShape::paddedSums(N); i += blockDim.x) sumGradients[i] = 0.0f;
  if (hasCell) adjoint[x] = last ? last[3 * N] : 0.0f;
  const auto tokenOf = [&](int64_t t) { return (b * call.T + t) * call.H + h; };
  const auto startsAt = [&](int64_t t) { return call.resets && call.resets[b * call.T + t] != 0; };
  // What token t found.
  const auto cellBefore = [&](int64_t t) -> Cell {
    if (!hasCell || startsAt(t) || (t == 0 && call.h0 == nullptr)) return {0.0f, 0.0f, -INFINITY};
    const float* from =
        t == 0 ? call.h0 + int64_t{blockIdx.x} * 4 * N + x : io.cells + tokenOf(t - 1) * 3 * N + x;
    return {from[0], from[N], from[2 * N]};
  };
  const auto cellOf = [&](int64_t t) -> Cell {
    const float* from = io.cells + tokenOf(t) * 3 * N + x;
    return hasCell ? Cell{from[0], from[N], from[2 * N]} : Cell{};
  };
  Cell cell = cellOf(call.T - 1);
  // Of the token before, on their way while this one is at work.
  float nextGates[4], nextOutput;
  Cell nextBefore;
  const auto load = [&](int64_t t) {
    const int64_t token = tokenOf(t);
    nextBefore = cellBefore(t);
#pragma unroll
    for (int i = 0; i < 4; i++) nextGates[i] = hasCell ? io.sums[(token * 4 + i) * N + x] : 0.0f;
    nextOutput = hasCell ? toFloat(static_cast<const Element*>(io.dH)[token * N + x]) : 0.0f;
  };
  load(call.T - 1);
  __syncthreads();
  for (int64_t t = call.T - 1; t >= 0; t--) {
    const int64_t token = tokenOf(t);
    const bool fresh = startsAt(t);
    const Cell before = nextBefore;
    const float gates[4] = {nextGates[0], nextGates[1], nextGates[2], nextGates[3]}, ofOutput = nextOutput;
    if (t > 0) load(t - 1);
    if (hasCell) {
      const float dh = adjoint[x] + ofOutput;
      const float perCell = __fdividef(1.0f, cell.n), out = sigmoid(gates[3]);
      const float mean = cell.c * perCell, perUnit = dh * out * perCell;
      dc += perUnit;
      dn -= perUnit * mean;
      const float kept = __expf(logSigmoid(gates[1]) + before.m - cell.m);
      const float added = __expf(gates[0] - cell.m);
      const float z = tangent(gates[2]);
      const float gradients[4] = {added * (dc * z + dn),
                                  kept * sigmoid(-gates[1]) * (dc * before.c + dn * before.n),
                                  added * dc * (1.0f - z) * (1.0f + z), dh * mean * out * sigmoid(-gates[3])};
#pragma unroll
      for (int i = 0; i < 4; i++) {
        const int64_t at = (token * 4 + i) * N + x;
        sumGradients[i * N + x] = gradients[i];
        dSums[at] = gradients[i];
        static_cast<Element*>(io.dGates)[at] = fromFloat<Element>(gradients[i]);
      }
      // What came before this document had no part in it.
      dc = fresh ? 0.0f : kept * dc;
      dn = fresh ? 0.0f : kept * dn;
      cell = t > 0 && fresh ? cellOf(t - 1) : before;
    }
    __syncthreads();
    float sums[units] = {};
#pragma unroll
    for (int i = 0; i < ThreadWeights::inRegisters; i++)
      sums[i % units] += own.own[i] * sumGradients[lane + i / units * 32];
#pragma unroll 2
    for (int i = ThreadWeights::inRegisters; i < own.inShared; i += units)
#pragma unroll
      for (int r = 0; r < units; r++)
        if (i + r < own.inShared) sums[r] += own.ofShared(i + r) * sumGradients[lane + i / units * 32];
    for (int i = own.inShared / units; i < shape.columns; i++)
#pragma unroll
      for (int r = 0; r < units; r++)
        if (i * units + r >= own.inShared) sums[r] += *weightAt(i * units + r) * sumGradients[lane + i * 32];
#pragma unroll
    for (int r = 0; r < units; r++) {
#pragma unroll
      for (int distance = 16; distance > 0; distance /= 2) sums[r] += __shfl_xor_sync(~0u, sums[r], distance);
      const int unit = warp + r * shape.warps;
      if (lane == 0 && unit < N) adjoint[unit] = fresh ? 0.0f : sums[r];
    }
    __syncthreads();
  }
  if (!hasCell || io.dh0 == nullptr) return;
  // m is a scale and no variable.
  float* state = io.dh0 + int64_t{blockIdx.x} * 4 * N + x;
  state[0] = dc, state[N] = dn, state[2 * N] = 0.0f, state[3 * N] = adjoint[x];
}

template <typename Element, int units>
cudaError_t launch(const LongscanSlstm& call, const LongscanSlstmBackward& io, float* dSums,
                   cudaStream_t stream) {
  int most = 0;
  cudaError_t error = mostSharedBytes(&most);
  if (error) return error;
  const BackwardShape shape(call.N, units, most);
  const auto kernel = backwardKernel<Element, units>;
  error = cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, shape.bytes(call.N));
  if (error) return error;
  const auto blocks = static_cast<unsigned>(call.B * call.H);
  kernel<<<blocks, 32 * shape.warps, shape.bytes(call.N), stream>>>(call, shape, io, dSums);
  return cudaGetLastError();
}

template <typename Element>
cudaError_t launchOfType(const LongscanSlstm& call, const LongscanSlstmBackward& io, float* dSums,
                         cudaStream_t stream) {
  if (call.N <= mostWarps) return launch<Element, 1>(call, io, dSums, stream);
  if (call.N <= 2 * mostWarps) return launch<Element, 2>(call, io, dSums, stream);
  if (call.N <= 4 * mostWarps) return launch<Element, 4>(call, io, dSums, stream);
  return launch<Element, 8>(call, io, dSums, stream);
}

}  // namespace

cudaError_t launchSlstmBackward(const LongscanSlstm& call, const LongscanSlstmBackward& io, float* dSums,
                                cudaStream_t stream) {
  return call.type == longscanElementBf16 ? launchOfType<__nv_bfloat16>(call, io, dSums, stream)
                                          : launchOfType<float>(call, io, dSums, stream);
}

}  // namespace longscan
