#pragma once

#include "../chunkwise/inverse.cuh"
#include "../chunkwise/prepare.h"
#include "../sweep/parts.cuh"
#include "cuda/warpgroup_tf32.cuh"
#include "prepare.h"
#include "steep.cuh"

namespace longscan {

namespace {

/// Of a chunk: two warpgroups, which have a part of a block's memory for themselves.
struct DiagonalPrepareLayout {
  static constexpr int queries = 0;
  static constexpr int keys = queries + Tile<64>::bytes;
  static constexpr int backKeys = keys + Tile<64>::bytes;  // 2^-c K, or keys decayed to a sub-chunk's end
  static constexpr int gates = backKeys + PairPanel::bytes;
  static constexpr int subs = gates + PairPanel::bytes;
  static constexpr int beta = subs + SubDecays::bytes;
  static constexpr int task = beta + 64 * 4;
  static constexpr int eraseKeys = (task + 4 + 1023) / 1024 * 1024;  // a tile for each panel
  __host__ __device__ static constexpr int bytes(int K) {
    return eraseKeys + (K + 63) / 64 * Tile<64>::bytes;
  }

  // When all panels are through:
  static constexpr int inverse = queries;
  static constexpr int square = gates;
  static constexpr int diagonal = square + SplitSquare::bytes;
  static constexpr int values = keys;
  static constexpr int valueTiles = 3;
  static_assert(diagonal + 4 * DiagonalBlock::bytes <= beta, "both lie where gates and their sums were");
  static_assert(Tf32Panel::bytes <= PairPanel::bytes, "either has the place");
  static_assert(values + valueTiles * Tile<64>::bytes <= gates, "values beside the square");
};

/// One of two warpgroups that take a chunk's channels in panels of 64, with two products: the first one,
/// `ofQueries`, of queries with keys, the second one of erase keys with keys.
template <bool ofQueries>
class DiagonalPanels {
 protected:
  using Layout = DiagonalPrepareLayout;
  /// Where sums of log2 decays begin, for all chunks alike: a row's numbers depend on no later gate.
  static constexpr float firstSum = -mildest;
  static constexpr float leastExponent = -126.0f;  // of f32

  const DeltaDiagonalPrepareCall& call;
  unsigned char* const shared;
  const uint32_t base;
  const int pair;        // of warpgroups, in the block
  const int index;       // of the chunk among all heads' chunks
  const uint32_t first;  // token of the head in [B, T, H]
  int span;              // of tokens in the chunk, the piece's

 public:
  /// `shared`: of the pair.
  __device__ DiagonalPanels(const DeltaDiagonalPrepareCall& call, unsigned char* shared, int pair, int chunk,
                            int bh)
      : call(call),
        shared(shared),
        base(sharedAddress(shared)),
        pair(pair),
        index(bh * numChunks() + chunk),
        first((bh / call.H * static_cast<uint32_t>(call.T) + chunk * tileTokens) * call.H + bh % call.H) {}

 protected:
  /// Barriers of a pair: of all its threads, and of either warpgroup.
  static constexpr int barriers = 3;

  /// In one register.
  __device__ static int spanOf(int low, int high) { return low | high << 8; }
  __device__ int low() const { return span & 255; }
  __device__ int high() const { return span >> 8; }
  __device__ bool has(int row) const {
    return static_cast<unsigned>(row - low()) < static_cast<unsigned>(high() - low());
  }
  __device__ int numChunks() const { return static_cast<int>((call.T + tileTokens - 1) / tileTokens); }
  // Reckoned anew, since they are asked for once a piece only.
  __device__ int64_t batch() const { return anew(index) / numChunks() / call.H; }
  __device__ int chunk() const { return anew(index) % numChunks(); }
  /// Of the chunk's first token in [B, T, H, width].
  __device__ int64_t placeOf(int width) const { return static_cast<int64_t>(first) * width; }
  /// From token to token.
  __device__ int pitch() const { return call.H * call.K; }
  __device__ void meet() const { joinBarrier(1 + barriers * anew(pair), diagonalThreads); }
  __device__ int ofWarpgroup() const { return barriers * anew(pair) + (ofQueries ? 2 : 3); }
  __device__ void meetWarpgroup() const { joinBarrier(ofWarpgroup(), 128); }
  __device__ Tile<64> tile(int offset) const { return {base + offset}; }
  __device__ float* floats(int offset) const { return reinterpret_cast<float*>(shared + offset); }
  __device__ Tile<64> Q() const { return tile(Layout::queries); }
  __device__ Tile<64> K() const { return tile(Layout::keys); }
  __device__ PairPanel c() const { return {floats(Layout::gates)}; }
  __device__ SubDecays subs() const { return {floats(Layout::subs)}; }
  __device__ Tf32Panel backKeys() const { return {base + Layout::backKeys}; }
  __device__ Tile<64> eraseKeys(int channel) const {
    return tile(Layout::eraseKeys + channel / 64 * Tile<64>::bytes);
  }
  /// The first of a warp's 16 rows, those of a sub-chunk.
  __device__ static int row0(const DeltaLane& at) { return subTokens * (at.warp % 4); }

