#pragma once

#include "panels.cuh"

namespace longscan {

namespace {

/// The products of a chunk's queries with keys, and of erase keys with keys, decayed. Of a warp's 16 sums of
/// rows the first eight are queries', the last eight the same tokens' keys', so that a thread has both of a
/// token and needs its decays once. Rows lane/4 are tokens in the order 0 4 2 6 1 5 3 7: then those that
/// shared memory serves together lie in different banks.
class DiagonalScores : protected DiagonalPanels {
 protected:
  using DiagonalPanels::DiagonalPanels;

  __device__ static int orderOf(int row) { return (row & 1) << 2 | (row & 2) | row >> 2; }
  __device__ static int firstOf(const DeltaLane& at) { return 8 * at.warp; }
  __device__ static int tokenOf(const DeltaLane& at) { return firstOf(at) + orderOf(at.group); }

  /// What up to 128 channels add to the scores; these channels' queries and keys as the sweeps read them.
  __device__ void addPanels(Sums& scores, int channel) const {
    fillPanels(channel);
    waitForCopies<0>();
    meet();
    sumGates(channel);
#pragma unroll 1
    for (int panel = 0; panel < Layout::panels && channel + 64 * panel < call.K; panel++) {
      const int own = channel + 64 * panel;
      if (isMild(panel)) {
        addDecayed<true>(scores, panel, own);
      } else {
        addSteep(scores, panel, own);
        addDecayed<false>(scores, panel, own);
      }
    }
    meet();
  }

 private:
  /// Whether all channels of the panel are, in the whole piece. Each warp looks at all of them.
  __device__ bool isMild(int panel) const {
    const float2 all = starts(panel).pairAt(numSubs, 2 * (threadAnew() % 32));
    return __all_sync(~0u, all.x >= mildest && all.y >= mildest);
  }

  __device__ void addSteep(Sums& scores, int panel, int channel) const {
    const DeltaLane at(threadAnew());
    const SteepChannels steep(gates(panel), starts(panel), Q(panel), K(channel), {base + Layout::endKeys}, at,
                              tokenOf(at));
#pragma unroll 1
    for (int column = 0; column < 64; column += EndKeys::channels) {
      steep.decayToEnds(column);
      meet();
      steep.addTo(scores, column);
      meet();
    }
  }

  /// The second half's first operand is made when the first half's is used up, so that fewer registers are in
  /// use at once.
  template <bool mild>
  __device__ void addDecayed(Sums& scores, int panel, int channel) const {
    HalfSums sums, later;
    Tf32A a[4];
    decayBack<mild>(later, panel, channel, 1);
    decayBack<mild>(sums, panel, channel, 0);
    decayOn<mild>(a, sums, panel, channel, 0);
    publishToProducts();
    meet();
    multiplyHalf(scores, a, panel, 0);
    decayOn<mild>(a, later, panel, channel, 1);
    multiplyHalf(scores, a, panel, 1);
  }

  __device__ void multiplyHalf(Sums& scores, const Tf32A (&a)[4], int panel, int half) const {
    const Tf32Panel keys{anew(gates(panel).base)};
    beginProducts();
#pragma unroll
    for (int k = 0; k < 4; k++) multiplyTf32(scores, a[k], keys, 4 * half + k);
    commitProducts();
    waitForProducts<0>();
  }

  // A thread has 32 channels of a token in a half panel with three others, of each 16 four neighbours.
  using HalfSums = float[2][4];
  __device__ static int ownOf(const DeltaLane& at, int half) {
    return 32 * half + 4 * (at.lane % 4);
  }
  __device__ static uint32_t halvesAt(Tile<64> tile, int token, int own) {
    return tile.address(token, own / 8) + own % 8 * 2;
  }

