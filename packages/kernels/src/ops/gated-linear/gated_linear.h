#pragma once

#include <cstddef>
#include <cstdint>

#include "../../core/cpu.h"

namespace longscan {

/// How the state decays from one token to the next; the numbers are those of `decayCodes` in inputs.ts.
enum class Decay : int { identity = 0, fixedScalar = 1, scalar = 2, diagonal = 3 };

/// The axis of the state that a read contracts, `axisCodes` in index.ts: with a key x_t, scale * S_t^T x_t
/// [V], or with a value y_t, scale * S_t y_t [K].
enum class Axis : int { key = 0, value = 1 };

/// One call of S_t = a_t S_{t-1} + k_t v_t^T over a slice of T tokens. All row-major; a state is stored
/// transposed, [V, K], because its free axis (V) must be contiguous to be cut into blocks for the wire.
///
/// A read of token t sees S_t, or with a `bonus` u what was there before and the token itself by that much:
/// S_{t-1} + diag(u) k_t v_t^T.
template <typename Real>
struct GatedLinear {
  int64_t B, T, H;
  int64_t G;  // groups of H / G heads that share keys and queries
  int K, V;
  Decay decay;
  Real scale;
  const Real* k;          // [B, T, G, K]
  const Real* v;          // [B, T, H, V]
  const Real* g;          // log decay <= 0: identity null; fixed [H]; scalar [B, T, H]; diagonal [B, T, H, K]
  const Real* bonus;      // [H, K] or null
  const int32_t* resets;  // [B, T], 1 where a document starts (the state is forgotten first), or null
};

/// The slice from the state `h0` (null: zero): what is read, what the slice adds to a state, and what it does
/// to one.
template <typename Real>
struct GatedLinearSweep {
  GatedLinear<Real> call;
  Axis axis;
  const Real* reader;  // [B, T, G, K] of keys or [B, T, H, V] of values
  const Real* h0;      // [B, H, V, K] or null
  Real* out;           // [B, T, H, V] read with keys; [B, T, H, K] with values, then without the bonus
  Real* state;         // [B, H, V, K]: the state after the slice; null: not wanted
  Real* factor;        // the slice's decay: scalar kinds [B, H], diagonal [B, H, K]; null: not wanted
  Real* reset;         // [B]: 1 if the slice holds a document start; null if `resets` is
  Real* checkpoints;  // [B, H, ceil(T / 64), K, V]: the state at the end of every 64 tokens; null: not wanted
};

/// Adds to `out` what an incoming state contributes, for the tokens before the first document start.
template <typename Real>
struct GatedLinearCorrect {
  GatedLinear<Real> call;  // k and v are not read
  Axis axis;
  const Real* reader;
  const Real* h0;  // [B, H, V, K]
  Real* out;       // +=
};

/// G = dL/dh0 through this slice's reads alone. L depends on the reads as Σ_t scale * q_t^T S_t dO_t, in
/// which the two axes have equal parts: dO is the output's gradient where keys read, and q where values do.
template <typename Real>
struct GatedLinearAdjoint {
  GatedLinear<Real> call;  // k and v are not read
  const Real* q;           // [B, T, G, K]
  const Real* dO;          // [B, T, H, V]
  Real* adjoint;           // [B, H, V, K]
};

/// Backward in time from the adjoint `dht` of the state after the slice: gradients of all that writes the
/// state, and the adjoint of the incoming one.
template <typename Real>
struct GatedLinearWriteGrad {
  GatedLinear<Real> call;
  const Real* q;            // [B, T, G, K], as in GatedLinearAdjoint
  Real* dq;                 // [B, T, H, K]: of a sweep on the value axis; with a bonus its part is added
  const Real* dO;           // [B, T, H, V]
  const Real* checkpoints;  // of a sweep, or null
  const Real* dht;          // [B, H, V, K] or null
  bool fromZero;            // no state entered the slice
  Real* dk;                 // [B, T, H, K], each head's share
  Real* dv;                 // [B, T, H, V]
  Real* dg;                 // like g; null where the decay has no gradient
  Real* dbonus;             // [B, H, K], one share for each batch row; null if `bonus` is, and only then
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
LONGSCAN_GATED_LINEAR(gatedLinearSweep, GatedLinearSweep)
LONGSCAN_GATED_LINEAR(gatedLinearCorrect, GatedLinearCorrect)
LONGSCAN_GATED_LINEAR(gatedLinearAdjoint, GatedLinearAdjoint)
LONGSCAN_GATED_LINEAR(gatedLinearWriteGrad, GatedLinearWriteGrad)
#undef LONGSCAN_GATED_LINEAR
