#pragma once

#include "args.h"

namespace longscan {

/// q [B, T, H, K], k like it and v [B, T, H, V]: what recurrences over heads take, read in this order.
struct HeadArgs {
  TensorRef q, k, v;
  int64_t B, T, H, K, V;

  explicit HeadArgs(Args& args) : q(args.tensor("q")), k(args.tensor("k")), v(args.tensor("v")) {
    args.check(q.numDims == 4 && v.numDims == 4, "q, k and v have 4 dims");
    B = q.dim(0), T = q.dim(1), H = q.dim(2), K = q.dim(3), V = v.dim(3);
    args.check(K >= 1 && V >= 1 && K <= 4096 && V <= 4096, "head sizes are not between 1 and 4096");
    args.checkSize(k, q, numKeys(), "k");
    args.checkSize(v, q, numValues(), "v");
  }

  int64_t numTokens() const { return B * T * H; }
  int64_t numKeys() const { return B * T * H * K; }
  int64_t numValues() const { return B * T * H * V; }

  /// Of q's type.
  TensorRef tensor(Args& args, const char* name, int64_t count) const {
    return args.sizedTensor(name, q, count);
  }
  TensorRef optional(Args& args, const char* name, int64_t count) const {
    return args.optionalSizedTensor(name, q, count);
  }
};

}  // namespace longscan
