#pragma once

#include "../../addon/args.h"

namespace longscan {

/// The arguments that both passes of attention begin with.
struct AttentionArguments {
  Stream& stream;
  double scale;
  int64_t keyOffset, window, chunk;
  TensorRef positions, after, q, k, v, kSelf, vSelf;
  int64_t B, T, H, K, S, G, V;

  explicit AttentionArguments(Args& args)
      : stream(args.stream()),
        scale(args.number("scale")),
        keyOffset(args.integer("keyOffset")),
        window(args.integer("window")),
        chunk(args.integer("chunk")),
        positions(args.optionalTensor("positions")),
        after(args.optionalTensor("after")),
        q(args.tensor("q")),
        k(args.tensor("k")),
        v(args.tensor("v")),
        kSelf(args.optionalTensor("kSelf")),
        vSelf(args.optionalTensor("vSelf")) {
    args.check(q.numDims == 4 && k.numDims == 4 && v.numDims == 4, "q, k and v have 4 dims");
    B = q.dim(0), T = q.dim(1), H = q.dim(2), K = q.dim(3), S = k.dim(1), G = k.dim(2), V = v.dim(3);
    args.check(k.dim(0) == B && v.dim(0) == B && k.dim(3) == K && v.dim(1) == S && v.dim(2) == G,
               "q, k and v do not fit");
    args.check(G >= 1 && H % G == 0, "query heads are not a multiple of key heads");
    args.check(K >= 1 && V >= 1 && K <= 1024 && V <= 1024, "head sizes are not between 1 and 1024");
    args.check(keyOffset >= 0 && window >= 0 && chunk >= 0, "negative offset, window or chunk");
    for (const TensorRef* tensor : {&positions, &after}) {
      args.check(!*tensor || (tensor->dtype == DType::i32 && tensor->numElements == B * T),
                 "positions or after is not i32 [B, T]");
    }
    args.check(!after || chunk == 0, "chunks are seen from later tokens only");
    for (const TensorRef* tensor : {&k, &v}) args.checkSameType(q, *tensor);
    args.check(static_cast<bool>(kSelf) == static_cast<bool>(vSelf), "kSelf and vSelf go together");
    args.checkSize(kSelf, q, B * T * G * K, "kSelf");
    args.checkSize(vSelf, q, B * T * G * V, "vSelf");
  }
};

/// Rows [B, T, …] of tokens and [B, slots, …] of the chunks that end there.
struct ChunkEndsArguments {
  int64_t chunk, tokenOffset;
  bool backward;
  TensorRef positions, tokens, ends;
  int64_t B, T, slots, rowSize;

  explicit ChunkEndsArguments(Args& args) {
    args.stream();
    chunk = args.integer("chunk");
    tokenOffset = args.integer("tokenOffset");
    backward = args.flag("backward");
    positions = args.optionalTensor("positions");
    tokens = args.tensor("tokens");
    ends = args.tensor("ends");
    args.check(tokens.numDims >= 2 && ends.numDims >= 2 && chunk >= 1 && tokenOffset >= 0,
               "no tokens or no chunks");
    B = tokens.dim(0), T = tokens.dim(1), slots = ends.dim(1);
    args.checkSameType(tokens, ends);
    args.check(T >= 1 && ends.dim(0) == B && ends.numElements * T == tokens.numElements * slots,
               "tokens and ends do not fit");
    args.check(slots == (tokenOffset + T - 1) / chunk - tokenOffset / chunk + 1,
               "ends has not one row per chunk");
    args.check(!positions || (positions.dtype == DType::i32 && positions.numElements == B * T),
               "positions is not i32 [B, T]");
    rowSize = tokens.numElements / (B * T);
  }
};

}  // namespace longscan
