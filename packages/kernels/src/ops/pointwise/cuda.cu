#include "cuda.h"

#include "../../cuda/elements.cuh"
#include "cuda_activations.cuh"

namespace longscan {

namespace {

template <typename Function, typename Element>
struct Value {
  float scale;
  const Element* x;
  Element* y;
  __device__ void operator()(int64_t i) const { store(y, i, scale * Function::value(load(x, i))); }
};

template <typename Function, typename Element>
struct Slope {
  float scale;
  const Element *x, *dy;
  Element* dx;
  __device__ void operator()(int64_t i) const {
    store(dx, i, scale * Function::slope(load(x, i)) * load(dy, i));
  }
};

template <typename Element>
struct Multiply {
  const Element *a, *b;
  Element* y;
  __device__ void operator()(int64_t i) const { store(y, i, load(a, i) * load(b, i)); }
};

template <typename Element>
struct Affine {
  float factor, shift;
  const Element* x;
  Element* y;
  __device__ void operator()(int64_t i) const { store(y, i, factor * load(x, i) + shift); }
};

struct Fill {
  uint32_t bits;
  uint32_t* target;
  __device__ void operator()(int64_t i) const { target[i] = bits; }
};

}  // namespace

}  // namespace longscan

using namespace longscan;

int longscanActivation(int activation, float scale, int isBf16, const void* x, void* y, int64_t count,
                       CUstream_st* stream) {
  return withActivation(activation, [=](auto function) {
    return withElement(isBf16, [=](auto* none) {
      using Element = std::remove_pointer_t<decltype(none)>;
      const Value<decltype(function), Element> body{scale, static_cast<const Element*>(x),
                                                    static_cast<Element*>(y)};
      return forEachElement(count, body, stream);
    });
  });
}

int longscanActivationBackward(int activation, float scale, int isBf16, const void* x, const void* dy,
                               void* dx, int64_t count, CUstream_st* stream) {
  return withActivation(activation, [=](auto function) {
    return withElement(isBf16, [=](auto* none) {
      using Element = std::remove_pointer_t<decltype(none)>;
      const Slope<decltype(function), Element> body{
          scale, static_cast<const Element*>(x), static_cast<const Element*>(dy), static_cast<Element*>(dx)};
      return forEachElement(count, body, stream);
    });
  });
}

int longscanMultiply(int isBf16, const void* a, const void* b, void* y, int64_t count, CUstream_st* stream) {
  return withElement(isBf16, [=](auto* none) {
    using Element = std::remove_pointer_t<decltype(none)>;
    const Multiply<Element> body{static_cast<const Element*>(a), static_cast<const Element*>(b),
                                 static_cast<Element*>(y)};
    return forEachElement(count, body, stream);
  });
}

int longscanAffine(float factor, float shift, int isBf16, const void* x, void* y, int64_t count,
                   CUstream_st* stream) {
  return withElement(isBf16, [=](auto* none) {
    using Element = std::remove_pointer_t<decltype(none)>;
    const Affine<Element> body{factor, shift, static_cast<const Element*>(x), static_cast<Element*>(y)};
    return forEachElement(count, body, stream);
  });
}

int longscanFill(uint32_t bits, void* target, int64_t count, CUstream_st* stream) {
  return forEachElement(count, Fill{bits, static_cast<uint32_t*>(target)}, stream);
}
