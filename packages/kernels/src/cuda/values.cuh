#pragma once

#include "pack.cuh"

// Neighbours of an array of f32 or bf16, as f32 in a thread: one, or eight in accesses of 16 bytes.

namespace longscan {

template <int width>
struct Values {
  static_assert(width == 1 || width == 8);
  float x[width];
};

constexpr int valuesAtOnce = 8;

/// Numbers in an access of at most 16 bytes.
template <typename Element, int width>
constexpr int valuesPerAccess = width * sizeof(Element) > 16 ? 16 / sizeof(Element) : width;

template <int width, typename Element>
__device__ inline Values<width> loadValues(const Element* from) {
  constexpr int each = valuesPerAccess<Element, width>;
  Values<width> values;
#pragma unroll
  for (int first = 0; first < width; first += each) {
    const auto pack = loadPack<each>(from + first);
#pragma unroll
    for (int i = 0; i < each; i++) values.x[first + i] = toFloat(pack.x[i]);
  }
  return values;
}

template <int width, typename Element>
__device__ inline void storeValues(Element* to, const Values<width>& values) {
  constexpr int each = valuesPerAccess<Element, width>;
#pragma unroll
  for (int first = 0; first < width; first += each) {
    Pack<Element, each> pack;
#pragma unroll
    for (int i = 0; i < each; i++) pack.x[i] = fromFloat<Element>(values.x[first + i]);
    storePack<each>(to + first, pack);
  }
}

/// f(x, ...), number by number.
template <typename Function, int width, typename... More>
__device__ inline Values<width> mapValues(const Function& f, const Values<width>& first,
                                          const More&... more) {
  Values<width> results;
#pragma unroll
  for (int i = 0; i < width; i++) results.x[i] = f(first.x[i], more.x[i]...);
  return results;
}

}  // namespace longscan
