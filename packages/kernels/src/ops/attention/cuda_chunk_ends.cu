#include "../../cuda/elements.cuh"
#include "cuda.h"

namespace longscan {

namespace {

/// Element i of the tokens to its place in the slot of its chunk's end, or from there; `Forward`: ends from
/// tokens.
template <typename Element, bool Forward>
struct MoveEnds {
  LongscanChunkEnds c;

  __device__ void operator()(int64_t i) const {
    const int64_t row = i / c.rowSize, index = c.tokenOffset + row % c.T;
    const int64_t position = c.positions == nullptr ? index : c.positions[row];
    const bool isEnd = position % c.chunk == c.chunk - 1;
    const int64_t slot = row / c.T * c.slots + index / c.chunk - c.tokenOffset / c.chunk;
    Element* const token = static_cast<Element*>(c.tokens) + i;
    Element* const end = static_cast<Element*>(c.ends) + slot * c.rowSize + i % c.rowSize;
    if (!Forward)
      *token = isEnd ? *end : Element(0.0f);
    else if (isEnd)
      *end = *token;
  }
};

template <typename Element>
cudaError_t moveEnds(const LongscanChunkEnds& c, cudaStream_t stream) {
  const int64_t count = c.B * c.T * c.rowSize;
  if (c.backward) return forEachElement(count, MoveEnds<Element, false>{c}, stream);
  // A slot without an end stays zero; two ends are never in one.
  const cudaError_t error = cudaMemsetAsync(c.ends, 0, c.B * c.slots * c.rowSize * sizeof(Element), stream);
  return error == cudaSuccess ? forEachElement(count, MoveEnds<Element, true>{c}, stream) : error;
}

}  // namespace

}  // namespace longscan

using namespace longscan;

int longscanChunkEnds(const LongscanChunkEnds* call, CUstream_st* stream) {
  return withElement(call->type == longscanElementBf16, [&](auto* none) {
    return moveEnds<std::remove_pointer_t<decltype(none)>>(*call, stream);
  });
}
