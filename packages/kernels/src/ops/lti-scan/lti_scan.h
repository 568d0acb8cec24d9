#pragma once

#include <cstdint>

#include "../../core/cpu.h"
#include "../../core/lane_block.h"

namespace longscan {

/// h_t[c, n] = λ[c, n] h_{t-1}[c, n] + u_t[c], complex, and y_t[c] = sum_n w[c, n] h_t[c, n], of which a real
/// call has only the real part; u is real, or complex as y is. All row-major; a complex row of C is [2, C]:
/// real parts first.
template <typename Real>
struct LtiScan {
  int64_t B, T, C, N;
  bool complex;
  const Real* u;          // [B, T, C], complex [B, T, 2C]
  const Real* logLambda;  // [C, N, 2]
  const Real* w;          // [C, N, 2]
  const int32_t* resets;  // [B, T], 1 where a document starts (the state is forgotten first), or null
};

/// Tokens between two kept states.
constexpr int64_t ltiChunk = 64;

/// The slice from the state `h0` (null: zero). States are [B, C, N, 2].
template <typename Real>
struct LtiScanForward {
  LtiScan<Real> call;
  const Real* h0;     // or null
  Real* y;            // like u; null: only the state is wanted
  Real* checkpoints;  // [B, ceil(T / 64), C, N, 2]: the state before every 64th token; null: not wanted
  Real* state;        // the state after the slice
  Real* factor;       // [B, C, N, 2]: λ^T; null: not wanted
};

/// dL/dh0 through this slice's outputs alone; u is not read.
template <typename Real>
struct LtiScanAdjoint {
  LtiScan<Real> call;
  const Real* dy;  // like u
  Real* adjoint;   // [B, C, N, 2]
};

/// All gradients, backward in time from `dht` (null: zero). A complex number's gradient is dL/dre + i dL/dim.
template <typename Real>
struct LtiScanBackward {
  LtiScan<Real> call;
  const Real* dy;           // like u
  const Real* checkpoints;  // of the forward sweep
  const Real* dht;          // [B, C, N, 2] or null
  Real* du;                 // like u
  Real* dLogLambda;         // [C, N, 2]
  Real* dw;                 // [C, N, 2]
  Real* dh0;                // [B, C, N, 2]
};

/// Numbers of scratch of one thread, for N numbers of state per channel.
constexpr int64_t ltiScratch(int64_t N) {
  return laneBlock * 2 * N * (ltiChunk + 9);
}

}  // namespace longscan

// Forward and adjoint: blocks [begin, end) of the B * ceil(C / 16) blocks of channels. Backward: blocks of
// the ceil(C / 16), each over all batch rows.
#define LONGSCAN_LTI_SCAN(name, Task)                                                            \
  LONGSCAN_KERNEL(name, (const Task<float>& task, int64_t begin, int64_t end, float* scratch),   \
                  (task, begin, end, scratch))                                                   \
  LONGSCAN_KERNEL(name, (const Task<double>& task, int64_t begin, int64_t end, double* scratch), \
                  (task, begin, end, scratch))
LONGSCAN_LTI_SCAN(ltiScanForward, LtiScanForward)
LONGSCAN_LTI_SCAN(ltiScanAdjoint, LtiScanAdjoint)
LONGSCAN_LTI_SCAN(ltiScanBackward, LtiScanBackward)
#undef LONGSCAN_LTI_SCAN
