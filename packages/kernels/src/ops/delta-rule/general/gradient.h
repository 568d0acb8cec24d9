#pragma once

#include <cuda_runtime.h>

#include "sweep.h"

namespace longscan {

/// The inputs' gradients from what the sweeps left of them.
struct DeltaGeneralGradientCall {
  DeltaShape shape;
  int decay;  // LongscanDeltaDecay
  bool isBf16;
  DeltaRows k, b, e, keyReads;
  // [B, T, H, K]: gradients of keyReads, of what reads S before a row, of beta k and of e
  const float *after, *before, *dWrite, *dExtra;
  const float* meets;  // of DeltaKeyAdjointsCall
  // Null where there is none, or it is finished; dk may be dWrite's own memory.
  void *dq, *dk, *db, *de;
  float *dbeta, *dg;
};

cudaError_t launchDeltaGeneralGradient(const DeltaGeneralGradientCall& call, cudaStream_t stream);

}  // namespace longscan
