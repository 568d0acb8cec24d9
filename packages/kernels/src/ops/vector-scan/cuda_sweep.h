#pragma once

#include <cuda_runtime.h>

#include "cuda.h"

namespace longscan {

constexpr int scanChannels = 16;     // of a block, half as many where C is odd or data are f32
constexpr int scanStepTokens = 512;  // that a block takes at once

enum class ScanPass { forward, summary, backward, adjoint };

/// A sweep over each segment of each batch row; S = numSegments.
struct ScanSweep {
  ScanPass pass;
  const void* values;  // x, or against time dh
  int numSegments;
  int64_t segmentTokens;
  const float* incoming;  // [B, S, C], or null: zero
  float* outgoing;        // [B, S, C], or null: not wanted
  // Of passes without outputs:
  float* factor;      // [B, S, C], or null: not wanted
  double* logFactor;  // [B, S, C], or null: not wanted
  int* reset;         // [B, S], or null: not wanted
  // Of passes with them:
  const void* h;    // backward: the forward pass' outputs
  const float* h0;  // backward: [B, C] or null
  void* out;        // h, or dx
  void* dg;
};

cudaError_t launchScanSweep(const LongscanVectorScan& call, const ScanSweep& sweep, cudaStream_t stream);

}  // namespace longscan
