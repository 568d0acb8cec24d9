#include "transition.h"

namespace longscan {
namespace LONGSCAN_LEVEL {

template <typename Real>
static void applyRows(const TransitionApply<Real>& task, int64_t begin, int64_t end) {
  const int64_t length = task.rowLength;
  for (int64_t row = begin; row < end; row++) {
    const int64_t head = row / task.rowsPerHead;
    const Real* E = task.E + row * length;
    const Real* S = task.S + row * length;
    Real* out = task.out + row * length;
    // Selected, not multiplied by zero: the state of another document may hold anything, NaN included.
    if (task.reset != nullptr && task.reset[head / task.headsPerBatch] != 0) {
      for (int64_t i = 0; i < length; i++) out[i] = E[i];
    } else if (task.factorLength == 0) {
      for (int64_t i = 0; i < length; i++) out[i] = S[i] + E[i];
    } else if (task.factorLength == 1) {
      const Real factor = task.factor[head];
      for (int64_t i = 0; i < length; i++) out[i] = factor * S[i] + E[i];
    } else {
      const Real* factor = task.factor + head * length;
      for (int64_t i = 0; i < length; i++) out[i] = factor[i] * S[i] + E[i];
    }
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
