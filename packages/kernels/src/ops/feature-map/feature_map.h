#pragma once

#include <cstdint>

#include "../../core/cpu.h"

namespace longscan {

/// Products of the K elements of a row with each other, after what is linear:
/// [constant, linear · x (K), square · x_i² (K), cross · x_i x_j (K (K - 1) / 2, i < j, i outer)].
template <typename Real>
struct FeatureMap {
  int64_t K, numFeatures;
  bool hasLinear;  // else neither the constant nor the linear part is there
  Real linear, square, cross;
};

}  // namespace longscan

// Rows [begin, end): x [rows, K], y and dy [rows, map.numFeatures].
LONGSCAN_KERNEL(featureMapForward,
                (const FeatureMap<float>& map, const float* x, float* y, int64_t begin, int64_t end),
                (map, x, y, begin, end))
LONGSCAN_KERNEL(featureMapForward,
                (const FeatureMap<double>& map, const double* x, double* y, int64_t begin, int64_t end),
                (map, x, y, begin, end))
LONGSCAN_KERNEL(featureMapBackward,
                (const FeatureMap<float>& map, const float* x, const float* dy, float* dx, int64_t begin,
                 int64_t end),
                (map, x, dy, dx, begin, end))
LONGSCAN_KERNEL(featureMapBackward,
                (const FeatureMap<double>& map, const double* x, const double* dy, double* dx, int64_t begin,
                 int64_t end),
                (map, x, dy, dx, begin, end))
