#pragma once

#include <cstddef>
#include <cstdint>

#include "../../core/cpu.h"
#include "../../core/lane_block.h"

namespace longscan {

/// h_t[d, n] = exp(delta_t[d] A[d, n]) h_{t-1}[d, n] + delta_t[d] B_t[n] x_t[d], y_t[d] = sum_n C_t[n] h_t[d,
/// n] over a slice of T tokens, D channels and N numbers of state each. All row-major.
template <typename Real>
struct SelectiveScan {
  int64_t B, T, D, N;
  const Real* x;          // [B, T, D]
  const Real* delta;      // [B, T, D], > 0
  const Real* A;          // [D, N], < 0
  const Real* inB;        // [B, T, N]
  const Real* outC;       // [B, T, N]
  const int32_t* resets;  // [B, T], 1 where a document starts (the state is forgotten first), or null
};

/// Tokens between two kept states.
constexpr int64_t selectiveChunk = 64;

/// The slice from the state `h0` (null: zero).
template <typename Real>
struct SelectiveScanForward {
  SelectiveScan<Real> call;
  const Real* h0;     // [B, D, N] or null
  Real* y;            // [B, T, D]; null: only the state is wanted
  Real* checkpoints;  // [B, ceil(T / 64), D, N]: the state before every 64th token; null: not wanted
  Real* state;        // [B, D, N]: the state after the slice
  Real* sumDelta;     // [B, D]: what M needs, since log M = A * sumDelta; null: not wanted
};

/// dL/dh0 through this slice's outputs alone; x and inB are not read.
template <typename Real>
struct SelectiveScanAdjoint {
  SelectiveScan<Real> call;
  const Real* dy;  // [B, T, D]
  Real* adjoint;   // [B, D, N]
};

/// All gradients, backward in time from `dht` (null: zero).
template <typename Real>
struct SelectiveScanBackward {
  SelectiveScan<Real> call;
  const Real* dy;           // [B, T, D]
  const Real* checkpoints;  // of the forward sweep
  const Real* dht;          // [B, D, N] or null
  Real* dx;                 // [B, T, D]
  Real* dDelta;             // [B, T, D]
  Real* dA;                 // [D, N]
  Real* dB;                 // [B, T, N]: sums over the channels at hand
  Real* dC;                 // [B, T, N]: the same
  Real* dh0;                // [B, D, N]
};

/// Numbers of scratch for a state of N per channel: forward for one block, backward for `numChannels` of
/// them.
constexpr int64_t selectiveForwardScratch(int64_t N) {
  return 2 * laneBlock * N;
}
constexpr int64_t selectiveBackwardScratch(int64_t N, int64_t numChannels) {
  return N * (2 * (numChannels + laneBlock) + laneBlock * (4 * selectiveChunk + 3));
}

}  // namespace longscan

// Forward and adjoint: blocks [begin, end) of the B * ceil(D / 16) blocks of channels. Backward: the channels
// [begin, end) of all batch rows.
#define LONGSCAN_SELECTIVE_SCAN(name, Task)                                                      \
  LONGSCAN_KERNEL(name, (const Task<float>& task, int64_t begin, int64_t end, float* scratch),   \
                  (task, begin, end, scratch))                                                   \
  LONGSCAN_KERNEL(name, (const Task<double>& task, int64_t begin, int64_t end, double* scratch), \
                  (task, begin, end, scratch))
LONGSCAN_SELECTIVE_SCAN(selectiveScanForward, SelectiveScanForward)
LONGSCAN_SELECTIVE_SCAN(selectiveScanAdjoint, SelectiveScanAdjoint)
LONGSCAN_SELECTIVE_SCAN(selectiveScanBackward, SelectiveScanBackward)
#undef LONGSCAN_SELECTIVE_SCAN
