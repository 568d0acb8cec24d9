#include "transition.h"

#include <cmath>

namespace longscan {
namespace LONGSCAN_LEVEL {

template <typename Real>
struct Row {
  const Real* E;
  const Real* S;
  Real* out;
};

template <typename Real>
static inline Row<Real> rowAt(const TransitionApply<Real>& task, int64_t row) {
  const int64_t at = row * task.rowLength;
  return {task.E + at, task.S + at, task.out + at};
}

/// out = M S + E for the rows of one head (`begin` to `end`, counted over all heads).
template <typename Real>
static void applyDiagonal(const TransitionApply<Real>& task, const Real* factor, int64_t begin, int64_t end) {
  for (int64_t row = begin; row < end; row++) {
    const auto [E, S, out] = rowAt(task, row);
    for (int64_t i = 0; i < task.rowLength; i++) out[i] = factor[i] * S[i] + E[i];
  }
}

template <typename Real>
static void applyScalar(const TransitionApply<Real>& task, Real factor, int64_t begin, int64_t end) {
  for (int64_t at = begin * task.rowLength; at < end * task.rowLength; at++) {
    task.out[at] = factor * task.S[at] + task.E[at];
  }
}

template <typename Real>
static void applyComplex(const TransitionApply<Real>& task, const Real* factor, int64_t begin, int64_t end) {
  const Real sign = task.transposed ? -1 : 1;
  for (int64_t row = begin; row < end; row++) {
    const auto [E, S, out] = rowAt(task, row);
    for (int64_t i = 0; i < task.rowLength; i += 2) {
      const Real re = S[i], im = S[i + 1], fRe = factor[i], fIm = sign * factor[i + 1];
      out[i] = E[i] + fRe * re - fIm * im;
      out[i + 1] = E[i + 1] + fRe * im + fIm * re;
    }
  }
}

/// Four rows at a time, so that a row of F is read once for all of them.
template <typename Real>
static void applyDense(const TransitionApply<Real>& task, const Real* factor, int64_t begin, int64_t end) {
  constexpr int64_t group = 4;
  const int64_t N = task.rowLength;
  Real incoming[group][maxDenseLength];  // a copy: `out` may be `S`
  for (int64_t first = begin; first < end; first += group) {
    const int64_t count = end - first < group ? end - first : group;
    for (int64_t r = 0; r < count; r++) {
      const auto [E, S, out] = rowAt(task, first + r);
      for (int64_t i = 0; i < N; i++) incoming[r][i] = S[i];
      for (int64_t i = 0; i < N; i++) out[i] = E[i];
    }
    for (int64_t j = 0; j < N; j++) {
      const Real* f = factor + j * N;
      for (int64_t r = 0; r < count; r++) {
        Real* out = task.out + (first + r) * N;
        if (task.transposed) {
          Real sum = 0;
          for (int64_t i = 0; i < N; i++) sum += incoming[r][i] * f[i];
          out[j] += sum;
        } else {
          const Real s = incoming[r][j];
          for (int64_t i = 0; i < N; i++) out[i] += s * f[i];
        }
      }
    }
  }
}

/// Two rows exp(m) x are added at the larger of their m. An empty row (m = -infinity) takes no part: exp(m -
/// m') of two empty rows would be NaN.
template <typename Real>
static void applyLogMax(const TransitionApply<Real>& task, Real logFactor, int64_t begin, int64_t end) {
  const int64_t last = task.rowLength - 1;
  for (int64_t row = begin; row < end; row++) {
    const auto [E, S, out] = rowAt(task, row);
    const Real decayed = S[last] + logFactor, added = E[last];
    const Real m = decayed > added ? decayed : added;
    const Real keep = decayed == -INFINITY ? 0 : std::exp(decayed - m);
    const Real add = added == -INFINITY ? 0 : std::exp(added - m);
    for (int64_t i = 0; i < last; i++) out[i] = keep * S[i] + add * E[i];
    out[last] = m;
  }
}

template <typename Real>
static void applyHead(const TransitionApply<Real>& task, int64_t head, int64_t begin, int64_t end) {
  const int64_t N = task.rowLength;
  switch (task.kind) {
    case TransitionKind::identity:
      return applyScalar(task, Real(1), begin, end);
    case TransitionKind::scalar:
      return applyScalar(task, task.factor[head], begin, end);
    case TransitionKind::diagonal:
      return applyDiagonal(task, task.factor + head * N, begin, end);
    case TransitionKind::expDiagonal: {
      const Real* rates = task.rates + head % task.headsPerBatch * N;
      Real factor[maxRowLength];
      for (int64_t i = 0; i < N; i++) factor[i] = std::exp(rates[i] * task.factor[head]);
      return applyDiagonal(task, factor, begin, end);
    }
    case TransitionKind::fixedComplex:
      return applyComplex(task, task.factor + head * N, begin, end);
    case TransitionKind::dense:
      return applyDense(task, task.factor + head * N * N, begin, end);
    case TransitionKind::logMax:
      return applyLogMax(task, task.factor[head], begin, end);
  }
}

template <typename Real>
static void applyRows(const TransitionApply<Real>& task, int64_t begin, int64_t end) {
  while (begin < end) {
    const int64_t head = begin / task.rowsPerHead;
    const int64_t headEnd = (head + 1) * task.rowsPerHead < end ? (head + 1) * task.rowsPerHead : end;
    // Selected, not multiplied by zero: the state of another document may hold anything, NaN included.
    if (task.reset != nullptr && task.reset[head / task.headsPerBatch] != 0) {
      const int64_t N = task.rowLength;
      for (int64_t at = begin * N; at < headEnd * N; at++) task.out[at] = task.E[at];
    } else {
      applyHead(task, head, begin, headEnd);
    }
    begin = headEnd;
  }
}

void transitionApply(const TransitionApply<float>& task, int64_t begin, int64_t end) {
  applyRows(task, begin, end);
}
void transitionApply(const TransitionApply<double>& task, int64_t begin, int64_t end) {
  applyRows(task, begin, end);
}

}  // namespace LONGSCAN_LEVEL
}  // namespace longscan
