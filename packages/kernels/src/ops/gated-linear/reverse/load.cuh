#pragma once

#include <type_traits>

#include "frame.cuh"

namespace longscan {

/// The warps that load: one each for Q, K (and S), V, dO (with the decays; it also writes the decay's
/// gradient).
template <int DK, int DV>
class ReverseLoader : ReverseFrame<DK, DV> {
  using Frame = ReverseFrame<DK, DV>;
  using Layout = typename Frame::Layout;
  using Frame::b;
  using Frame::bh;
  using Frame::call;
  using Frame::emptied;
  using Frame::endChunk;
  using Frame::filled;
  using Frame::firstChunk;
  using Frame::h;
  using Frame::headOf;
  using Frame::meetsState;
  using Frame::numChunks;
  using Frame::pieceOf;
  using Frame::smallOf;
  using Frame::stateEmptied;
  using Frame::stateFilled;
  using Frame::stateTile;
  using Frame::tileAt;

  const int lane;

 public:
  __device__ explicit ReverseLoader(const Frame& frame) : Frame(frame), lane(threadIdx.x & 31) {}

  /// Two pieces ahead of those who compute.
  __device__ void load() {
    const int role = __shfl_sync(~0u, static_cast<int>(threadIdx.x - Frame::threads) >> 5, 0);
    PieceWalk walk(call.resets ? call.resets + b * call.T : nullptr, call.T, firstChunk, endChunk, true);
    Piece before{};
    int states = 0;
    for (int i = 0;; i++) {
      const int stage = i % reverseStages, round = i / reverseStages;
      const bool more = !walk.done();
      if (role == 1 && i > 0 && meetsState(before)) {
        if (states > 0) awaitArrivals(stateEmptied(), states - 1);
        states++;
        if (lane == 0)
          copyBulk(stateTile(Layout::state, 0, 0).base, keptOf(before), Layout::stateBytes, stateFilled());
      }
      if (round > 0 && (more || role == 3)) awaitArrivals(emptied(stage), round - 1);
      if (!more) {
        if (role == 3 && call.dg) finishLast(i);
        return;
      }
      const Piece piece = walk.piece();
      Shares shares;
      if (role == 3 && round > 0 && call.dg) shares = readShares(stage);
      fill(role, piece, stage);
      if (role == 1 && lane == 0 && meetsState(piece)) prefetchBulk(keptOf(piece), Layout::stateBytes);
      if (role == 3 && round > 0 && call.dg) writeDecayGradient(shares);
      before = piece;
      walk.advance();
    }
  }

 private:
  __device__ const unsigned char* keptOf(const Piece& piece) const {
    return call.kept + (int64_t{bh} * numChunks() + piece.chunk) * Layout::stateBytes;
  }

  __device__ void fill(int role, const Piece& piece, int stage) {
    const int64_t first = static_cast<int64_t>(piece.chunk) * chunkTokens;
    const TileRows tokens{first, piece.low, piece.high, false};
    const auto panels = [&](auto count, int part, const SweepRows& rows) {
      fillPanels<decltype(count)::value>(tileAt(stage, part, 0).base, rows.data + headOf(rows), rows.pitch,
                                         rows.channels, tokens);
    };
    constexpr std::integral_constant<int, DK / 64> ofKeys{};
    constexpr std::integral_constant<int, DV / 64> ofValues{};
    if (role == 0) panels(ofKeys, 0, call.q);
    if (role == 1) panels(ofKeys, Layout::K, call.k);
    if (role == 2) panels(ofValues, Layout::V, call.v);
    if (role == 3) {
      panels(ofValues, Layout::dO, call.dO);
      if (call.g) sumGates(piece, first, smallOf(stage));
      if (lane == 0) *pieceOf(stage) = packPiece(piece);
      __syncwarp();
      if (lane == 0) arrive(filled(stage));
    }
    arriveWhenCopied(filled(stage));
  }

  /// Log2 decays from the piece's start up to and with each token of the chunk, to shared memory.
  __device__ void sumGates(const Piece& piece, int64_t first, uint32_t to) const {
    float own[2];
#pragma unroll
    for (int i = 0; i < 2; i++) {
      const int offset = 2 * lane + i;
      const bool inside = offset >= piece.low && offset < piece.high;
      own[i] = 0.0f;
      if (inside) own[i] = call.gatePerToken ? call.g[(b * call.T + first + offset) * call.H + h] : call.g[h];
    }
    sumLogDecays(own[0], own[1], to, false, lane);
  }

  /// Of a piece: q_t . dq_t - k_t . dk_t of two tokens, and what all tokens that go on to its end have in
  /// common.
  struct Shares {
    Piece piece;
    float2 own;
    float end;
  };

  __device__ Shares readShares(int stage) const {
    Shares shares{unpackPiece(*pieceOf(stage)), make_float2(0.0f, 0.0f), 0.0f};
#pragma unroll
    for (int part = 0; part < Frame::warpgroups; part++) {
      const float2 more = loadSharedFloat2(smallOf(stage) + Layout::dots + 256 * part + 8 * lane);
      shares.own.x += more.x;
      shares.own.y += more.y;
    }
    if (lane < Layout::warps) shares.end = loadSharedFloat(smallOf(stage) + Layout::ends + 4 * lane);
    __syncwarp();
    return shares;
  }

  /// dlog a_t: the sum from t to the end of the piece, and what goes on behind it.
  __device__ void writeDecayGradient(const Shares& shares) const {
    const Piece& piece = shares.piece;
    const int64_t first = static_cast<int64_t>(piece.chunk) * chunkTokens;
    float from = shares.own.x + shares.own.y;
#pragma unroll
    for (int distance = 1; distance < 32; distance *= 2) {
      const float later = __shfl_down_sync(~0u, from, distance);
      if (lane + distance < 32) from += later;
    }
    from += sumOverWarp(shares.end);
#pragma unroll
    for (int i = 0; i < 2; i++) {
      const int offset = 2 * lane + i;
      if (offset < piece.low || offset >= piece.high) continue;
      const bool meetsNothing =
          offset == piece.low && (piece.fresh || (call.fromZero && first + offset == 0));
      const float sum = i == 0 ? from : from - shares.own.x;
      call.dg[(b * call.T + first + offset) * call.H + h] = meetsNothing ? 0.0f : sum * call.scale;
    }
  }

  /// Of the walk's last pieces, `count` in all; the one two before the end is complete.
  __device__ void finishLast(int count) const {
    if (count >= reverseStages) writeDecayGradient(readShares(count % reverseStages));
    const int last = count - 1;
    awaitArrivals(emptied(last % reverseStages), last / reverseStages);
    writeDecayGradient(readShares(last % reverseStages));
  }
};

}  // namespace longscan
