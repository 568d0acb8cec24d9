#include "cuda.h"

#include "cuda/block_sum.cuh"
#include "cuda/halves.cuh"
#include "cuda/pack.cuh"
#include "update.h"

// Bound by memory: 28 bytes a parameter, or 20 with moments in bf16, each read and written once.

namespace longscan {

namespace {

/// Elements of a thread, so that where most has 16 bits accesses are of 16 bytes too.
template <typename Moment>
constexpr int atOnce = sizeof(Moment) == 2 ? 8 : 4;
/// A block's elements are one part of the sum of squares.
template <typename Moment>
constexpr int threads = elementsPerSum / atOnce<Moment>;

struct Task {
  AdamwConstants<float> step;
  LongscanAdamwParameter parameter;
  const float* gradient;
  void *m, *v;
  AdamwRounding rounding;
  const double* clip;
  double* squares;
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

/// Returns the sum of the gradients' squares if that is wanted; what is not finite of them is then not
/// applied.
template <typename Storage, typename Moment, bool takesNorm, int width>
__device__ double update(const Task& task, float factor, int64_t at) {
  auto p = Storage::template load<width>(task.parameter, at);
  const auto gradient = loadPack<width>(task.gradient + at);
  auto m = loadMoment<width>(static_cast<const Moment*>(task.m) + at);
  auto v = loadMoment<width>(static_cast<const Moment*>(task.v) + at);
  double squares = 0;
#pragma unroll
  for (int i = 0; i < width; i++) {
    const float g = gradient.x[i];
    if (takesNorm) squares = fma(static_cast<double>(g), static_cast<double>(g), squares);
    if (!takesNorm || isfinite(g)) updateElement(task.step, g * factor, p.x[i], m.x[i], v.x[i]);
  }
  Storage::template store<width>(task.parameter, at, p);
  storeMoments(task, static_cast<Moment*>(nullptr), at, m, v);
  return squares;
}

/// `isAligned`: packs of `atOnce` may be read from where the arrays begin, and begin with an element whose
/// noise is the first of its block.
template <typename Storage, typename Moment, bool takesNorm>
__global__ void __launch_bounds__(threads<Moment>) adamwKernel(const Task task, bool isAligned) {
  // A gradient's norm was not finite: nothing changes.
  const bool applies = task.clip[2] == 1.0;
  if (!applies && !takesNorm) return;
  const auto factor = static_cast<float>(task.clip[0]);
  const int64_t first = blockIdx.x * elementsPerSum + threadIdx.x * atOnce<Moment>;
  double squares = 0;
  if (applies && isAligned && first + atOnce<Moment> <= task.count) {
    squares = update<Storage, Moment, takesNorm, atOnce<Moment>>(task, factor, first);
  } else if (applies) {
    for (int64_t at = first; at < task.count && at < first + atOnce<Moment>; at++)
      squares += update<Storage, Moment, takesNorm, 1>(task, factor, at);
  }
  if (!takesNorm) return;
  squares = sumOfBlock<threads<Moment>>(squares);
  if (threadIdx.x == 0) task.squares[blockIdx.x] = squares;
}

template <typename Storage, typename Moment>
void launch(const Task& task, cudaStream_t stream) {
  const auto address = [](const void* memory) { return reinterpret_cast<uintptr_t>(memory); };
  // Packs of what has 16 bits have half the bytes.
  const uintptr_t moments = (address(task.m) | address(task.v)) * (sizeof(float) / sizeof(Moment));
  const uintptr_t halves = (address(task.parameter.high) | address(task.parameter.low)) * 2;
  const uintptr_t addresses = moments | halves | address(task.parameter.whole) | address(task.gradient);
  const bool isAligned =
      addresses % (sizeof(float) * atOnce<Moment>) == 0 &&
      (sizeof(Moment) == sizeof(float) || task.rounding.firstElement % elementsPerNoise == 0);
  const auto blocks = static_cast<unsigned>((task.count + elementsPerSum - 1) / elementsPerSum);
  const auto kernel =
      task.squares == nullptr ? adamwKernel<Storage, Moment, false> : adamwKernel<Storage, Moment, true>;
  kernel<<<blocks, threads<Moment>, 0, stream>>>(task, isAligned);
}

}  // namespace

}  // namespace longscan

using namespace longscan;

int longscanAdamw(const LongscanAdamw* step, const LongscanAdamwParameter* parameter,
                  const LongscanAdamwMoments* moments, const float* gradient, const double* clip,
                  double* squares, int64_t count, CUstream_st* stream) {
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
                  squares,
                  count};
  const bool isWhole = parameter->whole != nullptr;
  if (moments->areBf16) {
    isWhole ? launch<Whole, uint16_t>(task, stream) : launch<InHalves, uint16_t>(task, stream);
  } else {
    isWhole ? launch<Whole, float>(task, stream) : launch<InHalves, float>(task, stream);
  }
  return cudaGetLastError();
}
