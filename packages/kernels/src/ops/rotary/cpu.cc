#include <cmath>

#include "rotary.h"

namespace longscan {
namespace LONGSCAN_LEVEL {

/// Positions are split as `coarse · fineSteps + fine`: one table of the fine turns, and the coarse turns anew
/// only when they change. A product of two turns in f64 is as exact as their sine, at a fraction of its cost.
constexpr int64_t fineSteps = 32;

static inline void fillTurns(const double* frequencies, int64_t half, double position, double* cosines,
                             double* sines) {
  for (int64_t i = 0; i < half; i++) {
    cosines[i] = std::cos(position * frequencies[i]);
    sines[i] = std::sin(position * frequencies[i]);
  }
}

template <typename Real>
static void rotateRows(const Rotary<Real>& task, int64_t begin, int64_t end, double* scratch) {
  const int64_t half = task.K / 2;
  double* frequencies = scratch;
  double* fineCos = frequencies + half;
  double* fineSin = fineCos + fineSteps * half;
  double* coarseCos = fineSin + fineSteps * half;
  double* coarseSin = coarseCos + half;
  Real* cosines = reinterpret_cast<Real*>(coarseSin + half);
  Real* sines = cosines + half;
  for (int64_t i = 0; i < half; i++) {
    frequencies[i] = std::pow(task.theta, -2.0 * static_cast<double>(i) / static_cast<double>(task.K));
  }
  for (int64_t n = 0; n < fineSteps; n++) {
    fillTurns(frequencies, half, static_cast<double>(n), fineCos + n * half, fineSin + n * half);
  }
  int64_t coarseNow = -1;
  for (int64_t row = begin; row < end; row++) {
    const int64_t given = task.positions[row];
    const int64_t position = given < 0 ? 0 : given / task.step;
    const int64_t coarse = position / fineSteps, fine = position % fineSteps * half;
    if (coarse != coarseNow) {
      fillTurns(frequencies, half, static_cast<double>(coarse * fineSteps), coarseCos, coarseSin);
      coarseNow = coarse;
    }
    for (int64_t i = 0; i < half; i++) {
      const double c = fineCos[fine + i], s = fineSin[fine + i];
      cosines[i] = static_cast<Real>(coarseCos[i] * c - coarseSin[i] * s);
      sines[i] = static_cast<Real>(task.sign * (coarseSin[i] * c + coarseCos[i] * s));
    }
    for (int64_t h = 0; h < task.H; h++) {
      const Real* x = task.x + (row * task.H + h) * task.K;
      Real* y = task.y + (row * task.H + h) * task.K;
      for (int64_t i = 0; i < half; i++) {
        const Real low = x[i], high = x[half + i];
        y[i] = low * cosines[i] - high * sines[i];
        y[half + i] = high * cosines[i] + low * sines[i];
      }
    }
  }
}

void rotary(const Rotary<float>& task, int64_t begin, int64_t end, double* scratch) {
  rotateRows(task, begin, end, scratch);
}

void rotary(const Rotary<double>& task, int64_t begin, int64_t end, double* scratch) {
  rotateRows(task, begin, end, scratch);
}

}  // namespace LONGSCAN_LEVEL
}  // namespace longscan
