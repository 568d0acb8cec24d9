#pragma once

#include <cstddef>
#include <cstdint>

#include "../../core/cpu.h"

namespace longscan {

/// How the state decays from one token to the next; the numbers are those of `decayCodes` in index.ts.
enum class Decay : int { identity = 0, fixedScalar = 1, scalar = 2, diagonal = 3 };

/// One call of S_t = a_t S_{t-1} + k_t v_t^T, o_t = scale * q_t S_t over a slice of T tokens. All row-major;
/// a state is stored transposed, [V, K], because its free axis (V) must be contiguous to be cut into blocks
/// for the wire.
template <typename Real>
struct GatedLinear {
  int64_t B, T, H;
  int K, V;
  Decay decay;
  Real scale;
  const Real* q;          // [B, T, H, K]
  const Real* k;          // [B, T, H, K]
  const Real* v;          // [B, T, H, V]
  const Real* g;          // log decay <= 0: identity null; fixed [H]; scalar [B, T, H]; diagonal [B, T, H, K]
  const int32_t* resets;  // [B, T], 1 where a document starts (the state is forgotten first), or null
};

/// The slice from the state `h0` (null: zero): outputs, what the slice adds to a state, and what it does to
/// one.
template <typename Real>
struct GatedLinearForward {
  GatedLinear<Real> call;
  const Real* h0;  // [B, H, V, K] or null
  Real* o;         // [B, T, H, V]
  Real* state;     // [B, H, V, K]: the state after the slice
  Real* factor;    // the slice's decay: scalar kinds [B, H], diagonal [B, H, K]; null: not wanted
  Real* reset;     // [B]: 1 if the slice holds a document start; null if `resets` is
};

/// Adds to `o` what an incoming state contributes, for the tokens before the first document start.
template <typename Real>
struct GatedLinearCorrect {
  GatedLinear<Real> call;  // k and v are not read
  const Real* h0;          // [B, H, V, K]
  Real* o;                 // [B, T, H, V], +=
};

/// G = dL/dh0 through this slice's outputs alone.
template <typename Real>
struct GatedLinearAdjoint {
  GatedLinear<Real> call;  // k and v are not read
  const Real* dO;          // [B, T, H, V]
  Real* adjoint;           // [B, H, V, K]
};

/// First backward sweep, forward in time: dq, and the state at the end of every 64 tokens for the decay
/// gradient.
template <typename Real>
struct GatedLinearQueryGrad {
  GatedLinear<Real> call;
  const Real* h0;     // or null
  const Real* dO;     // [B, T, H, V]
  Real* dq;           // [B, T, H, K]
  Real* checkpoints;  // [B, H, ceil(T / 64), K, V]; null where the decay has no gradient
};

/// Second sweep, backward in time from `dht`: dk, dv and dg, and the adjoint of the incoming state.
template <typename Real>
struct GatedLinearKeyValueGrad {
  GatedLinear<Real> call;
  const Real* dO;           // [B, T, H, V]
  const Real* dq;           // of the first sweep
  const Real* checkpoints;  // of the first sweep, or null
  const Real* dht;          // [B, H, V, K] or null
  Real* dk;                 // [B, T, H, K]
  Real* dv;                 // [B, T, H, V]
  Real* dg;                 // like g; null where the decay has no gradient
  Real* dh0;                // [B, H, V, K] or null
};

constexpr int decayChunk = 64;

/// Bytes of scratch that one thread needs for a call with these head sizes.
size_t gatedLinearScratchBytes(int K, int V, size_t elementBytes);

}  // namespace longscan

// Each works on the heads [begin, end) of the B * H heads; `scratch` is 64-byte aligned.
#define LONGSCAN_GATED_LINEAR(name, Task)                                                      \
  LONGSCAN_KERNEL(name, (const Task<float>& task, int64_t begin, int64_t end, void* scratch),  \
                  (task, begin, end, scratch))                                                 \
  LONGSCAN_KERNEL(name, (const Task<double>& task, int64_t begin, int64_t end, void* scratch), \
                  (task, begin, end, scratch))
LONGSCAN_GATED_LINEAR(gatedLinearForward, GatedLinearForward)
LONGSCAN_GATED_LINEAR(gatedLinearCorrect, GatedLinearCorrect)
LONGSCAN_GATED_LINEAR(gatedLinearAdjoint, GatedLinearAdjoint)
LONGSCAN_GATED_LINEAR(gatedLinearQueryGrad, GatedLinearQueryGrad)
LONGSCAN_GATED_LINEAR(gatedLinearKeyValueGrad, GatedLinearKeyValueGrad)
#undef LONGSCAN_GATED_LINEAR
