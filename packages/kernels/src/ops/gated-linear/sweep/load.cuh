#pragma once

#include "cuda/bulk_copy.cuh"
#include "frame.cuh"

namespace longscan {

/// The warps that load what the others compute with, some chunks ahead.
template <int DC, int DO, SweepDecay kind, bool summary>
class SweepLoader : SweepFrame<DC, DO, kind, summary> {
  using Frame = SweepFrame<DC, DO, kind, summary>;
  using Layout = typename Frame::Layout;
  using Frame::at;
  using Frame::b;
  using Frame::call;
  using Frame::chunkOf;
  using Frame::decays;
  using Frame::emptied;
  using Frame::endChunk;
  using Frame::filled;
  using Frame::firstChunk;
  using Frame::h;
  using Frame::headIn;
  using Frame::headOf;
  using Frame::isReversed;
  using Frame::keptOf;
  using Frame::keys;
  using Frame::lateEmptied;
  using Frame::lateFilled;
  using Frame::loaders;
  using Frame::mapped;
  using Frame::maps;
  using Frame::numChunks;
  using Frame::panels;
  using Frame::pieceOf;
  using Frame::scalar;
  using Frame::scores;
  using Frame::stageAfter;
  using Frame::task;
  using Frame::threads;
  using Frame::tile;
  using Frame::tileAt;
  using Frame::X;
  using Frame::Y;

 public:
  __device__ explicit SweepLoader(const Frame& frame) : Frame(frame) {}

  /// Fills the stages in turn, in the end with a piece that says so. Each warp has some of four parts of a
  /// fill; the first also says what piece it is.
  __device__ void load() {
    const int warp = __shfl_sync(~0u, static_cast<int>(threadIdx.x - threads) >> 5, 0);
    PieceWalk walk(call.resets ? call.resets + b * call.T : nullptr, call.T, firstChunk(), endChunk(),
                   task.backward);
    float2 gates = gatesOf(walk);
    int pieces = 0;
    for (int stage = 0, round = 0;;) {
      const bool more = !walk.done();
      PieceWalk next = walk;
      if (more) next.advance();
      const float2 nextGates = gatesOf(next);
      if (round > 0) awaitArrivals(emptied(stage), round - 1);
      // Else addresses of boxes would be told apart by lanes, at several times the cost of a box.
      const Piece own = pieceOfWarp(packPiece(walk.piece()));
      if (more) {
#pragma unroll
        for (int part = 0; part < 4; part++)
          if (part % loaders == warp) fill(part, own, gates, stage);
      }
      if (warp == 0) {
        if (at.lane == 0) *pieceOf(stage) = more ? packPiece(walk.piece()) : make_int2(-1, 0);
        __syncwarp();
        if (at.lane == 0) arrive(filled(stage));
      }
      arriveWhenCopied(filled(stage));
      if (!more) return;
      if constexpr (Layout::lateY)
        if (warp == 2) fillLate(own, pieces++);
      walk = next;
      gates = nextGates;
      stage = stageAfter(stage);
      if (stage == 0) round++;
    }
  }

 private:
  /// Part 0: decays; 1: X; 2: Y; 3: Z.
  __device__ void fill(int part, const Piece& piece, float2 gates, int stage) {
    if (part == 0) fillDecays(piece, gates, stage);
    if constexpr (!summary)
      if (part == 1) fillRows<panels>(X(stage, 0), task.x, maps.x, 0, call.contracted, piece, filled(stage));
    if constexpr (summary && kind == SweepDecay::contracted)
      if (part == 1 && task.yRest.data)
        fillRows<panels>(X(stage, 0), task.yRest, maps.x, 0, call.contracted, piece, filled(stage));
    if constexpr (!Layout::lateY)
      if (part == 2) fillRows<panels>(Y(stage, 0), task.y, maps.y, 0, call.contracted, piece, filled(stage));
    if (part == 3)
      fillRows<DO / 64>(tileAt(stage, 0, 0), task.z, maps.z, tile * DO, call.free, piece, filled(stage));
  }

  /// Y where there is one place for it.
  __device__ void fillLate(const Piece& piece, int number) {
    const int round = number / call.latePlaces, place = number - round * call.latePlaces;
    if (round > 0) awaitArrivals(lateEmptied(place), round - 1);
    fillRows<panels>(Y(place, 0), task.y, maps.y, 0, call.contracted, piece, lateFilled(place));
    arriveWhenCopied(lateFilled(place));
  }

  /// Whether the copy engine may fill tiles: it knows no documents.
  __device__ bool isWhole(const Piece& piece) const {
    return !scalar && mapped && piece.opensChunk && piece.closesChunk;
  }

