#include "cuda.h"

#include "cuda/halves.cuh"
#include "cuda/pack.cuh"
#include "update.h"

// Bound by memory: 28 bytes a parameter, or 20 with moments in bf16, each read and written once, 16 at a
// time, or 8 of what has 16 bits.

namespace longscan {

namespace {

constexpr int threads = 256;
#ifndef LONGSCAN_ADAMW_AT_ONCE
#define LONGSCAN_ADAMW_AT_ONCE 4
#endif
constexpr int atOnce = LONGSCAN_ADAMW_AT_ONCE;

struct Task {
  AdamwConstants<float> step;
  LongscanAdamwParameter parameter;
  const float* gradient;
  void *m, *v;
  AdamwRounding rounding;
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

template <int width>
__device__ Pack<float, width> loadMoment(const float* from) {
  return loadPack<width>(from);
}
template <int width>
__device__ Pack<float, width> loadMoment(const uint16_t* from) {
  const auto rounded = loadPack<width>(from);
  Pack<float, width> values;
#pragma unroll
  for (int i = 0; i < width; i++) values.x[i] = widened(rounded.x[i]);
  return values;
}

template <int width>
__device__ void storeMoments(const Task& task, float*, int64_t at, const Pack<float, width>& m,
                             const Pack<float, width>& v) {
  storePack<width>(static_cast<float*>(task.m) + at, m);
  storePack<width>(static_cast<float*>(task.v) + at, v);
}
template <int width>
__device__ void storeMoments(const Task& task, uint16_t*, int64_t at, const Pack<float, width>& m,
                             const Pack<float, width>& v) {
  const int64_t element = task.rounding.firstElement + at;
  Pack<uint16_t, width> first, second;
  RandomWords noise;
#pragma unroll
  for (int i = 0; i < width; i++) {
    if (i % elementsPerNoise == 0) noise = roundingNoise(task.rounding, (element + i) / elementsPerNoise);
    const uint32_t word = noise.words[width == 1 ? element % elementsPerNoise : i % elementsPerNoise];
    first.x[i] = roundedByNoise(m.x[i], word & 0xffff);
    second.x[i] = roundedByNoise(v.x[i], word >> 16);
  }
  storePack<width>(static_cast<uint16_t*>(task.m) + at, first);
  storePack<width>(static_cast<uint16_t*>(task.v) + at, second);
}

template <typename Storage, typename Moment, int width>
__device__ void update(const Task& task, float factor, int64_t at) {
  auto p = Storage::template load<width>(task.parameter, at);
  const auto gradient = loadPack<width>(task.gradient + at);
  auto m = loadMoment<width>(static_cast<const Moment*>(task.m) + at);
  auto v = loadMoment<width>(static_cast<const Moment*>(task.v) + at);
#pragma unroll
  for (int i = 0; i < width; i++) updateElement(task.step, gradient.x[i] * factor, p.x[i], m.x[i], v.x[i]);
  Storage::template store<width>(task.parameter, at, p);
  storeMoments(task, static_cast<Moment*>(nullptr), at, m, v);
}

/// `isAligned`: packs of `atOnce` may be read from where the arrays begin, and begin with an element whose
/// noise is the first of its block.
template <typename Storage, typename Moment>
__global__ void __launch_bounds__(threads) adamwKernel(const Task task, bool isAligned) {
  // The gradient's norm is not finite: nothing changes.
  if (task.clip[2] != 1.0) return;
  const auto factor = static_cast<float>(task.clip[0]);
  const int64_t first = (static_cast<int64_t>(blockIdx.x) * threads + threadIdx.x) * atOnce;
  if (isAligned && first + atOnce <= task.count) {
    update<Storage, Moment, atOnce>(task, factor, first);
  } else {
    for (int64_t at = first; at < task.count && at < first + atOnce; at++)
      update<Storage, Moment, 1>(task, factor, at);
  }
}

template <typename Storage>
auto kernelOf(const LongscanAdamwMoments& moments) {
  return moments.areBf16 ? adamwKernel<Storage, uint16_t> : adamwKernel<Storage, float>;
}

}  // namespace

}  // namespace longscan

using namespace longscan;

int longscanAdamw(const LongscanAdamw* step, const LongscanAdamwParameter* parameter,
                  const LongscanAdamwMoments* moments, const float* gradient, const double* clip,
                  int64_t count, CUstream_st* stream) {
  if (count == 0) return cudaSuccess;
  const AdamwRounding rounding{{{moments->key[0], moments->key[1]}}, moments->step, moments->firstElement};
  const Task task{{step->beta1, step->beta2, step->rest1, step->rest2, step->rate, step->correction2,
                   step->eps, step->decay},
                  *parameter,
                  gradient,
                  moments->m,
                  moments->v,
                  rounding,
                  clip,
                  count};
  const auto address = [](const void* memory) { return reinterpret_cast<uintptr_t>(memory); };
  // Packs of what has 16 bits have half the bytes.
  const uintptr_t momentAddresses = address(moments->m) | address(moments->v);
  const uintptr_t halves = address(parameter->high) | address(parameter->low);
  const uintptr_t addresses = 2 * halves | address(parameter->whole) | address(gradient) |
                              (moments->areBf16 ? 2 * momentAddresses : momentAddresses);
  const bool isAligned =
      addresses % (4 * atOnce) == 0 && (!moments->areBf16 || moments->firstElement % elementsPerNoise == 0);
  const int64_t perBlock = threads * atOnce;
  const auto kernel = parameter->whole == nullptr ? kernelOf<InHalves>(*moments) : kernelOf<Whole>(*moments);
  kernel<<<static_cast<unsigned>((count + perBlock - 1) / perBlock), threads, 0, stream>>>(task, isAligned);
  return cudaGetLastError();
}
