#pragma once

#include <cstdint>

namespace longscan {

/// Multiprocessors that segments are to keep busy. Fixed, whatever device is at hand, so that the same shape
/// is always cut in the same way and always gives the same bits.
constexpr int64_t wantedMultiprocessors = 132;

/// How one device cuts a slice's T tokens where blocks over batch rows and channels alone leave most of it
/// idle: the segments' effects first, then their fold, then every segment from its own state.
struct Segments {
  int64_t tokens;  // of each but the last; a multiple of the step
  int count;

  /// `blocks`: of a sweep that is not cut. `stepTokens`: those that a block takes at once.
  Segments(int64_t T, int64_t blocks, int64_t stepTokens) {
    // A cut reads the inputs once more: below a third of the chip that is the lesser evil.
    *this = about(T, 3 * blocks >= wantedMultiprocessors ? 1 : wantedMultiprocessors / blocks, stepTokens);
  }

  /// Not more than `wanted`, equally long but for the last.
  static Segments about(int64_t T, int64_t wanted, int64_t stepTokens) {
    const int64_t steps = (T + stepTokens - 1) / stepTokens;
    const int64_t stepsEach = (steps + wanted - 1) / wanted;
    return {stepsEach * stepTokens, static_cast<int>((steps + stepsEach - 1) / stepsEach)};
  }

 private:
  Segments(int64_t tokens, int count) : tokens(tokens), count(count) {}
};

}  // namespace longscan
