#pragma once

#include <cuda_runtime.h>

#include "cuda.h"

namespace longscan {

/// (Hkk_t + diag(lambda)) x = b for every token, by Cholesky factors. K' as in cuda.h.
struct SolveCall {
  const LongscanMesa& call;
  const float* k;  // [B, T, H, K']
  const float*
      states;  // [B * H, chunks of 64, K', stateColumns]: Hkk as it enters each chunk in the first columns
  int stateColumns;
  const float* b;  // [B, T, H, K']
  float* scratch;  // solveScratchNumbers()
  float* x;        // [B, T, H, K']
  // Of the backward pass, where x is the gradient of the query and `solved` what the forward pass found:
  const float* solved;  // null: forward
  void* dq;             // [B, T, H, K], of the element type
  float* negative;      // -x, in rows of `stateColumns` numbers
  float* shares;        // [chunks, B * H, K]: -sum over a chunk of x * solved
};

int64_t solveScratchNumbers(int K);
cudaError_t launchSolve(const SolveCall& call, cudaStream_t stream);

}  // namespace longscan
