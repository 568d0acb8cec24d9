#pragma once

#include <cuda_runtime.h>

#include "../segments/segments.h"

namespace longscan {

/// The gradients of a recurrence without decay and without documents in one sweep against time. D, the
/// adjoint of the state, gains what each chunk read; S, the state, loses what each chunk wrote, so that
/// nothing of it is stored between the segments' ends:
///   dq_t = scale * (S dO_t + sum over s <= t of (dO_t . v_s) k_s)
///   dk_s = scale * (D v_s + sum over t >= s of (v_s . dO_t) q_t)
///   dv_s = scale * (D^T k_s + sum over t >= s of (k_s . q_t) dO_t)
struct RetraceCall : GradientsCall {
  const float* states;      // [B, H, segments, V, K]: S as it enters each segment
  const float* lastStates;  // [B, H, V, K]: S after the last segment
};

/// Chunks over which S is taken back at most. Each product adds an error of f32's last bit of S: after so
/// many chunks of which all write the same, S before the second is right to 2e-3, half a bf16's last bit. The
/// error is that of the largest S in the segment: a token that writes 1e5 times what earlier ones wrote
/// leaves dq of those a percent off, and one that writes NaN makes it NaN.
constexpr int mostRetraced = 128;

/// Whether there is such a sweep for these head sizes on the present device.
bool retraceFits(int K, int V);

cudaError_t launchRetrace(const RetraceCall& call, cudaStream_t stream);

}  // namespace longscan
