#pragma once

namespace longscan {

/// The numbers of `functionCodes` in index.ts.
enum class Holomorphic { holdRatio, bilinearRatio, bilinearLog };
constexpr int numFunctions = 3;

/// Below this magnitude the differences of `holdRatio` cancel, and the series is exact in so many terms.
constexpr double smallMagnitude = 0.5;
constexpr int seriesTerms = 16;

}  // namespace longscan
