#pragma once

// Blocks of neighbouring channels, one per vector lane, for recurrences that mix no channels: `cpu*.cc` only.

#include "lane_block.h"
#include "simd.h"

namespace longscan {
namespace LONGSCAN_LEVEL {

/// The channels of one block: all lanes of a vector, fewer at the end of the row. Lanes without a channel
/// hold zeros.
template <typename Real>
struct Lanes {
  int count;

  Vec<Real> load(const Real* p) const {
    return count == Vec<Real>::width ? Vec<Real>::load(p) : Vec<Real>::loadFirst(p, count);
  }
  void store(Vec<Real> value, Real* p) const {
    if (count == Vec<Real>::width) {
      value.store(p);
    } else {
      value.storeFirst(p, count);
    }
  }
};

/// Calls body(channel, lanes) for blocks of the channels [begin, end).
template <typename Real, typename Body>
static inline void forLanes(int64_t begin, int64_t end, Body body) {
  constexpr int width = Vec<Real>::width;
  int64_t c = begin;
  for (; c + width <= end; c += width) body(c, Lanes<Real>{width});
  if (c < end) body(c, Lanes<Real>{static_cast<int>(end - c)});
}

/// Calls body(b, channel, lanes) for the blocks [begin, end) of the B * ceil(numChannels / 16) blocks of a
/// call.
template <typename Real, typename Body>
static inline void forLaneBlocks(int64_t numChannels, int64_t begin, int64_t end, Body body) {
  const int64_t blocksPerRow = (numChannels + laneBlock - 1) / laneBlock;
  for (int64_t i = begin; i < end; i++) {
    const int64_t first = i % blocksPerRow * laneBlock;
    const int64_t last = first + laneBlock < numChannels ? first + laneBlock : numChannels;
    forLanes<Real>(first, last, [&](int64_t c, Lanes<Real> lanes) { body(i / blocksPerRow, c, lanes); });
  }
}

/// Whether a document starts with this row of the [B, T] tokens; null: one document.
static inline bool startsDocument(const int32_t* resets, int64_t row) {
  return resets != nullptr && resets[row] != 0;
}

/// Rows from `row` on, `numTokens` at most, before the first with which a document starts: only these depend
/// on the state that enters.
static inline int64_t numUntilStart(const int32_t* resets, int64_t row, int64_t numTokens) {
  int64_t t = 0;
  while (t < numTokens && !startsDocument(resets, row + t)) t++;
  return t;
}

/// The tokens [begin, end) of batch row b.
struct Chunk {
  int64_t b, begin, end;
};

template <typename Real>
static inline void setZero(Real* p, int64_t size) {
  for (int64_t i = 0; i < size; i++) p[i] = 0;
}

/// What `count` channels have, `length` numbers each, from [count, length] to [length, width] with zeros in
/// the other lanes; null is zero everywhere.
template <typename Real>
static inline void loadChannels(const Real* from, Lanes<Real> lanes, int64_t length, Real* to) {
  constexpr int width = Vec<Real>::width;
  setZero(to, length * width);
  for (int c = 0; from != nullptr && c < lanes.count; c++) {
    for (int64_t i = 0; i < length; i++) to[i * width + c] = from[c * length + i];
  }
}

/// Back from [length, width] to [count, length].
template <typename Real>
static inline void storeChannels(const Real* from, Lanes<Real> lanes, int64_t length, Real* to) {
  for (int c = 0; c < lanes.count; c++) {
    for (int64_t i = 0; i < length; i++) to[c * length + i] = from[i * Vec<Real>::width + c];
  }
}

}  // namespace LONGSCAN_LEVEL
}  // namespace longscan