  /// Keys decayed back, in the place of sums, as products read them: 2^-c K; and to the piece's end, as the
  /// sweeps do. Column 4 i + j of eight that a product contracts is channel 4 j + i of 16.
  template <bool mild>
  __device__ void decayBack(HalfSums& sums, int panel, int channel, int half) const {
    const DeltaLane at(threadAnew());
    const int token = tokenOf(at), own = ownOf(at, half);
    const uint32_t from = gates(panel).address(token, own / 4),
                   to = gates(panel).address(token, 8 * half) + 4 * (at.lane % 4),
                   keys = halvesAt(K(channel), token, own), start = starts(panel).address(at.warp / 2, own),
                   ends = mild ? endOf(64 * panel + own) : starts(panel).address(numSubs, own);
    uint2 write[2];
#pragma unroll
    for (int i = 0; i < 2; i++) {
      float before[4], end[4], k[4];
      loadFour(sums[i], from ^ i << 6);
      loadFour(before, start + 64 * i);
      loadFour(end, ends + 64 * i);
      loadFourHalves(k, keys ^ i << 5);
      __syncwarp();  // all four threads have read the sums
#pragma unroll
      for (int j = 0; j < 4; j++) {
        const float sum = sums[i][j] = before[j] + sums[i][j];
        const float back = k[j] * exp2Fast(mild ? -sum : fminf(-sum, -mildest));
        storeShared((to ^ j << 4) ^ i << 6, roundInProduct(back));
        k[j] = mild ? back * end[j] : k[j] * exp2Fast(end[j] - sum);
      }
      write[i] = packFour(k);
    }
    storeHalf(call.to.writeKeys, write, at, channel, half);
  }

  /// Queries and erase keys decayed on, as first operand without what is steep, and in bf16 from the piece's
  /// start.
  template <bool mild>
  __device__ void decayOn(Tf32A (&a)[4], const HalfSums& sums, int panel, int channel, int half) const {
    const DeltaLane at(threadAnew());
    const int token = tokenOf(at), own = ownOf(at, half);
    const uint32_t queries = halvesAt(Q(panel), token, own), keys = halvesAt(K(channel), token, own);
    constexpr float fromStart = 1.0f / (1ull << 48) / (1ull << 48);  // 2^-firstSum
    const float queryScale = call.scale * fromStart;
    uint2 decayed[2];
#pragma unroll
    for (int i = 0; i < 2; i++) {
      float q[4], k[4];
      loadFourHalves(q, queries ^ i << 5);
      loadFourHalves(k, keys ^ i << 5);
#pragma unroll
      for (int j = 0; j < 4; j++) {
        const float sum = sums[i][j], near = exp2Fast(sum);
        q[j] *= near;
        k[j] *= near;
        a[2 * i + j / 2][j % 2 * 2] = mild || sum >= mildest ? roundInProduct(q[j]) : 0;
        a[2 * i + j / 2][j % 2 * 2 + 1] = mild || sum >= mildest ? roundInProduct(k[j]) : 0;
        q[j] *= queryScale;
        k[j] *= fromStart;
      }
      decayed[i] = packFour(q);
      storeShared(keys ^ i << 5, packFour(k));
    }
    storeHalf(call.to.queries, decayed, at, channel, half);
  }

  /// Half a panel to [B, T, H, K]: two threads exchange what makes 16 bytes of each.
  __device__ void storeHalf(__nv_bfloat16* to, const uint2 (&x)[2], const DeltaLane& at, int channel,
                            int half) const {
    const bool odd = at.lane % 2;
    const uint2 own = odd ? x[1] : x[0], given = odd ? x[0] : x[1];
    const uint2 other = {__shfl_xor_sync(~0u, given.x, 1), __shfl_xor_sync(~0u, given.y, 1)};
    const uint2 left = odd ? other : own, right = odd ? own : other;
    const int token = tokenOf(at), column = channel + 32 * half + at.lane % 2 * 16 + at.lane % 4 / 2 * 8;
    if (has(token) && column < call.K)
      *reinterpret_cast<uint4*>(to + placeOf(call.K) + token * pitch() + column) =
          make_uint4(left.x, left.y, right.x, right.y);
  }
};

}  // namespace

}  // namespace longscan
