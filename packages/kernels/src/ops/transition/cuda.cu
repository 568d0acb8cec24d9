#include "cuda.h"

#include "../../cuda/elements.cuh"
#include "apply.cuh"

namespace longscan {

namespace {

using Task = LongscanTransition;

/// Elements of identity, scalar, diagonal, expDiagonal.
template <TransitionKind kind>
struct ApplyElement {
  Task task;
  int64_t first;
  __device__ void operator()(int64_t i) const {
    const int64_t at = first + i, row = at / task.rowLength, head = row / task.rowsPerHead;
    task.out[at] =
        applyElement(isReset(task, head), elementFactor<kind>(task, head, at - row * task.rowLength),
                     task.S[at], task.E[at]);
  }
};

/// Pairs (re, im) of fixedComplex. Read one by one: a segment may lie anywhere in a message of several.
struct ApplyComplex {
  Task task;
  int64_t first;  // in pairs
  __device__ void operator()(int64_t i) const {
    const int64_t at = 2 * (first + i), row = at / task.rowLength, head = row / task.rowsPerHead;
    const float2 out = applyComplex(task, head, at - row * task.rowLength, {task.S[at], task.S[at + 1]},
                                    {task.E[at], task.E[at + 1]});
    task.out[at] = out.x;
    task.out[at + 1] = out.y;
  }
};

/// A row of logMax each warp.
__global__ void logMaxKernel(Task task, int64_t begin, int64_t end) {
  const int64_t row = begin + int64_t{blockIdx.x} * (blockDim.x / 32) + threadIdx.x / 32;
  if (row >= end) return;
  const int64_t at = row * task.rowLength, last = task.rowLength - 1;
  const LogMaxRow rows(task, row / task.rowsPerHead, task.S[at + last], task.E[at + last]);
  __syncwarp();  // `out` may be `S`
  for (int64_t i = threadIdx.x % 32; i < last; i += 32)
    task.out[at + i] = rows.apply(task.S[at + i], task.E[at + i]);
  if (threadIdx.x % 32 == 0) task.out[at + last] = rows.m;
}

/// Rows of a matrix product that one block computes.
constexpr int denseRows = 8;
constexpr int denseThreads = 128;

/// out [rows, N] = (add or 0) + rows [rows, N] times F [N, N] or its transpose; one head, `denseRows` rows
/// each block. The rows are copied first, so `out` may be what they come from. Sums run in one order,
/// whatever the launch.
__device__ void multiplyRows(const float* rows, const float* F, bool transposed, const float* add, float* out,
                             int64_t count, int64_t N) {
  extern __shared__ float copies[];  // [denseRows, N]
  for (int64_t i = threadIdx.x; i < count * N; i += denseThreads) copies[i] = rows[i];
  __syncthreads();
  for (int64_t column = threadIdx.x; column < N; column += denseThreads) {
    float sums[denseRows];
#pragma unroll
    for (int r = 0; r < denseRows; r++) sums[r] = add != nullptr && r < count ? add[r * N + column] : 0.0f;
    for (int64_t k = 0; k < N; k++) {
      const float f = transposed ? F[column * N + k] : F[k * N + column];
#pragma unroll
      for (int r = 0; r < denseRows; r++) sums[r] += copies[r * N + k] * f;
    }
#pragma unroll
    for (int r = 0; r < denseRows; r++) {
      if (r < count) out[r * N + column] = sums[r];
    }
  }
}

__global__ void __launch_bounds__(denseThreads) denseKernel(Task task, int64_t begin, int64_t end) {
  const int64_t head = begin / task.rowsPerHead + blockIdx.y, N = task.rowLength;
  const int64_t headBegin = max(begin, head * task.rowsPerHead);
  const int64_t first = headBegin + int64_t{blockIdx.x} * denseRows;
  const int64_t limit = min(end, (head + 1) * task.rowsPerHead);
  if (first >= limit) return;
  const int64_t count = min(int64_t{denseRows}, limit - first), at = first * N;
  if (isReset(task, head)) {
    for (int64_t i = threadIdx.x; i < count * N; i += denseThreads) task.out[at + i] = task.E[at + i];
    return;
  }
  multiplyRows(task.S + at, task.factor + head * N * N, task.transposed != 0, task.E + at, task.out + at,
               count, N);
}

__global__ void __launch_bounds__(denseThreads)
    composeDenseKernel(const float* first, const float* second, float* out, int64_t N) {
  const int64_t matrix = blockIdx.y * N * N, row = int64_t{blockIdx.x} * denseRows, at = matrix + row * N;
  multiplyRows(first + at, second + matrix, false, nullptr, out + at, min(int64_t{denseRows}, N - row), N);
}

struct MultiplyFactors {
  const float *earlier, *later;
  float* out;
  __device__ void operator()(int64_t i) const { out[i] = earlier[i] * later[i]; }
};

struct AddFactors {
  const float *earlier, *later;
  float* out;
  __device__ void operator()(int64_t i) const { out[i] = earlier[i] + later[i]; }
};

struct MultiplyComplexFactors {
  const float *earlier, *later;
  float* out;
  __device__ void operator()(int64_t i) const {
    const float aRe = earlier[2 * i], aIm = earlier[2 * i + 1], bRe = later[2 * i], bIm = later[2 * i + 1];
    out[2 * i] = aRe * bRe - aIm * bIm;
    out[2 * i + 1] = aRe * bIm + aIm * bRe;
  }
};

unsigned blocksFor(int64_t count, int64_t perBlock) {
  return static_cast<unsigned>((count + perBlock - 1) / perBlock);
}

template <TransitionKind kind>
cudaError_t applyElements(const Task& task, int64_t begin, int64_t end, cudaStream_t stream) {
  const ApplyElement<kind> body{task, begin * task.rowLength};
  return forEachElement((end - begin) * task.rowLength, body, stream);
}

cudaError_t apply(const Task& task, int64_t begin, int64_t end, cudaStream_t stream) {
  const int64_t N = task.rowLength;
  switch (static_cast<TransitionKind>(task.kind)) {
    case TransitionKind::identity:
      return applyElements<TransitionKind::identity>(task, begin, end, stream);
    case TransitionKind::scalar:
      return applyElements<TransitionKind::scalar>(task, begin, end, stream);
    case TransitionKind::diagonal:
      return applyElements<TransitionKind::diagonal>(task, begin, end, stream);
    case TransitionKind::expDiagonal:
      return applyElements<TransitionKind::expDiagonal>(task, begin, end, stream);
    case TransitionKind::fixedComplex:
      return forEachElement((end - begin) * N / 2, ApplyComplex{task, begin * N / 2}, stream);
    case TransitionKind::logMax:
      logMaxKernel<<<blocksFor(end - begin, 4), 128, 0, stream>>>(task, begin, end);
      return cudaGetLastError();
    case TransitionKind::dense: {
      const int64_t numHeads = (end - 1) / task.rowsPerHead - begin / task.rowsPerHead + 1;
      const dim3 grid(blocksFor(task.rowsPerHead, denseRows), static_cast<unsigned>(numHeads));
      denseKernel<<<grid, denseThreads, denseRows * N * sizeof(float), stream>>>(task, begin, end);
      return cudaGetLastError();
    }
  }
  return cudaErrorInvalidValue;
}

cudaError_t compose(TransitionKind kind, bool transposed, int64_t numHeads, int64_t N, const float* earlier,
                    const float* later, float* out, cudaStream_t stream) {
  switch (kind) {
    case TransitionKind::identity:
      return cudaSuccess;
    case TransitionKind::scalar:
      return forEachElement(numHeads, MultiplyFactors{earlier, later, out}, stream);
    case TransitionKind::diagonal:
      return forEachElement(numHeads * N, MultiplyFactors{earlier, later, out}, stream);
    case TransitionKind::expDiagonal:
    case TransitionKind::logMax:
      return forEachElement(numHeads, AddFactors{earlier, later, out}, stream);
    case TransitionKind::fixedComplex:
      return forEachElement(numHeads * N / 2, MultiplyComplexFactors{earlier, later, out}, stream);
    case TransitionKind::dense: {
      const dim3 grid(blocksFor(N, denseRows), static_cast<unsigned>(numHeads));
      // Applied as transposes, row Fe' Fl' = row (Fl Fe)'.
      composeDenseKernel<<<grid, denseThreads, denseRows * N * sizeof(float), stream>>>(
          transposed ? later : earlier, transposed ? earlier : later, out, N);
      return cudaGetLastError();
    }
  }
  return cudaErrorInvalidValue;
}

}  // namespace

}  // namespace longscan

using namespace longscan;

int longscanTransitionApply(const LongscanTransition* task, int64_t begin, int64_t end, CUstream_st* stream) {
  return begin == end ? cudaSuccess : apply(*task, begin, end, stream);
}

int longscanTransitionCompose(int kind, int transposed, int64_t numHeads, int64_t rowLength,
                              const float* earlier, const float* later, float* out, CUstream_st* stream) {
  return compose(static_cast<TransitionKind>(kind), transposed != 0, numHeads, rowLength, earlier, later, out,
                 stream);
}
