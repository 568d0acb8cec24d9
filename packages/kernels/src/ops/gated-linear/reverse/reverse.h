#pragma once

#include <cuda_runtime.h>

#include "../segments/segments.h"

namespace longscan {

/// The gradients of a recurrence with scalar decay in one sweep against time, D being the adjoint of the
/// state, S the state before each chunk:
///   dq_t = scale * (e^{c_t} S dO_t + sum over s <= t of e^{c_t - c_s} (dO_t . v_s) k_s)
///   dk_s = scale * (e^{c - c_s} D v_s + sum over t >= s of e^{c_t - c_s} (v_s . dO_t) q_t)
///   dv_s = scale * (e^{c - c_s} D^T k_s + sum over t >= s of e^{c_t - c_s} (k_s . q_t) dO_t)
/// with log decays c_t from the start of the chunk (or document) up to and with t, c up to its end.
struct ReverseCall : GradientsCall {
  const float* g;  // [B, T, H] if `gatePerToken`, else [H]; null: none
  bool gatePerToken;
  const int32_t* resets;      // [B, T] or null
  const unsigned char* kept;  // [B, H, chunks] images of S^T in bf16, as a summary keeps them
  float* dg;                  // [B, T, H], or null
  bool fromZero;              // no state entered the slice: the first token's decay meets nothing
};

/// Whether there is such a sweep for these head sizes on the present device.
bool reverseSweepFits(int K, int V);

cudaError_t launchReverse(const ReverseCall& call, cudaStream_t stream);

}  // namespace longscan
