#pragma once

#include "../slice.h"
#include "../sweep/sweep.h"

namespace longscan {

/// What all kernels with a block for each segment of each head know: a slice's sizes, and how it is cut.
struct SegmentedCall : SliceSizes {
  int numSegments, chunksPerSegment;
};

/// Of the sweeps that give all gradients at once, D being the adjoint of the state.
struct GradientsCall : SegmentedCall {
  float scale;
  SweepRows q, k, v, dO;
  const float* adjoints;     // [B, H, segments, V, K]: D / scale as it enters each segment, against time
  __nv_bfloat16 *dq, *dk;    // [B, T, H, K]
  __nv_bfloat16* dv;         // [B, T, H, V]
  int keyPitch, valuePitch;  // elements from a token of dq and dk, and of dv, to the next
  float* dh0;                // [B, H, V, K] or null
};

}  // namespace longscan
