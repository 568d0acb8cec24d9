#pragma once

#include "../../addon/gpu_args.h"
#include "selective_scan.h"

namespace longscan {

/// The arguments that every function of the op begins with, after the stream: x [B, T, D], delta like it, A
/// [D, N], B and C [B, T, N], all of x's type but A, which is f32 on a GPU; resets [B, T] or null.
struct SelectiveScanArgs {
  TensorRef x, delta, A, inB, outC, resets;
  int64_t B, T, D, N;

  explicit SelectiveScanArgs(Args& args)
      : x(args.tensor("x")),
        delta(args.tensor("delta")),
        A(args.tensor("A")),
        inB(args.tensor("B")),
        outC(args.tensor("C")),
        resets(args.optionalTensor("resets")) {
    args.check(x.numDims == 3 && A.numDims == 2, "x has not 3 dims or A not 2");
    B = x.dim(0), T = x.dim(1), D = x.dim(2), N = A.dim(1);
    args.check(N >= 1 && N <= 1024, "the state size is not between 1 and 1024");
    args.checkSize(delta, x, B * T * D, "delta");
    if (args.onGpu())
      checkF32(args, A, D * N, "A");
    else
      args.checkSize(A, x, D * N, "A");
    args.checkSize(inB, x, B * T * N, "B");
    args.checkSize(outC, x, B * T * N, "C");
    args.checkResets(resets, B, T);
  }

  int64_t stateSize() const { return B * D * N; }
  int64_t checkpointSize() const { return (T + selectiveChunk - 1) / selectiveChunk * stateSize(); }
};

}  // namespace longscan
