#include "cuda.h"

#include "../../cuda/elements.cuh"

namespace longscan {

namespace {

template <typename Element>
struct Add {
  const Element *a, *b;
  Element* y;
  __device__ void operator()(int64_t i) const { store(y, i, load(a, i) + load(b, i)); }
};

template <typename X, typename Y>
struct Axpy {
  float factor;
  const X* x;
  Y* y;
  __device__ void operator()(int64_t i) const { store(y, i, load(y, i) + factor * load(x, i)); }
};

}  // namespace

}  // namespace longscan

using namespace longscan;

int longscanAdd(int isBf16, const void* a, const void* b, void* y, int64_t count, CUstream_st* stream) {
  return withElement(isBf16, [=](auto* none) {
    using Element = std::remove_pointer_t<decltype(none)>;
    const Add<Element> body{static_cast<const Element*>(a), static_cast<const Element*>(b),
                            static_cast<Element*>(y)};
    return forEachElement(count, body, stream);
  });
}

int longscanAxpy(float factor, int xIsBf16, const void* x, int yIsBf16, void* y, int64_t count,
                 CUstream_st* stream) {
  return withElement(xIsBf16, [=](auto* noneOfX) {
    return withElement(yIsBf16, [=](auto* noneOfY) {
      using X = std::remove_pointer_t<decltype(noneOfX)>;
      using Y = std::remove_pointer_t<decltype(noneOfY)>;
      return forEachElement(count, Axpy<X, Y>{factor, static_cast<const X*>(x), static_cast<Y*>(y)}, stream);
    });
  });
}
