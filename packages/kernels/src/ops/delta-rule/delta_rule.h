#pragma once

#include <cstddef>
#include <cstdint>

#include "../../core/cpu.h"

namespace longscan {

// The numbers of these three are those of the tables in index.ts.
enum class DeltaGate : int { none = 0, scalar = 1, diagonal = 2 };
/// The erase key b of a row: the key itself, read after the decay; one of its own, read before; or that with
/// a write vector of its own.
enum class DeltaErase : int { key = 0, own = 1, dplr = 2 };
/// The axis of the state that a query is contracted with.
enum class DeltaRead : int { key = 0, value = 1 };

/// One call of
///   x_r = S_{r-1}^T b_r
///   S_r = a_r S_{r-1} + k_r (v_r - x_r)^T        (dplr: a_r S_{r-1} + k_r v_r^T + e_r x_r^T)
///   o_t = scale * S^T q_t                        (read by value: scale * S q_t)
/// over n rows r for each of T tokens. A token's decay acts before its first row, its output is taken after
/// the last. All row-major; a state is stored transposed, [V, K]: M mixes the K numbers of each row.
template <typename Real>
struct DeltaRule {
  int64_t B, T, H;
  int K, V;
  int numRowsPerToken;  // n
  DeltaGate gate;
  DeltaErase erase;
  DeltaRead read;
  Real scale;
  const Real* q;          // [B, T, H, K], read by value [B, T, H, V]
  const Real* k;          // [B, T, n, H, K]
  const Real* v;          // [B, T, n, H, V]
  const Real* beta;       // [B, T, n, H], a factor of the written k, or null
  const Real* g;          // log decay <= 0: none null; scalar [B, T, H]; diagonal [B, T, H, K]
  const Real* b;          // [B, T, n, H, K]; null if the key erases
  const Real* e;          // [B, T, n, H, K], dplr only
  const int32_t* resets;  // [B, T], 1 where a document starts (the state is forgotten first), or null
};

/// Rows between two states that are kept for the backward pass.
constexpr int deltaChunk = 128;

/// The slice from the state `h0` (null: zero). Whatever is null is not computed; not both `o` and `factor`.
template <typename Real>
struct DeltaRuleForward {
  DeltaRule<Real> call;
  const Real* h0;     // [B, H, V, K] or null
  Real* o;            // [B, T, H, V], read by value [B, T, H, K]
  Real* state;        // [B, H, V, K]: the state after the slice
  Real* factor;       // [B, H, K, K]: M^T of the slice; without meaning where a document starts in it
  Real* checkpoints;  // [B, H, ceil(n T / 128), K, V]: the state before every 128 rows
};

/// adjoint = dL/dh0 through this slice's outputs alone.
template <typename Real>
struct DeltaRuleAdjoint {
  DeltaRule<Real> call;  // v is not read
  const Real* dO;        // like o
  Real* adjoint;         // [B, H, V, K]
};

/// All gradients, backward in time from the adjoint `dht` of the state after the slice.
template <typename Real>
struct DeltaRuleBackward {
  DeltaRule<Real> call;
  const Real* dO;           // like o
  const Real* checkpoints;  // of the forward pass
  const Real* dht;          // [B, H, V, K] or null
  // Each like its input, null where that is; dh0 null: not wanted.
  Real *dq, *dk, *dv, *dbeta, *dg, *db, *de, *dh0;
};

/// Bytes of scratch that one thread needs for a call with these head sizes.
size_t deltaRuleScratchBytes(int K, int V, size_t elementBytes);

}  // namespace longscan

// Each works on the heads [begin, end) of the B * H heads; `scratch` is 64-byte aligned.
#define LONGSCAN_DELTA_RULE(name, Task)                                                        \
  LONGSCAN_KERNEL(name, (const Task<float>& task, int64_t begin, int64_t end, void* scratch),  \
                  (task, begin, end, scratch))                                                 \
  LONGSCAN_KERNEL(name, (const Task<double>& task, int64_t begin, int64_t end, void* scratch), \
                  (task, begin, end, scratch))
LONGSCAN_DELTA_RULE(deltaRuleForward, DeltaRuleForward)
LONGSCAN_DELTA_RULE(deltaRuleAdjoint, DeltaRuleAdjoint)
LONGSCAN_DELTA_RULE(deltaRuleBackward, DeltaRuleBackward)
#undef LONGSCAN_DELTA_RULE
