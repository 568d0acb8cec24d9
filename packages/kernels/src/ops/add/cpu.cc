#include "add.h"

namespace longscan {
namespace LONGSCAN_LEVEL {

void addForward(const float* a, const float* b, float* y, int64_t begin, int64_t end) {
  for (int64_t i = begin; i < end; i++) y[i] = a[i] + b[i];
}

void addForward(const double* a, const double* b, double* y, int64_t begin, int64_t end) {
  for (int64_t i = begin; i < end; i++) y[i] = a[i] + b[i];
}

void axpy(float factor, const float* x, float* y, int64_t begin, int64_t end) {
  for (int64_t i = begin; i < end; i++) y[i] += factor * x[i];
}

void axpy(double factor, const double* x, double* y, int64_t begin, int64_t end) {
  for (int64_t i = begin; i < end; i++) y[i] += factor * x[i];
}

}  // namespace LONGSCAN_LEVEL
}  // namespace longscan