  __device__ void loadBeta() const {
    const int row = threadAnew();
    if (!ofQueries || row >= tileTokens) return;
    float beta = 0.0f;
    if (has(row)) {
      beta = call.beta ? usableBeta(call.beta[first + static_cast<int64_t>(row) * call.H]) : 1.0f;
      call.to.outOf[static_cast<int64_t>(index) * tileTokens + row] = beta;
    }
    floats(Layout::beta)[row] = beta;
  }

  /// Starts to fill the tiles of a panel.
  __device__ void fillPanel(int channel) const {
    const int thread = threadAnew();
    const int64_t place = placeOf(call.K);
#pragma unroll
    for (int i = 0; i < 2; i++) {
      const int row = thread / 8 + 32 * i, column = channel + thread % 8 * 8;
      const bool there = has(row) && column < call.K;
      const int64_t from = place + row * pitch() + column;
      copyAsync16(Q().address(row, thread % 8), call.q + from, there);
      copyAsync16(K().address(row, thread % 8), call.k + from, there);
    }
#pragma unroll
    for (int i = 0; i < 4; i++) {
      const int row = thread / 16 + 16 * i, column = thread % 16 * 4;
      copyAsync16(base + Layout::gates + (row * PairPanel::pitch + column) * 4,
                  call.g + place + row * pitch() + channel + column, has(row) && channel + column < call.K);
    }
    commitCopies();
  }

  /// What 64 channels add to the scores; the panel's queries and keys as the sweeps read them.
  __device__ void addPanel(Sums& scores, int channel) const {
    fillPanel(channel);
    waitForCopies<0>();
    meet();
    sumGates(c(), subs(), threadAnew(), firstSum, [&] { meet(); });
    if (ofQueries && low() == 0) storeGamma(channel);
    if (areMild(subs(), threadAnew() % 32)) {
      addDecayed<true>(scores, channel);
    } else {
      const SteepChannels steep(c(), subs(), ofQueries ? Q() : K(), K(), threadAnew());
      const PairPanel endKeys{floats(Layout::backKeys)};
      steep.decayToEnds(endKeys);
      meet();
      steep.addTo(scores, endKeys);
      meet();
      addDecayed<false>(scores, channel);
    }
    if (ofQueries) storeQueries(channel);
    meet();
  }

  template <bool mild>
  __device__ void addDecayed(Sums& scores, int channel) const {
    decayBack<mild>(channel);
    // The first operand's first half is made before the others are waited for, so that fewer registers are in
    // use at once.
    Tf32A a[4];
    decayOn<mild>(a, channel, 0);
    publishToProducts();
    meet();
    multiplyHalf(scores, a, 0);
    decayOn<mild>(a, channel, 4);
    multiplyHalf(scores, a, 4);
  }

  /// Never zero of a mild channel: `wholeGradientKernel` takes chunks of such.
  __device__ void storeGamma(int channel) const {
    const int thread = threadAnew();
    if (thread >= 64 || channel + thread >= call.K) return;
    float sum = 0.0f;
#pragma unroll
    for (int sub = 0; sub < numSubs; sub++) sum += subs().totals(sub)[thread];
    const bool tooSmall = sum < leastExponent && firstSum + sum >= mildest;
    call.to.gamma[static_cast<int64_t>(index) * call.K + channel + thread] =
        exp2Fast(tooSmall ? leastExponent : sum);
  }

