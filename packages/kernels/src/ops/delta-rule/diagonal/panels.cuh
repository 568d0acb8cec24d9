#pragma once

#include "../chunkwise/inverse.cuh"
#include "../chunkwise/prepare.h"
#include "cuda/warpgroup_tf32.cuh"
#include "prepare.h"
#include "steep.cuh"

namespace longscan {

namespace {

/// Which chunk it is, reckoned by one thread.
struct DiagonalPlace {
  int batch, chunk;
  int index;       // among all heads' chunks
  uint32_t first;  // token of the head in [B, T, H]

  /// Of a number as `DeltaPrepareTasks` counts.
  __device__ static DiagonalPlace of(const DeltaDiagonalPrepareCall& call, int task) {
    const int heads = static_cast<int>(call.B) * call.H, chunk = task / heads, bh = task % heads;
    const int numChunks = static_cast<int>((call.T + tileTokens - 1) / tileTokens), batch = bh / call.H;
    return {batch, chunk, bh * numChunks + chunk,
            (batch * static_cast<uint32_t>(call.T) + chunk * tileTokens) * call.H + bh % call.H};
  }
};

/// Of a chunk: two warpgroups, which have a part of a block's memory for themselves.
struct DiagonalPrepareLayout {
  static constexpr int panels = 2;  // of 64 channels, taken together
  static constexpr int queries = 0;
  // Gates, then their sums, then keys decayed back, in each other's places.
  static constexpr int gates = queries + panels * Tile<64>::bytes;
  static constexpr int starts = gates + panels * Tf32Panel::bytes;
  static constexpr int totals = starts + panels * SubStarts::bytes;
  static constexpr int endKeys = totals;  // of a steep panel, when sums have been made
  static constexpr int ends = endKeys + EndKeys::bytes;
  static constexpr int beta = ends + panels * 64 * 4;
  static constexpr int task = beta + 64 * 4;
  static constexpr int place = task + 16;
  static constexpr int keys = (place + 16 + 1023) / 1024 * 1024;  // a tile for each panel of K
  __host__ __device__ static constexpr int bytes(int K) { return keys + (K + 63) / 64 * Tile<64>::bytes; }

  // When all panels are through:
  static constexpr int inverse = queries;
  static constexpr int square = inverse + Tile<64>::bytes;
  static constexpr int diagonal = square + SplitSquare::bytes;
  static constexpr int values = diagonal + 4 * DiagonalBlock::bytes;
  static constexpr int valueTiles = 2;
  static_assert(numSubs * panels * 64 * 4 <= EndKeys::bytes, "totals have the place");
  static_assert(values % 1024 == 0 && values + valueTiles * Tile<64>::bytes <= starts, "tiles");
};

/// Two warpgroups that take a chunk's channels in pairs of panels of 64. A warp has eight tokens, of which it
/// takes queries and erase keys together.
class DiagonalPanels {
 protected:
  using Layout = DiagonalPrepareLayout;
  /// Where sums of log2 decays begin, for all chunks alike: a row's numbers depend on no later gate.
  static constexpr float firstSum = -mildest;
  static constexpr float leastExponent = -126.0f;  // of f32

  const DeltaDiagonalPrepareCall& call;
  const uint32_t base;  // of the pair's shared memory
  int span;             // of tokens in the chunk, the piece's, and whether it is the last one

 public:
  /// Barriers of a pair: of all its threads, and of either warpgroup.
  static constexpr int barriers = 3;

  /// `shared`: of the pair, with the place of the chunk.
  __device__ DiagonalPanels(const DeltaDiagonalPrepareCall& call, const unsigned char* shared)
      : call(call), base(sharedAddress(shared)) {}

  /// All threads of the pair.
  __device__ static void meet() { joinBarrier(1 + barriers * pair(), diagonalThreads); }

 protected:
  /// In one register.
  __device__ static int spanOf(const Piece& piece) {
    return piece.low | piece.high << 8 | piece.closesChunk << 16;
  }
  __device__ int low() const { return span & 255; }
  __device__ int high() const { return span >> 8 & 255; }
  __device__ bool closesChunk() const { return span >> 16; }
  __device__ bool has(int row) const {
    return static_cast<unsigned>(row - low()) < static_cast<unsigned>(high() - low());
  }
  __device__ const DiagonalPlace& place() const {
    return *static_cast<const DiagonalPlace*>(pointerTo(Layout::place));
  }
  /// Of the chunk's first row among all heads' rows.
  __device__ int64_t firstRow() const { return static_cast<int64_t>(place().index) * tileTokens; }
  /// Of the chunk's first token in [B, T, H, width].
  __device__ int64_t placeOf(int width) const { return static_cast<int64_t>(place().first) * width; }
  /// From token to token.
  __device__ int pitch() const { return call.H * call.K; }
  /// Of warpgroups, in the block.
  __device__ static int pair() {
    int pair;
    asm volatile("mov.u32 %0, %%tid.y;" : "=r"(pair));
    return pair;
  }
  __device__ static int ofWarpgroup() { return 2 + barriers * pair() + warpgroupNumber(); }
  __device__ void meetWarpgroup() const { joinBarrier(ofWarpgroup(), 128); }
  __device__ Tile<64> tile(int offset) const { return {base + offset}; }
  __device__ void* pointerTo(int offset) const { return __cvta_shared_to_generic(base + offset); }
  __device__ float* floats(int offset) const { return static_cast<float*>(pointerTo(offset)); }
  __device__ Tile<64> Q(int panel) const { return tile(Layout::queries + panel * Tile<64>::bytes); }
  /// Of all K; erase keys when they are decayed.
  __device__ Tile<64> K(int channel) const { return tile(Layout::keys + channel / 64 * Tile<64>::bytes); }
  __device__ Tf32Panel gates(int panel) const { return {base + Layout::gates + panel * Tf32Panel::bytes}; }
  __device__ SubStarts starts(int panel) const { return {base + Layout::starts + panel * SubStarts::bytes}; }
  /// Of 2^c of the last token, of both panels' channels.
  __device__ uint32_t endOf(int channel) const { return base + Layout::ends + channel * 4; }

