#include "cuda.h"

#include "cuda/elements.cuh"

namespace longscan {

namespace {

/// A thread has a column of a sequence and calls `f(place in the tail, pointer into x or halo, or null for
/// zeros)` for its rows, the last one first: once a document has started, all before it are zeros.
template <typename Element, typename F>
__device__ void forRows(const LongscanSequenceTail& call, int64_t column, Element* x, Element* halo, F f) {
  const int64_t b = column / call.D, d = column % call.D;
  bool kept = true;
  for (int64_t row = call.R - 1; row >= 0; row--) {
    const int64_t position = call.T - call.R + row;
    Element* other = nullptr;
    if (kept && position >= 0)
      other = x + (b * call.T + position) * call.D + d;
    else if (kept && halo != nullptr)
      other = halo + (b * call.R + call.R + position) * call.D + d;
    f((b * call.R + row) * call.D + d, other);
    if (position >= 0 && call.resets && call.resets[b * call.T + position]) kept = false;
  }
}

template <typename Element>
struct TakeTail {
  LongscanSequenceTail call;
  const Element *x, *halo;
  Element* tail;
  __device__ void operator()(int64_t column) const {
    forRows(call, column, x, halo, [=](int64_t place, const Element* from) {
      tail[place] = from == nullptr ? Element(0.0f) : *from;
    });
  }
};

template <typename Element>
struct AddTail {
  LongscanSequenceTail call;
  const Element* tail;
  Element *x, *halo;
  __device__ void operator()(int64_t column) const {
    forRows(call, column, x, halo, [=](int64_t place, Element* to) {
      if (to != nullptr) store(to, 0, load(to, 0) + load(tail, place));
    });
  }
};

}  // namespace

}  // namespace longscan

using namespace longscan;

int longscanSequenceTail(const LongscanSequenceTail* call, const void* x, const void* halo, void* tail,
                         CUstream_st* stream) {
  return withElement(call->isBf16, [=](auto* none) {
    using Element = std::remove_pointer_t<decltype(none)>;
    const TakeTail<Element> body{*call, static_cast<const Element*>(x), static_cast<const Element*>(halo),
                                 static_cast<Element*>(tail)};
    return forEachElement(call->B * call->D, body, stream);
  });
}

int longscanSequenceTailAdd(const LongscanSequenceTail* call, const void* tail, void* x, void* halo,
                            CUstream_st* stream) {
  return withElement(call->isBf16, [=](auto* none) {
    using Element = std::remove_pointer_t<decltype(none)>;
    const AddTail<Element> body{*call, static_cast<const Element*>(tail), static_cast<Element*>(x),
                                static_cast<Element*>(halo)};
    return forEachElement(call->B * call->D, body, stream);
  });
}
