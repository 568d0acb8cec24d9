#pragma once

#include <cmath>

#include "cuda.h"
#include "transition.h"

// What M does to a state, number by number: the same arithmetic in whatever kernel a state passes through.

namespace longscan {

__device__ inline bool isReset(const LongscanTransition& task, int64_t head) {
  return task.reset != nullptr && task.reset[head / task.headsPerBatch] != 0.0f;
}

/// Of identity, scalar, diagonal, expDiagonal.
template <TransitionKind kind>
__device__ float elementFactor(const LongscanTransition& task, int64_t head, int64_t column) {
  if (kind == TransitionKind::identity) return 1.0f;
  if (kind == TransitionKind::scalar) return task.factor[head];
  if (kind == TransitionKind::diagonal) return task.factor[head * task.rowLength + column];
  return expf(task.rates[head % task.headsPerBatch * task.rowLength + column] * task.factor[head]);
}

__device__ inline float applyElement(bool reset, float factor, float S, float E) {
  // Selected, not multiplied by zero: the state of another document may hold anything, NaN included.
  return reset ? E : factor * S + E;
}

/// A pair (re, im) of fixedComplex, whose first number is in `column`.
__device__ inline float2 applyComplex(const LongscanTransition& task, int64_t head, int64_t column, float2 S,
                                      float2 E) {
  if (isReset(task, head)) return E;
  const float* f = task.factor + head * task.rowLength + column;
  const float fIm = task.transposed ? -f[1] : f[1];
  E.x += f[0] * S.x - fIm * S.y;
  E.y += f[0] * S.y + fIm * S.x;
  return E;
}

/// Two rows exp(m) x of logMax are added at the larger of their m; an empty row (m = -infinity) takes no
/// part: exp(m - m') of two empty rows would be NaN.
struct LogMaxRow {
  float m;

  /// From the last numbers of the two rows.
  __device__ LogMaxRow(const LongscanTransition& task, int64_t head, float S, float E) {
    const float decayed = isReset(task, head) ? -INFINITY : S + task.factor[head];
    // Not fmaxf, which would drop a NaN.
    m = decayed > E || isnan(decayed) ? decayed : E;
    keepsS_ = decayed != -INFINITY;
    keepsE_ = E != -INFINITY;
    keep_ = keepsS_ ? expf(decayed - m) : 0.0f;
    add_ = keepsE_ ? expf(E - m) : 0.0f;
  }

  /// Any other number of the row.
  __device__ float apply(float S, float E) const {
    const float kept = keepsS_ ? keep_ * S : 0.0f;
    return kept + (keepsE_ ? add_ * E : 0.0f);
  }

 private:
  bool keepsS_, keepsE_;
  float keep_, add_;
};

}  // namespace longscan