  /// Keys as products read them, 2^-c K, and as the sweeps do, 2^(c_C - c) K.
  template <bool mild>
  __device__ void decayBack(int channel) const {
    const int thread = threadAnew(), own = thread % 16 * 4;
    float end[4];
    loadFour(end, subs().starts(numSubs) + own);
    if (mild)
#pragma unroll
      for (int j = 0; j < 4; j++) end[j] = exp2Fast(end[j]);
#pragma unroll
    for (int i = 0; i < tileTokens / 16; i++) {
      const int row = 16 * i + thread / 16;
      float k[4], sum[4], write[4];
      loadFour(k, K(), row, own);
      loadFour(sum, &c().at(row, own));
#pragma unroll
      for (int j = 0; j < 4; j++) {
        if (!mild) write[j] = k[j] * exp2Fast(end[j] - sum[j]);
        k[j] *= exp2Fast(mild ? -sum[j] : fminf(-sum[j], -mildest));
        if (mild) write[j] = k[j] * end[j];
      }
      backKeys().storeFour(row, own, k);
      if (has(row) && channel + own < call.K)
        *reinterpret_cast<uint2*>(call.to.writeKeys + placeOf(call.K) + row * pitch() + channel + own) =
            packFour(write);
    }
  }

  /// A warp's rows of queries or keys as first operand, decayed by their sums, over 32 columns from 8 step on
  /// and without what is steep; and in bf16, decayed from the piece's start, as the sweeps read them.
  template <bool mild>
  __device__ void decayOn(Tf32A (&a)[4], int channel, int step) const {
    const DeltaLane at(threadAnew());
    const int row = row0(at) + at.group;
    const uint32_t from = (ofQueries ? Q() : K()).address(row, 0) + 2 * at.pairOf;
    const uint32_t to = ofQueries ? from : eraseKeys(channel).address(row, 0) + 2 * at.pairOf;
    const float* const sums = &c().at(row, at.pairOf);
    constexpr float fromStart = 1.0f / (1ull << 48) / (1ull << 48);  // 2^-firstSum
#pragma unroll
    for (int k = 0; k < 4; k++)
#pragma unroll
      for (int i = 0; i < 2; i++) {
        const int unit = step + k;
        const uint32_t x = loadShared((from ^ unit << 4) + 8 * Tile<64>::pitch * i);
        const float2 sum = *reinterpret_cast<const float2*>(sums + 8 * PairPanel::pitch * i + 8 * unit);
        const float near = lowHalf(x) * exp2Fast(sum.x), far = highHalf(x) * exp2Fast(sum.y);
        a[k][i] = mild || sum.x >= mildest ? roundInProduct(near) : 0;
        a[k][i + 2] = mild || sum.y >= mildest ? roundInProduct(far) : 0;
        storeShared((to ^ unit << 4) + 8 * Tile<64>::pitch * i,
                    ofQueries ? pack(call.scale * (fromStart * near), call.scale * (fromStart * far))
                              : pack(fromStart * near, fromStart * far));
      }
  }

  __device__ void multiplyHalf(Sums& scores, const Tf32A (&a)[4], int step) const {
    const Tf32Panel keys{anew(backKeys().base)};
    beginProducts();
#pragma unroll
    for (int k = 0; k < 4; k++) multiplyTf32(scores, a[k], keys, step + k);
    commitProducts();
    waitForProducts<0>();
  }

  /// A warp's rows of decayed queries.
  __device__ void storeQueries(int channel) const {
    __syncwarp();
    const DeltaLane at(threadAnew());
    const int unit = at.lane % 8;
#pragma unroll
    for (int i = 0; i < 4; i++) {
      const int row = row0(at) + at.lane / 8 + 4 * i;
      if (has(row) && channel + 8 * unit < call.K)
        *reinterpret_cast<uint4*>(call.to.queries + placeOf(call.K) + row * pitch() + channel + 8 * unit) =
            loadShared16(Q().address(row, unit));
    }
  }
};

}  // namespace

}  // namespace longscan
