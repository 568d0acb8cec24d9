#pragma once

#include <cstdint>

namespace longscan {

/// How one device cuts a slice's T tokens where blocks over batch rows and channels alone leave most of it
/// idle: the segments' effects first, then their fold, then every segment from its own state. By the shape
/// alone, never by the device at hand, so that the same shape always gives the same bits.
struct Segments {
  int64_t tokens;  // of each but the last; a multiple of the step
  int count;

  /// `blocks`: of a sweep that is not cut. `stepTokens`: those that a block takes at once.
  Segments(int64_t T, int64_t blocks, int64_t stepTokens) {
    constexpr int64_t multiprocessors = 132;
    // A cut reads the inputs once more: below a third of the chip that is the lesser evil.
    *this = about(T, 3 * blocks >= multiprocessors ? 1 : multiprocessors / blocks, stepTokens);
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
