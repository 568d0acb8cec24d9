#include "feature_map.h"

namespace longscan {
namespace LONGSCAN_LEVEL {

template <typename Real>
static void forwardRows(const FeatureMap<Real>& map, const Real* x, Real* y, int64_t begin, int64_t end) {
  const int64_t K = map.K;
  for (int64_t row = begin; row < end; row++) {
    const Real* from = x + row * K;
    Real* to = y + row * map.numFeatures;
    if (map.hasLinear) {
      *to++ = 1;
      for (int64_t i = 0; i < K; i++) *to++ = map.linear * from[i];
    }
    for (int64_t i = 0; i < K; i++) *to++ = map.square * (from[i] * from[i]);
    for (int64_t i = 0; i < K; i++) {
      const Real factor = map.cross * from[i];
      for (int64_t j = i + 1; j < K; j++) *to++ = factor * from[j];
    }
  }
}

template <typename Real>
static void backwardRows(const FeatureMap<Real>& map, const Real* x, const Real* dy, Real* dx, int64_t begin,
                         int64_t end) {
  const int64_t K = map.K;
  for (int64_t row = begin; row < end; row++) {
    const Real* from = x + row * K;
    const Real* change = dy + row * map.numFeatures + (map.hasLinear ? 1 : 0);
    Real* to = dx + row * K;
    for (int64_t i = 0; i < K; i++) to[i] = map.hasLinear ? map.linear * *change++ : 0;
    for (int64_t i = 0; i < K; i++) to[i] += 2 * map.square * from[i] * *change++;
    for (int64_t i = 0; i < K; i++) {
      const Real factor = map.cross * from[i];
      Real sum = 0;
      for (int64_t j = i + 1; j < K; j++) {
        sum += from[j] * *change;
        to[j] += factor * *change++;
      }
      to[i] += map.cross * sum;
    }
  }
}

void featureMapForward(const FeatureMap<float>& map, const float* x, float* y, int64_t begin, int64_t end) {
  forwardRows(map, x, y, begin, end);
}

void featureMapForward(const FeatureMap<double>& map, const double* x, double* y, int64_t begin,
                       int64_t end) {
  forwardRows(map, x, y, begin, end);
}

void featureMapBackward(const FeatureMap<float>& map, const float* x, const float* dy, float* dx,
                        int64_t begin, int64_t end) {
  backwardRows(map, x, dy, dx, begin, end);
}

void featureMapBackward(const FeatureMap<double>& map, const double* x, const double* dy, double* dx,
                        int64_t begin, int64_t end) {
  backwardRows(map, x, dy, dx, begin, end);
}

}  // namespace LONGSCAN_LEVEL
}  // namespace longscan
