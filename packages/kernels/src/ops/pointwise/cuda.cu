#include "cuda.h"

#include "../../cuda/map_elements.cuh"
#include "cuda_activations.cuh"

namespace longscan {

namespace {

template <typename Function>
struct Value {
  float scale;
  __device__ float operator()(float x) const { return scale * Function::value(x); }
};

template <typename Function>
struct Slope {
  float scale;
  __device__ float operator()(float x, float dy) const { return scale * Function::slope(x) * dy; }
};

struct Product {
  __device__ float operator()(float a, float b) const { return a * b; }
};

struct Affine {
  float factor, shift;
  __device__ float operator()(float x) const { return factor * x + shift; }
};

struct Unchanged {
  __device__ float operator()(float x) const { return x; }
};

/// Calls `body` with two arrays of one type, or of bf16 and f32.
template <typename Body>
cudaError_t withWidening(const LongscanArray& x, const LongscanArray& y, Body body) {
  if (!x.isBf16) return body(static_cast<float*>(x.data), static_cast<float*>(y.data));
  auto* half = static_cast<__nv_bfloat16*>(x.data);
  return y.isBf16 ? body(half, static_cast<__nv_bfloat16*>(y.data)) : body(half, static_cast<float*>(y.data));
}

template <typename Word>
struct Fill {
  Word bits;
  Word* target;
  __device__ void operator()(int64_t i) const { target[i] = bits; }
};

}  // namespace

}  // namespace longscan

using namespace longscan;

int longscanActivation(int activation, float scale, LongscanArray x, LongscanArray y, int64_t count,
                       CUstream_st* stream) {
  return withActivation(activation, [=](auto function) {
    return withWidening(x, y, [=](auto* from, auto* to) {
      return mapElements(count, Value<decltype(function)>{scale}, to, stream, from);
    });
  });
}

int longscanActivationBackward(int activation, float scale, LongscanArray x, LongscanArray dy, void* dx,
                               int64_t count, CUstream_st* stream) {
  return withActivation(activation, [=](auto function) {
    return withWidening(x, dy, [=](auto* from, auto* gradient) {
      auto* to = static_cast<decltype(from)>(dx);
      return mapElements(count, Slope<decltype(function)>{scale}, to, stream, from, gradient);
    });
  });
}

int longscanMultiply(LongscanArray a, LongscanArray b, LongscanArray y, int64_t count, CUstream_st* stream) {
  return withArray(a, [=](auto* first) {
    return withArray(b, [=](auto* second) {
      return withArray(y, [=](auto* to) { return mapElements(count, Product{}, to, stream, first, second); });
    });
  });
}

int longscanAffine(float factor, float shift, LongscanArray x, LongscanArray y, int64_t count,
                   CUstream_st* stream) {
  return withArray(x, [=](auto* from) {
    auto* to = static_cast<decltype(from)>(y.data);
    return mapElements(count, Affine{factor, shift}, to, stream, from);
  });
}

int longscanCast(LongscanArray x, LongscanArray y, int64_t count, CUstream_st* stream) {
  return withArray(x, [=](auto* from) {
    return withArray(y, [=](auto* to) { return mapElements(count, Unchanged{}, to, stream, from); });
  });
}

int longscanFill(uint32_t bits, int isHalf, void* target, int64_t count, CUstream_st* stream) {
  if (isHalf) {
    const Fill<uint16_t> body{static_cast<uint16_t>(bits), static_cast<uint16_t*>(target)};
    return forEachElement(count, body, stream);
  }
  return forEachElement(count, Fill<uint32_t>{bits, static_cast<uint32_t*>(target)}, stream);
}
