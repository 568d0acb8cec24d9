#include "cuda.h"

#include "cuda/elements.cuh"
#include "cuda/pack.cuh"
#include "cuda_formulas.cuh"

namespace longscan {

namespace {

constexpr int threads = 256;
/// That a thread has on their way at once.
constexpr int packsAtOnce = 2;

template <typename Element>
struct Forward {
  static constexpr int numInputs = 2, numOutputs = 1;
  const Element* inputs[numInputs];  // gate, up
  Element* outputs[numOutputs];      // y
  static constexpr __device__ bool readsRows(int) { return true; }
  static constexpr __device__ bool writesRows(int) { return false; }

  static __device__ void apply(const float (&in)[numInputs], float (&out)[numOutputs]) {
    out[0] = SwigluPoint(in[0], in[1]).product();
  }
};

template <typename Element>
struct Backward {
  static constexpr int numInputs = 3, numOutputs = 2;
  const Element* inputs[numInputs];  // dy, gate, up
  Element* outputs[numOutputs];      // dgate, dup
  static constexpr __device__ bool readsRows(int input) { return input > 0; }
  static constexpr __device__ bool writesRows(int) { return true; }

  static __device__ void apply(const float (&in)[numInputs], float (&out)[numOutputs]) {
    const SwigluPoint point(in[1], in[2]);
    out[0] = point.dgate(in[0]);
    out[1] = point.dup(in[0]);
  }
};

/// And what the forward pass gave.
template <typename Element>
struct BackwardAndForward {
  static constexpr int numInputs = 3, numOutputs = 3;
  const Element* inputs[numInputs];  // dy, gate, up
  Element* outputs[numOutputs];      // dgate, dup, y
  static constexpr __device__ bool readsRows(int input) { return input > 0; }
  static constexpr __device__ bool writesRows(int output) { return output < 2; }

  static __device__ void apply(const float (&in)[numInputs], float (&out)[numOutputs]) {
    const SwigluPoint point(in[1], in[2]);
    out[0] = point.dgate(in[0]);
    out[1] = point.dup(in[0]);
    out[2] = point.product();
  }
};

template <typename Element, int width, typename Pass>
__device__ void applyPack(const Pack<Element, width> (&in)[Pass::numInputs],
                          Pack<Element, width> (&out)[Pass::numOutputs]) {
#pragma unroll
  for (int k = 0; k < width; k++) {
    float from[Pass::numInputs], to[Pass::numOutputs];
#pragma unroll
    for (int i = 0; i < Pass::numInputs; i++) from[i] = toFloat(in[i].x[k]);
    Pass::apply(from, to);
#pragma unroll
    for (int o = 0; o < Pass::numOutputs; o++) out[o].x[k] = fromFloat<Element>(to[o]);
  }
}

/// Element `at` of gate and up, which have so many packs a row and lie side by side in rows of twice as many.
template <int width>
__device__ int64_t placeInRows(int64_t at, uint32_t packsPerRow) {
  const uint32_t row = static_cast<uint32_t>(at / width) / packsPerRow;
  return at + static_cast<int64_t>(row) * packsPerRow * width;
}

/// `packsPerRow`: 0 where gate and up lie by themselves.
template <typename Element, typename Pass>
__global__ void __launch_bounds__(threads)
    swigluKernel(int64_t count, const Pass pass, uint32_t packsPerRow) {
  constexpr int width = 16 / sizeof(Element);
  const int64_t begin = (static_cast<int64_t>(blockIdx.x) * packsAtOnce * threads + threadIdx.x) * width;
  Pack<Element, width> in[packsAtOnce][Pass::numInputs];
#pragma unroll
  for (int p = 0; p < packsAtOnce; p++) {
    const int64_t at = begin + p * threads * width;
    const int64_t inRows = packsPerRow == 0 ? at : placeInRows<width>(at, packsPerRow);
#pragma unroll
    for (int i = 0; i < Pass::numInputs; i++)
      if (at + width <= count)
        in[p][i] = loadPack<width>(pass.inputs[i] + (Pass::readsRows(i) ? inRows : at));
  }
#pragma unroll
  for (int p = 0; p < packsAtOnce; p++) {
    const int64_t at = begin + p * threads * width;
    if (at + width <= count) {
      Pack<Element, width> out[Pass::numOutputs];
      applyPack<Element, width, Pass>(in[p], out);
      const int64_t inRows = packsPerRow == 0 ? at : placeInRows<width>(at, packsPerRow);
#pragma unroll
      for (int o = 0; o < Pass::numOutputs; o++)
        storePack<width>(pass.outputs[o] + (Pass::writesRows(o) ? inRows : at), out[o]);
      continue;
    }
    // What is left at the end; rows have nothing left.
    for (int64_t one = at; one < count; one++) {
      Pack<Element, 1> single[Pass::numInputs], out[Pass::numOutputs];
#pragma unroll
      for (int i = 0; i < Pass::numInputs; i++) single[i] = loadPack<1>(pass.inputs[i] + one);
      applyPack<Element, 1, Pass>(single, out);
#pragma unroll
      for (int o = 0; o < Pass::numOutputs; o++) storePack<1>(pass.outputs[o] + one, out[o]);
    }
  }
}

template <typename Element, typename Pass>
cudaError_t launch(const LongscanSwiglu& call, const Pass& pass, cudaStream_t stream) {
  const int64_t count = call.count;
  if (count == 0) return cudaSuccess;
  constexpr int64_t width = 16 / sizeof(Element), perBlock = packsAtOnce * threads * width;
  const auto packsPerRow = static_cast<uint32_t>(call.columns / width);
  const auto blocks = static_cast<unsigned>((count + perBlock - 1) / perBlock);
  swigluKernel<Element><<<blocks, threads, 0, stream>>>(count, pass, packsPerRow);
  return cudaGetLastError();
}

}  // namespace

}  // namespace longscan

using namespace longscan;

int longscanSwigluForward(const LongscanSwiglu* call, void* y, CUstream_st* stream) {
  return withElement(call->isBf16, [=](auto* none) {
    using Element = std::remove_pointer_t<decltype(none)>;
    const auto from = [](const void* array) { return static_cast<const Element*>(array); };
    const Forward<Element> pass{{from(call->gate), from(call->up)}, {static_cast<Element*>(y)}};
    return launch<Element>(*call, pass, stream);
  });
}

int longscanSwigluBackward(const LongscanSwiglu* call, const void* dy, void* dgate, void* dup, void* y,
                           CUstream_st* stream) {
  return withElement(call->isBf16, [=](auto* none) {
    using Element = std::remove_pointer_t<decltype(none)>;
    const auto from = [](const void* array) { return static_cast<const Element*>(array); };
    const auto to = [](void* array) { return static_cast<Element*>(array); };
    if (y == nullptr) {
      const Backward<Element> pass{{from(dy), from(call->gate), from(call->up)}, {to(dgate), to(dup)}};
      return launch<Element>(*call, pass, stream);
    }
    const BackwardAndForward<Element> pass{{from(dy), from(call->gate), from(call->up)},
                                           {to(dgate), to(dup), to(y)}};
    return launch<Element>(*call, pass, stream);
  });
}
