#pragma once

#include "cuda/warpgroup_wide.cuh"
#include "frame.cuh"

// What tokens of one document that decays mildly give each other's gradients, in products of whole chunks.

namespace longscan {

/// 64 x 64 numbers in two bf16 terms.
struct TwoTerms {
  Tile<64> rounded, rest;
};

/// dA of one document, [query][key], scaled. No query has a share of later keys, or with a bonus of its own.
template <bool bonus>
__device__ inline void storeTerms(const NarrowSums& scores, TwoTerms to, float scale,
                                  const GradientPlace& at) {
  constexpr int last = bonus ? -1 : 0;
#pragma unroll
  for (int step = 0; step < 2; step++) {
    MmaA rounded, rest;
#pragma unroll
    for (int i = 0; i < 4; i++) {
      const int n = 2 * step + i / 2, ahead = at.keyOf(n) - at.row(i % 2);
      const float near = ahead <= last ? scale * scores[n][i % 2 * 2] : 0.0f;
      const float far = ahead < last ? scale * scores[n][i % 2 * 2 + 1] : 0.0f;
      rounded.x[i] = pack(near, far);
      rest.x[i] = pack(near - lowHalf(rounded.x[i]), far - highHalf(rounded.x[i]));
    }
    storeOperandA(to.rounded, at.row0, 2 * at.half + step, rounded, at.lane);
    storeOperandA(to.rest, at.row0, 2 * at.half + step, rest, at.lane);
  }
}

/// Keys scaled up from the chunk's start on, for the queries' gradient; for the keys' queries from its end
/// back. In two terms. They are made while the values are on their way, and wait in registers until those
/// have been read, whose place they take.
class ScaledUp {
  uint4 rounded[4], rest[4];

  __device__ static int unit() { return threadIdx.x % 8; }
  __device__ static int row(int step) { return threadIdx.x % 128 / 8 + 16 * step; }

 public:
  template <bool ofQuery, bool bonus>
  __device__ void make(const Chunk<bonus>& in) {
    const Tile<64> other = ofQuery ? in.K : in.Q;
    float end[8];
    if (!ofQuery) in.c.loadEight(end, tileTokens - 1, 8 * unit());
#pragma unroll
    for (int step = 0; step < 4; step++) {
      const uint4 both = loadShared16(other.address(row(step), unit()));
      const uint32_t values[4] = {both.x, both.y, both.z, both.w};
      uint32_t high[4], low[4];
      float here[8];
      if (ofQuery)
        in.c.loadEight(here, row(step), 8 * unit());
      else
        loadEightOfRead<bonus>(here, in.c, in.starts, row(step), 8 * unit());
#pragma unroll
      for (int n = 0; n < 4; n++) {
        const auto decay = [&](int i) { return exp2Decay(ofQuery ? -here[i] : here[i] - end[i]); };
        const float near = lowHalf(values[n]) * decay(2 * n), far = highHalf(values[n]) * decay(2 * n + 1);
        high[n] = pack(near, far);
        low[n] = pack(near - lowHalf(high[n]), far - highHalf(high[n]));
      }
      rounded[step] = make_uint4(high[0], high[1], high[2], high[3]);
      rest[step] = make_uint4(low[0], low[1], low[2], low[3]);
    }
  }

  __device__ void store(TwoTerms to) const {
#pragma unroll
    for (int step = 0; step < 4; step++) {
      storeShared16(to.rounded.address(row(step), unit()), rounded[step]);
      storeShared16(to.rest.address(row(step), unit()), rest[step]);
    }
  }
};

template <StoredB storedA>
__device__ inline void multiplyInside(Sums& sum, TwoTerms dA, TwoTerms other, const GradientPlace& at) {
  MmaA rounded[4], rest[4];
#pragma unroll
  for (int k = 0; k < 4; k++) {
    if (storedA == StoredB::rows) {
      rounded[k] = loadA(dA.rounded, at.row0, 16 * k, at.lane);
      rest[k] = loadA(dA.rest, at.row0, 16 * k, at.lane);
    } else {
      rounded[k] = loadATransposed(dA.rounded, 16 * k, at.row0, at.lane);
      rest[k] = loadATransposed(dA.rest, 16 * k, at.row0, at.lane);
    }
  }
  beginProducts();
#pragma unroll
  for (int k = 0; k < 4; k++) {
    if (k == 0)
      multiply<StoredB::columns, false>(sum, rounded[k], other.rounded, k);
    else
      multiply<StoredB::columns>(sum, rounded[k], other.rounded, k);
    multiply<StoredB::columns>(sum, rest[k], other.rounded, k);
    multiply<StoredB::columns>(sum, rounded[k], other.rest, k);
  }
  commitProducts();
  waitForProducts<0>();
  settle(sum);
}

/// What tokens of one document that decays mildly give each other, in products of the whole chunk. Both
/// factors in two bf16 terms: of the two gradients' roundings the decay's gradient is the difference. All
/// threads together. `base`: of shared memory.
template <bool bonus>
__device__ inline void findInsideMild(Sums& sum, const NarrowSums& scores, const ScaledUp& scaledUp,
                                      uint32_t base, float scale, const GradientPlace& at) {
  using Layout = GradientLayout;
  constexpr int bytes = Tile<64>::bytes;
  const uint32_t own = base + (at.ofQuery ? Layout::ofQueries : Layout::ofKeys);
  const TwoTerms dA{{base + Layout::terms}, {base + Layout::terms + bytes}}, other{{own}, {own + bytes}};
  scaledUp.store(other);
  storeTerms<bonus>(scores, dA, scale, at);
  publishToProducts();
  __syncthreads();
  if (at.ofQuery)
    multiplyInside<StoredB::rows>(sum, dA, other, at);
  else
    multiplyInside<StoredB::columns>(sum, dA, other, at);
  at.joinSide();  // what products have read is written again
}

}  // namespace longscan
