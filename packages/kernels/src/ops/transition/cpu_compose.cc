#include "compose.h"

namespace longscan {
namespace LONGSCAN_LEVEL {

/// Rows meet `first` before `second`: row first second.
template <typename Real>
static void multiplyMatrices(const Real* first, const Real* second, Real* out, int64_t N) {
  for (int64_t i = 0; i < N; i++) {
    for (int64_t j = 0; j < N; j++) out[i * N + j] = 0;
    for (int64_t k = 0; k < N; k++) {
      const Real factor = first[i * N + k];
      for (int64_t j = 0; j < N; j++) out[i * N + j] += factor * second[k * N + j];
    }
  }
}

template <typename Real>
static void multiplyComplex(const Real* a, const Real* b, Real* out, int64_t N) {
  for (int64_t i = 0; i < N; i += 2) {
    const Real re = a[i] * b[i] - a[i + 1] * b[i + 1];
    out[i + 1] = a[i] * b[i + 1] + a[i + 1] * b[i];
    out[i] = re;
  }
}

template <typename Real>
static void composeHeads(const TransitionCompose<Real>& task, int64_t begin, int64_t end) {
  const int64_t N = task.rowLength;
  for (int64_t head = begin; head < end; head++) {
    switch (task.kind) {
      case TransitionKind::identity:
        break;
      case TransitionKind::scalar:
        task.out[head] = task.earlier[head] * task.later[head];
        break;
      case TransitionKind::expDiagonal:
      case TransitionKind::logMax:
        task.out[head] = task.earlier[head] + task.later[head];
        break;
      case TransitionKind::diagonal:
        for (int64_t i = head * N; i < (head + 1) * N; i++) task.out[i] = task.earlier[i] * task.later[i];
        break;
      case TransitionKind::fixedComplex:
        multiplyComplex(task.earlier + head * N, task.later + head * N, task.out + head * N, N);
        break;
      case TransitionKind::dense: {
        const Real* earlier = task.earlier + head * N * N;
        const Real* later = task.later + head * N * N;
        // Applied as transposes, row Fe' Fl' = row (Fl Fe)'.
        if (task.transposed)
          multiplyMatrices(later, earlier, task.out + head * N * N, N);
        else
          multiplyMatrices(earlier, later, task.out + head * N * N, N);
        break;
      }
    }
  }
}

void transitionCompose(const TransitionCompose<float>& task, int64_t begin, int64_t end) {
  composeHeads(task, begin, end);
}
void transitionCompose(const TransitionCompose<double>& task, int64_t begin, int64_t end) {
  composeHeads(task, begin, end);
}

}  // namespace LONGSCAN_LEVEL
}  // namespace longscan