  __device__ void loadBeta() const {
    const int row = threadAnew();
    if (row >= tileTokens) return;
    float beta = 0.0f;
    if (has(row)) {
      beta = call.beta ? usableBeta(call.beta[place().first + static_cast<int64_t>(row) * call.H]) : 1.0f;
      call.to.outOf[firstRow() + row] = beta;
    }
    floats(Layout::beta)[row] = beta;
  }

  /// Starts to fill the tiles of both panels from `channel` on.
  __device__ void fillPanels(int channel) const {
    const int thread = threadAnew();
    const int64_t place = placeOf(call.K);
#pragma unroll
    for (int panel = 0; panel < Layout::panels; panel++, channel += 64) {
      if (channel >= call.K) break;
#pragma unroll
      for (int i = 0; i < 4; i++) {
        const int row = thread / 16 + 16 * i, column = channel + thread % 16 * 4;
        copyAsync16(gates(panel).address(row, thread % 16), call.g + place + row * pitch() + column,
                    has(row) && column < call.K);
      }
#pragma unroll
      for (int i = 0; i < 2; i++) {
        const int row = thread / 8 + 32 * i, column = channel + thread % 8 * 8;
        const bool there = has(row) && column < call.K;
        const int64_t from = place + row * pitch() + column;
        copyAsync16(Q(panel).address(row, thread % 8), call.q + from, there);
        copyAsync16(K(channel).address(row, thread % 8), call.k + from, there);
      }
    }
    commitCopies();
  }

  /// Gates of both panels become sums in log2 from their sub-chunk's start on; a thread has two channels of a
  /// sub-chunk.
  __device__ void sumGates(int channel) const {
    static_assert(diagonalThreads == 64 * numSubs, "two of 128 channels each");
    constexpr float log2e = 1.4426950408889634f;
    const int own = threadAnew() % 64, sub = threadAnew() / 64;
    const bool there = channel + own / 32 * 64 < call.K;  // the panel; what K has not is zero
    const auto totalOf = [&](int sub) { return base + Layout::totals + (128 * sub + 2 * own) * 4; };
    if (there) {
      const uint32_t from = gates(own / 32).address(subTokens * sub, own % 32 / 2) + own % 2 * 8;
      float2 sum = make_float2(0.0f, 0.0f);
#pragma unroll
      for (int i = 0; i < subTokens; i += 8) {
        const auto at = [&](int j) { return (from ^ j << 4) + (i + j) * 128; };
        float2 gates[8];
#pragma unroll
        for (int j = 0; j < 8; j++) gates[j] = loadSharedFloat2(at(j));
#pragma unroll
        for (int j = 0; j < 8; j++) {
          sum = make_float2(sum.x + gates[j].x * log2e, sum.y + gates[j].y * log2e);
          storeShared(at(j), sum);
        }
      }
      storeShared(totalOf(sub), sum);
    }
    meet();
    if (there && sub == 0) {
      const SubStarts to = starts(own / 32);
      const int column = 2 * own % 64;
      float2 before = make_float2(firstSum, firstSum), whole = make_float2(0.0f, 0.0f);
#pragma unroll
      for (int i = 0; i < numSubs; i++) {
        storeShared(to.address(i, column), before);
        const float2 total = loadSharedFloat2(totalOf(i));
        before = make_float2(before.x + total.x, before.y + total.y);
        whole = make_float2(whole.x + total.x, whole.y + total.y);
      }
      storeShared(to.address(numSubs, column), before);
      storeShared(endOf(2 * own), make_float2(exp2Fast(before.x), exp2Fast(before.y)));
      if (low() == 0 && channel + 2 * own < call.K)
        *reinterpret_cast<float2*>(call.to.gamma + static_cast<int64_t>(place().index) * call.K + channel +
                                   2 * own) = make_float2(gammaOf(whole.x), gammaOf(whole.y));
    }
    meet();
  }

 private:
  /// Never zero of a mild channel: `wholeGradientKernel` takes chunks of such.
  __device__ static float gammaOf(float sum) {
    const bool tooSmall = sum < leastExponent && firstSum + sum >= mildest;
    return exp2Fast(tooSmall ? leastExponent : sum);
  }
};

}  // namespace

}  // namespace longscan