  /// `count` panels from column `first` of `width` on, of which `arrival` is to know.
  template <int count>
  __device__ void fillRows(Tile<64> to, const SweepRows& rows, const CUtensorMap& map, int first, int width,
                           const Piece& piece, uint32_t arrival) {
    if (!isWhole(piece)) {
      fillPanels<count>(to.base, rows.data + headOf(rows) + first, rows.pitch, width - first,
                        tokensOf(piece));
      return;
    }
    const bool elected = at.lane == 0;
    if (elected) expectBytes(arrival, count * Layout::panel);
    __syncwarp();
    const int head = headIn(rows);
#pragma unroll
    for (int p = 0; p < count; p++)
      copyBoxElected(elected, to.base + p * Layout::panel, map, arrival, first + 64 * p, head,
                     piece.chunk * chunkTokens, b);
  }

  __device__ TileRows tokensOf(const Piece& piece) const {
    return {static_cast<int64_t>(piece.chunk) * chunkTokens, piece.low, piece.high, isReversed()};
  }

  /// A scalar decay of the lane's two rows of the walk's next piece: asked for before it is needed.
  __device__ float2 gatesOf(const PieceWalk& walk) const {
    float own[2] = {0.0f, 0.0f};
    if (!scalar || call.g == nullptr || walk.done()) return make_float2(0.0f, 0.0f);
    const TileRows tokens = tokensOf(walk.piece());
#pragma unroll
    for (int i = 0; i < 2; i++) {
      const int offset = tokens.offsetOf(2 * at.lane + i);
      const int64_t place = call.gatePerToken ? (b * call.T + tokens.first + offset) * call.H + h : h;
      if (tokens.has(offset)) own[i] = call.g[place];
    }
    return make_float2(own[0], own[1]);
  }

  __device__ void fillDecays(const Piece& piece, float2 gates, int stage) {
    if constexpr (!summary && kind != SweepDecay::contracted) prefetch(piece, tokensOf(piece));
    const uint32_t to = decays(stage);
    if constexpr (scalar) {
      if (call.g == nullptr) return;
      const float total = sumLogDecays(gates.x, gates.y, to, task.backward, at.lane);
      if (at.lane == 0) storeShared(to + 4 * 64, total);
    } else {
      const float* from = task.gamma + chunkOf(piece) * keys;
      // After a document's start no state is met: an older one's decay may be no number.
      for (int i = 4 * at.lane; i < Layout::numDecays; i += 128)
        if (piece.fresh)
          for (int j = 0; j < 4; j++) storeShared(to + 4 * (i + j), 1.0f);
        else
          copyAsync16(to + 4 * i, from + i, i < keys);
      if constexpr (!summary) fillScores(piece, stage);
    }
  }

  __device__ void fillScores(const Piece& piece, int stage) {
    const int64_t allChunks = call.B * call.H * numChunks;
    if (mapped) {
      if (at.lane != 0) return;
      expectBytes(filled(stage), task.scoreTerms * Layout::panel);
#pragma unroll 1
      for (int term = 0; term < task.scoreTerms; term++)
        copyBox(scores(stage, term).base, maps.scores, filled(stage), 0, 0, 0,
                static_cast<int>(chunkOf(piece) + term * allChunks));
      return;
    }
#pragma unroll 1
    for (int term = 0; term < task.scoreTerms; term++) {
      const __nv_bfloat16* from = task.scores + (chunkOf(piece) + term * allChunks) * (64 * 64);
#pragma unroll 8
      for (int i = at.lane; i < 64 * 8; i += 32)
        copyAsync16(scores(stage, term).address(i / 8, i % 8), from + i * 8, true);
    }
  }

  /// What is read straight to registers, a chunk or two later: from the L2 cache by then.
  __device__ void prefetch(const Piece& piece, const TileRows& tokens) const {
    if (task.keptForward != nullptr && piece.opensChunk) {
      const uint4* from = keptOf(const_cast<uint4*>(task.keptForward), piece.chunk) - threadIdx.x;
      constexpr int lines = SweepState<DC>::keptUnits * threads * 16 / 128;
#pragma unroll
      for (int line = at.lane; line < lines; line += 32)
        asm volatile("prefetch.global.L2 [%0];" ::"l"(from + 8 * line));
    }
    if (!scalar || task.partner.data == nullptr) return;
    constexpr int lines = DO / 64;  // of 64 channels, in a row
    const __nv_bfloat16* from = task.partner.data + headOf(task.partner) + tokens.first * task.partner.pitch;
#pragma unroll
    for (int i = at.lane; i < 64 * lines; i += 32) {
      const int offset = tokens.offsetOf(i / lines), channel = tile * DO + 64 * (i % lines);
      if (tokens.has(offset) && channel < call.free)
        asm volatile("prefetch.global.L2 [%0];" ::"l"(from + offset * task.partner.pitch + channel));
    }
  }
};

}  // namespace longscan
