#pragma once

#include <cstddef>
#include <cstdint>

#include "../../core/cpu.h"

namespace longscan {

/// One call of the matrix LSTM over a slice of T tokens; all row-major. A state is [V + 1, K + 1]: the rows
/// of C and then n, each scaled by exp(-m) and followed by its m; an empty one has m = -infinity and zeros.
template <typename Real>
struct Mlstm {
  int64_t B, T, H;
  int K, V;
  Real scale;
  const Real* q;          // [B, T, H, K]
  const Real* k;          // [B, T, H, K]
  const Real* v;          // [B, T, H, V]
  const Real* logInput;   // [B, T, H], unbounded
  const Real* logForget;  // [B, T, H], <= 0
  const int32_t* resets;  // [B, T], 1 where a document starts (the state is forgotten first), or null
};

/// What the backward pass keeps of the forward one, per token.
template <typename Real>
struct MlstmTokens {
  Real* h;           // [B, T, H, V], the output
  Real* normalizer;  // [B, T, H], n . q at the scale exp(-m)
  Real* m;           // [B, T, H], the running maximum
};

/// The slice from the state `h0` (null: empty). Whatever is null is not wanted.
template <typename Real>
struct MlstmForward {
  Mlstm<Real> call;
  const Real* h0;            // [B, H, V + 1, K + 1]
  MlstmTokens<Real> tokens;  // all three or none
  Real* checkpoints;         // [B, H, ceil(T / 64), K, V + 1]: the state before every 64 tokens
  Real* state;               // [B, H, V + 1, K + 1]: after the slice
  Real* factor;              // [B, H]: sum of log forget gates
};

/// G = dL/dh0 through this slice's outputs alone, and exp(F + m_in - m_out), by which the adjoint of the
/// state after the slice is carried to the one before it.
template <typename Real>
struct MlstmAdjoint {
  Mlstm<Real> call;          // k and v are not read
  const Real* h0;            // or null
  MlstmTokens<Real> tokens;  // of the forward pass
  const Real* dH;            // [B, T, H, V]
  Real* adjoint;             // [B, H, V + 1, K + 1]
  Real* factor;              // [B, H]
};

/// All gradients, backward in time from the adjoint `dht` of the state after the slice (null: zero).
template <typename Real>
struct MlstmBackward {
  Mlstm<Real> call;
  const Real* h0;            // or null
  MlstmTokens<Real> tokens;  // of the forward pass
  const Real* checkpoints;   // of a forward sweep
  const Real* dH;            // [B, T, H, V]
  const Real* dht;           // [B, H, V + 1, K + 1] or null
  Real *dq, *dk;             // [B, T, H, K]
  Real* dv;                  // [B, T, H, V]
  Real *dInput, *dForget;    // [B, T, H]
  Real* dh0;                 // [B, H, V + 1, K + 1] or null
};

/// Tokens between two states that the backward pass starts again from.
constexpr int mlstmChunk = 64;

/// Bytes of scratch that one thread needs for a call with these head sizes.
size_t mlstmScratchBytes(int K, int V, size_t elementBytes);

}  // namespace longscan

// Each works on the heads [begin, end) of the B * H heads; `scratch` is 64-byte aligned.
#define LONGSCAN_MLSTM(name, Task)                                                             \
  LONGSCAN_KERNEL(name, (const Task<float>& task, int64_t begin, int64_t end, void* scratch),  \
                  (task, begin, end, scratch))                                                 \
  LONGSCAN_KERNEL(name, (const Task<double>& task, int64_t begin, int64_t end, void* scratch), \
                  (task, begin, end, scratch))
LONGSCAN_MLSTM(mlstmForward, MlstmForward)
LONGSCAN_MLSTM(mlstmAdjoint, MlstmAdjoint)
LONGSCAN_MLSTM(mlstmBackward, MlstmBackward)
#undef LONGSCAN_MLSTM
