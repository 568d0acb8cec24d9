#include "cuda.h"

#include "cuda/halves.cuh"
#include "cuda/pack.cuh"

// Bound by memory: 28 bytes a parameter, each read and written once, 16 at a time, or 8 of a half.

namespace longscan {

namespace {

constexpr int threads = 256;
constexpr int atOnce = 4;

struct Task {
  LongscanAdamw step;
  LongscanAdamwParameter parameter;
  const float* gradient;
  float *m, *v;
  const double* clip;
  int64_t count;
};

/// Reads parameters where they are whole.
struct Whole {
  template <int width>
  static __device__ Pack<float, width> load(const LongscanAdamwParameter& from, int64_t at) {
    return loadPack<width>(from.whole + at);
  }
  template <int width>
  static __device__ void store(const LongscanAdamwParameter& to, int64_t at, const Pack<float, width>& p) {
    storePack<width>(to.whole + at, p);
  }
};

/// And where they are in halves.
struct InHalves {
  template <int width>
  static __device__ Pack<float, width> load(const LongscanAdamwParameter& from, int64_t at) {
    const auto high = loadPack<width>(from.high + at), low = loadPack<width>(from.low + at);
    Pack<float, width> p;
#pragma unroll
    for (int i = 0; i < width; i++) p.x[i] = joinedHalves(high.x[i], low.x[i]);
    return p;
  }
  template <int width>
  static __device__ void store(const LongscanAdamwParameter& to, int64_t at, const Pack<float, width>& p) {
    Pack<uint16_t, width> high, low;
#pragma unroll
    for (int i = 0; i < width; i++) splitInHalves(p.x[i], high.x[i], low.x[i]);
    storePack<width>(to.high + at, high);
    storePack<width>(to.low + at, low);
  }
};

template <typename Storage, int width>
__device__ void update(const Task& task, float factor, int64_t at) {
  const LongscanAdamw& step = task.step;
  auto p = Storage::template load<width>(task.parameter, at);
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
  Storage::template store<width>(task.parameter, at, p);
  storePack<width>(task.m + at, m);
  storePack<width>(task.v + at, v);
}

/// `isAligned`: packs of `atOnce` may be read from where the arrays begin.
template <typename Storage>
__global__ void __launch_bounds__(threads) adamwKernel(const Task task, bool isAligned) {
  // The gradient's norm is not finite: nothing changes.
  if (task.clip[2] != 1.0) return;
  const auto factor = static_cast<float>(task.clip[0]);
  const int64_t first = (static_cast<int64_t>(blockIdx.x) * threads + threadIdx.x) * atOnce;
  if (isAligned && first + atOnce <= task.count) {
    update<Storage, atOnce>(task, factor, first);
  } else {
    for (int64_t at = first; at < task.count && at < first + atOnce; at++)
      update<Storage, 1>(task, factor, at);
  }
}

}  // namespace

}  // namespace longscan

using namespace longscan;

int longscanAdamw(const LongscanAdamw* step, const LongscanAdamwParameter* parameter, const float* gradient,
                  float* m, float* v, const double* clip, int64_t count, CUstream_st* stream) {
  if (count == 0) return cudaSuccess;
  const Task task{*step, *parameter, gradient, m, v, clip, count};
  uintptr_t addresses = 0;
  // Packs of a half have half the bytes.
  for (const void* half : {parameter->high, parameter->low})
    addresses |= reinterpret_cast<uintptr_t>(half) * 2;
  for (const void* memory : {static_cast<const void*>(parameter->whole), static_cast<const void*>(gradient),
                             static_cast<const void*>(m), static_cast<const void*>(v)})
    addresses |= reinterpret_cast<uintptr_t>(memory);
  const int64_t perBlock = threads * atOnce;
  const auto kernel = parameter->whole == nullptr ? adamwKernel<InHalves> : adamwKernel<Whole>;
  kernel<<<static_cast<unsigned>((count + perBlock - 1) / perBlock), threads, 0, stream>>>(
      task, addresses % 16 == 0);
  return cudaGetLastError();
}
