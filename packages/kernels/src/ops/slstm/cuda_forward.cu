#include "cuda/pack.cuh"
#include "cuda_sweeps.h"
#include "cuda_weights.cuh"

namespace longscan {

namespace {

constexpr int mostThreads = 1024;

/// A thread has one of the 4N sums over some of the N units before; `slices` threads share a sum.
struct ForwardShape {
  int slices, perSlice, threads, room;

  ForwardShape(int N, int mostShared) {
    slices = mostThreads / (4 * N);
    if (slices > N) slices = N;
    perSlice = (N + slices - 1) / slices;
    threads = (4 * N * slices + 31) / 32 * 32;
    room = roomForWeights(mostShared, vectors(N), threads, perSlice - ThreadWeights::inRegisters);
  }
  /// Numbers of h, with room behind for reads past its end, and of the slices' sums.
  __host__ __device__ int vectors(int N) const { return paddedUnits(N) + slices * 4 * N; }
  static __host__ __device__ int paddedUnits(int N) { return N + ThreadWeights::inRegisters; }
  int bytes(int N) const { return static_cast<int>(sizeof(float)) * (vectors(N) + room * threads); }
};

template <typename Element>
__global__ void __launch_bounds__(mostThreads)
    forwardKernel(const LongscanSlstm call, const ForwardShape shape, const LongscanSlstmForward io) {
  extern __shared__ float memory[];
  const int N = call.N, x = threadIdx.x;
  const int64_t b = blockIdx.x / call.H, h = blockIdx.x % call.H;
  float* const before = memory;
  float* const partial = memory + ForwardShape::paddedUnits(N);
  const int column = x % (4 * N), slice = x / (4 * N), firstUnit = slice * shape.perSlice;
  const int count = slice < shape.slices ? max(0, min(shape.perSlice, N - firstUnit)) : 0;
  const float* const weights = call.recurrent + (h * N + firstUnit) * 4 * N + column;
  ThreadWeights own;
  own.load(count, memory + shape.vectors(N), shape.room, [&](int i) { return weights + int64_t{i} * 4 * N; });

  const bool hasCell = x < N;
  float c = 0.0f, n = 0.0f, m = -INFINITY;
  for (int i = x; i < ForwardShape::paddedUnits(N); i += blockDim.x)
    before[i] = i < N && call.h0 ? call.h0[(blockIdx.x * 4 + 3) * int64_t{N} + i] : 0.0f;
  if (hasCell && call.h0) {
    const float* state = call.h0 + int64_t{blockIdx.x} * 4 * N + x;
    c = state[0], n = state[N], m = state[2 * N];
  }
  // Of the next token, on their way while this one is at work.
  float next[4];
  bool nextFresh;
  const auto load = [&](int64_t t) {
    const int64_t at = ((b * call.T + t) * call.H + h) * 4 * N + x;
#pragma unroll
    for (int i = 0; i < 4; i++)
      next[i] = hasCell ? toFloat(static_cast<const Element*>(call.gates)[at + i * N]) : 0.0f;
    nextFresh = call.resets && call.resets[b * call.T + t] != 0;
  };
  load(0);
  __syncthreads();
  for (int64_t t = 0; t < call.T; t++) {
    float gates[4] = {next[0], next[1], next[2], next[3]};
    const bool fresh = nextFresh;
    if (t + 1 < call.T) load(t + 1);
    if (slice < shape.slices) {
      float sums[4] = {};
#pragma unroll
      for (int i = 0; i < ThreadWeights::inRegisters; i++) sums[i % 4] += own.own[i] * before[firstUnit + i];
#pragma unroll 4
      for (int i = ThreadWeights::inRegisters; i < own.inShared; i++)
        sums[i % 4] += own.ofShared(i) * before[firstUnit + i];
#pragma unroll 4
      for (int i = own.inShared; i < count; i++)
        sums[i % 4] += weights[int64_t{i} * 4 * N] * before[firstUnit + i];
      partial[slice * 4 * N + column] = (sums[0] + sums[1]) + (sums[2] + sums[3]);
    }
    __syncthreads();
    if (hasCell) {
      const int64_t token = (b * call.T + t) * call.H + h;
      // Selected: what another document left may be anything.
      if (fresh) c = 0.0f, n = 0.0f, m = -INFINITY;
      float recurrent[4] = {};
      for (int slice = 0; slice < shape.slices; slice++)
#pragma unroll
        for (int i = 0; i < 4; i++) recurrent[i] += partial[(slice * 4 + i) * N + x];
#pragma unroll
      for (int i = 0; i < 4; i++) {
        if (!fresh) gates[i] += recurrent[i];
        io.sums[(token * 4 + i) * N + x] = gates[i];
      }
      const float keep = logSigmoid(gates[1]) + m;
      m = keep > gates[0] ? keep : gates[0];
      const float kept = __expf(keep - m), added = __expf(gates[0] - m);
      c = kept * c + added * tangent(gates[2]);
      n = kept * n + added;
      const float out = __fdividef(sigmoid(gates[3]) * c, n);
      before[x] = out;
      float* cells = io.cells + token * 3 * N + x;
      cells[0] = c, cells[N] = n, cells[2 * N] = m;
      static_cast<Element*>(io.h)[token * N + x] = fromFloat<Element>(out);
    }
    __syncthreads();
  }
  if (!hasCell || io.ht == nullptr) return;
  float* state = io.ht + int64_t{blockIdx.x} * 4 * N + x;
  state[0] = c, state[N] = n, state[2 * N] = m, state[3 * N] = before[x];
}

}  // namespace

cudaError_t launchSlstmForward(const LongscanSlstm& call, const LongscanSlstmForward& io,
                               cudaStream_t stream) {
  int most = 0;
  cudaError_t error = mostSharedBytes(&most);
  if (error) return error;
  const ForwardShape shape(call.N, most);
  const auto kernel = call.type == longscanElementBf16 ? forwardKernel<__nv_bfloat16> : forwardKernel<float>;
  error = cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, shape.bytes(call.N));
  if (error) return error;
  const auto blocks = static_cast<unsigned>(call.B * call.H);
  kernel<<<blocks, shape.threads, shape.bytes(call.N), stream>>>(call, shape, io);
  return cudaGetLastError();
}

}  // namespace longscan
