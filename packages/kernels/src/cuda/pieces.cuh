#pragma once

#include <cstdint>

#include "cuda/tile.cuh"

namespace longscan {

/// The tokens of one document inside one chunk of 64, as offsets into the chunk.
struct Piece {
  int chunk;
  int low, high;
  /// A document starts at `low`: what came before is forgotten.
  bool fresh;
  /// The first and the last piece of its chunk, in the order of the walk.
  bool opensChunk;
  bool closesChunk;
  /// The last piece of the walk's last chunk.
  bool closesWalk;
};

__device__ inline int2 packPiece(const Piece& piece) {
  return make_int2(piece.chunk, piece.low | piece.high << 8 | piece.fresh << 16 | piece.opensChunk << 17 |
                                    piece.closesChunk << 18 | piece.closesWalk << 19);
}

__device__ inline Piece unpackPiece(int2 packed) {
  const auto bit = [&](int i) { return (packed.y >> i & 1) != 0; };
  return {packed.x, packed.y & 255, packed.y >> 8 & 255, bit(16), bit(17), bit(18), bit(19)};
}

/// The first lane's, in a form that the compiler knows to be the same for a whole warp.
__device__ inline Piece pieceOfWarp(int2 packed) {
  return unpackPiece(make_int2(__shfl_sync(~0u, packed.x, 0), __shfl_sync(~0u, packed.y, 0)));
}

/// Bit i: a document starts at token `first` + i. All lanes of a warp call it together.
__device__ inline uint64_t documentStarts(const int32_t* resets, int64_t first, int count, int lane) {
  if (resets == nullptr) return 0;
  const unsigned low = __ballot_sync(~0u, lane < count && resets[first + lane] != 0);
  const unsigned high = __ballot_sync(~0u, lane + 32 < count && resets[first + lane + 32] != 0);
  return low | static_cast<uint64_t>(high) << 32;
}

/// Walks over the chunks [begin, end) piece by piece, in time's order or against it. A piece never crosses a
/// document start, so kernels need no masks: rows of other documents are not loaded, and nothing is
/// multiplied by zero.
class PieceWalk {
 public:
  /// `resets`: of one batch row, [T], or null.
  __device__ PieceWalk(const int32_t* resets, int64_t T, int begin, int end, bool backward)
      : resets_(resets), T_(T), begin_(begin), end_(end), backward_(backward) {
    if (begin < end) open(backward ? end - 1 : begin);
    done_ = begin >= end;
  }

  __device__ bool done() const { return done_; }
  __device__ const Piece& piece() const { return piece_; }

  __device__ void advance() {
    if (!piece_.closesChunk) {
      if (backward_)
        endAt(piece_.low);
      else
        beginAt(piece_.high);
      piece_.opensChunk = false;
      return;
    }
    done_ = piece_.closesWalk;
    if (!done_) open(piece_.chunk + (backward_ ? -1 : 1));
  }

 private:
  __device__ void open(int chunk) {
    const int64_t first = static_cast<int64_t>(chunk) * tileTokens;
    length_ = static_cast<int>(min(static_cast<int64_t>(tileTokens), T_ - first));
    starts_ = documentStarts(resets_, first, length_, threadIdx.x & 31);
    if (starts_ == 0) {  // most of them, and what a warp that loads has time for
      piece_ = {chunk, 0, length_, false, true, true, chunk == (backward_ ? begin_ : end_ - 1)};
      return;
    }
    piece_.chunk = chunk;
    piece_.opensChunk = true;
    if (backward_)
      endAt(length_);
    else
      beginAt(0);
  }

  __device__ void beginAt(int low) {
    const uint64_t later = low < 63 ? starts_ >> (low + 1) << (low + 1) : 0;
    piece_.low = low;
    piece_.high = later ? __ffsll(static_cast<long long>(later)) - 1 : length_;
    piece_.fresh = starts_ >> low & 1;
    piece_.closesChunk = piece_.high == length_;
    piece_.closesWalk = piece_.closesChunk && piece_.chunk + 1 == end_;
  }

  __device__ void endAt(int high) {
    const uint64_t earlier = starts_ & (high == 64 ? ~0ull : (1ull << high) - 1);
    piece_.high = high;
    piece_.low = earlier ? 63 - __clzll(static_cast<long long>(earlier)) : 0;
    piece_.fresh = starts_ >> piece_.low & 1;
    piece_.closesChunk = piece_.low == 0;
    piece_.closesWalk = piece_.closesChunk && piece_.chunk == begin_;
  }

  const int32_t* resets_;
  int64_t T_;
  int begin_, end_;
  bool backward_, done_;
  int length_;
  uint64_t starts_;
  Piece piece_;
};

/// The piece of a chunk that begins at `low`. To walk anew takes registers only while they are free.
__device__ inline Piece pieceFrom(const int32_t* resets, int64_t T, int chunk, int low) {
  PieceWalk walk(resets, T, chunk, chunk + 1, false);
  while (walk.piece().low < low) walk.advance();
  return walk.piece();
}

}  // namespace longscan
