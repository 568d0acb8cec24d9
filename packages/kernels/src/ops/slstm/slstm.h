#pragma once

#include <cstddef>
#include <cstdint>

#include "../../core/cpu.h"

namespace longscan {

/// One call of the scalar LSTM with exponential gates over a slice of T tokens; all row-major. Gates stand in
/// the order input, forget, cell, output. A state is [4, N]: c and n scaled by exp(-m), m, h; before any
/// token c, n and h are 0 and m is -infinity.
template <typename Real>
struct Slstm {
  int64_t B, T, H;
  int N;
  const Real* gates;      // [B, T, H, 4, N], what does not come from h
  const Real* recurrent;  // [H, N, 4, N], from unit to gate and unit
  const int32_t* resets;  // [B, T], 1 where a document starts (the state is forgotten first), or null
};

template <typename Real>
struct SlstmForward {
  Slstm<Real> call;
  const Real* h0;  // [B, H, 4, N] or null
  Real* h;         // [B, T, H, N]
  Real* sums;      // [B, T, H, 4, N], the gates before their nonlinearities
  Real* cells;     // [B, T, H, 3, N], c, n and m
  Real* state;     // [B, H, 4, N], after the slice
};

/// Backpropagation through time from the adjoint `dht` of the state after the slice (null: zero).
template <typename Real>
struct SlstmBackward {
  Slstm<Real> call;
  const Real* h0;                // or null
  const Real *h, *sums, *cells;  // of the forward pass
  const Real* dH;                // [B, T, H, N]
  const Real* dht;               // [B, H, 4, N] or null
  Real* dGates;                  // [B, T, H, 4, N]
  Real* dRecurrent;              // [B, H, N, 4, N]: for each batch row
  Real* dh0;                     // [B, H, 4, N] or null
};

/// Bytes of scratch that one thread needs for a call with this head size.
size_t slstmScratchBytes(int N, size_t elementBytes);

}  // namespace longscan

// Each works on the heads [begin, end) of the B * H heads; `scratch` is 64-byte aligned.
#define LONGSCAN_SLSTM(name, Task)                                                             \
  LONGSCAN_KERNEL(name, (const Task<float>& task, int64_t begin, int64_t end, void* scratch),  \
                  (task, begin, end, scratch))                                                 \
  LONGSCAN_KERNEL(name, (const Task<double>& task, int64_t begin, int64_t end, void* scratch), \
                  (task, begin, end, scratch))
LONGSCAN_SLSTM(slstmForward, SlstmForward)
LONGSCAN_SLSTM(slstmBackward, SlstmBackward)
#undef LONGSCAN_SLSTM
