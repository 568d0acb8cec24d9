#include "cuda.h"

#include "cuda/pack.cuh"

// Bound by memory: 28 bytes a parameter, 30 with a working copy, each read and written once, 16 at a time.

namespace longscan {

namespace {

constexpr int threads = 256;
constexpr int atOnce = 4;

struct Task {
  LongscanAdamw step;
  float* parameter;
  const float* gradient;
  float *m, *v;
  const double* clip;
  __nv_bfloat16* working;
  int64_t count;
};

template <int width>
__device__ void update(const Task& task, float factor, int64_t at) {
  const LongscanAdamw& step = task.step;
  auto p = loadPack<width>(task.parameter + at);
  const auto gradient = loadPack<width>(task.gradient + at);
  auto m = loadPack<width>(task.m + at), v = loadPack<width>(task.v + at);
#pragma unroll
  for (int i = 0; i < width; i++) {
    const float g = gradient.x[i] * factor;
    m.x[i] = step.beta1 * m.x[i] + step.rest1 * g;
    v.x[i] = step.beta2 * v.x[i] + step.rest2 * g * g;
    // p - decay * p and not p * (1 - decay): a small decay must not be rounded into the factor.
    const float change = step.rate * m.x[i] / (sqrtf(v.x[i] * step.correction2) + step.eps);
    p.x[i] -= step.decay * p.x[i] + change;
  }
  storePack<width>(task.parameter + at, p);
  storePack<width>(task.m + at, m);
  storePack<width>(task.v + at, v);
  if (task.working == nullptr) return;
  Pack<__nv_bfloat16, width> rounded;
#pragma unroll
  for (int i = 0; i < width; i++) rounded.x[i] = fromFloat<__nv_bfloat16>(p.x[i]);
  storePack<width>(task.working + at, rounded);
}

/// `isAligned`: packs of `atOnce` may be read from where the arrays begin.
__global__ void __launch_bounds__(threads) adamwKernel(const Task task, bool isAligned) {
  // The gradient's norm is not finite: nothing changes.
  if (task.clip[2] != 1.0) return;
  const auto factor = static_cast<float>(task.clip[0]);
  const int64_t first = (static_cast<int64_t>(blockIdx.x) * threads + threadIdx.x) * atOnce;
  if (isAligned && first + atOnce <= task.count) {
    update<atOnce>(task, factor, first);
  } else {
    for (int64_t at = first; at < task.count && at < first + atOnce; at++) update<1>(task, factor, at);
  }
}

}  // namespace

}  // namespace longscan

using namespace longscan;

int longscanAdamw(const LongscanAdamw* step, float* parameter, const float* gradient, float* m, float* v,
                  const double* clip, void* working, int64_t count, CUstream_st* stream) {
  if (count == 0) return cudaSuccess;
  const Task task{*step, parameter, gradient, m, v, clip, static_cast<__nv_bfloat16*>(working), count};
  uintptr_t addresses = reinterpret_cast<uintptr_t>(working) * 2;  // its packs have half the bytes
  for (const void* memory : {static_cast<const void*>(parameter), static_cast<const void*>(gradient),
                             static_cast<const void*>(m), static_cast<const void*>(v)})
    addresses |= reinterpret_cast<uintptr_t>(memory);
  const int64_t perBlock = threads * atOnce;
  adamwKernel<<<static_cast<unsigned>((count + perBlock - 1) / perBlock), threads, 0, stream>>>(
      task, addresses % 16 == 0);
  return cudaGetLastError();
}
