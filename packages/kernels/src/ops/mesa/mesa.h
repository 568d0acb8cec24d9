#pragma once

#include <cstddef>
#include <cstdint>

#include "../../core/cpu.h"

namespace longscan {

/// One call of o_t = Hkv_t (Hkk_t + diag(lambda))^-1 q_t over a slice of T tokens; all row-major. A state is
/// [K + V, K]: the rows of Hkk, which is symmetric, then those of Hkv, one for each value.
template <typename Real>
struct Mesa {
  int64_t B, T, H;
  int K, V;
  const Real* q;          // [B, T, H, K]
  const Real* k;          // [B, T, H, K]
  const Real* v;          // [B, T, H, V]
  const Real* beta;       // [B, T, H], >= 0
  const Real* g;          // [B, T, H], log decay, <= 0
  const Real* lambda;     // [H, K], > 0
  const int32_t* resets;  // [B, T], 1 where a document starts (the state is forgotten first), or null
};

/// The slice from the state `h0` (null: zero). Whatever is null is not wanted.
template <typename Real>
struct MesaForward {
  Mesa<Real> call;
  const Real* h0;  // [B, H, K + V, K]
  Real* o;         // [B, T, H, V]
  Real* x;         // [B, T, H, K], the solutions; with o
  Real* state;     // [B, H, K + V, K]: after the slice
  Real* factor;    // [B, H]: the slice's decay
};

/// First backward sweep, forward in time: what follows from the solutions.
template <typename Real>
struct MesaQueryGrad {
  Mesa<Real> call;
  const Real* h0;     // or null
  const Real* x;      // of the forward pass
  const Real* dO;     // [B, T, H, V]
  Real* dq;           // [B, T, H, K]
  Real* dLambda;      // [B, H, K]: for each batch row
  Real* checkpoints;  // [B, H, ceil(T / 32), K + V, K]: the state before every 32 tokens
  Real* adjoint;      // [B, H, K + V, K]: dL/dh0 through this slice's outputs alone; null: not wanted
};

/// Second sweep, backward in time from the adjoint `dht` of the state after the slice (null: zero).
template <typename Real>
struct MesaKeyValueGrad {
  Mesa<Real> call;
  const Real *x, *dO;            // as above
  const Real *dq, *checkpoints;  // of the first sweep
  const Real* dht;               // [B, H, K + V, K] or null
  Real* dk;                      // [B, T, H, K]
  Real* dv;                      // [B, T, H, V]
  Real *dBeta, *dg;              // [B, T, H]
  Real* dh0;                     // [B, H, K + V, K] or null
};

/// Tokens between two states that the backward pass starts again from.
constexpr int mesaChunk = 32;

/// Bytes of scratch that one thread needs for a call with these head sizes.
size_t mesaScratchBytes(int K, int V, size_t elementBytes);

}  // namespace longscan

// Each works on the heads [begin, end) of the B * H heads; `scratch` is 64-byte aligned.
#define LONGSCAN_MESA(name, Task)                                                              \
  LONGSCAN_KERNEL(name, (const Task<float>& task, int64_t begin, int64_t end, void* scratch),  \
                  (task, begin, end, scratch))                                                 \
  LONGSCAN_KERNEL(name, (const Task<double>& task, int64_t begin, int64_t end, void* scratch), \
                  (task, begin, end, scratch))
LONGSCAN_MESA(mesaForward, MesaForward)
LONGSCAN_MESA(mesaQueryGrad, MesaQueryGrad)
LONGSCAN_MESA(mesaKeyValueGrad, MesaKeyValueGrad)
#undef LONGSCAN_MESA
