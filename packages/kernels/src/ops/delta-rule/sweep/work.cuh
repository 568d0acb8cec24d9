#pragma once

#include "bulk.cuh"
#include "cuda/pieces.cuh"
#include "products.cuh"
#include "sweep.h"

namespace longscan {

/// A piece, and what the chain has to know of the next one.
struct SweepPiece {
  Piece piece;
  bool last, nextFresh;

  __device__ int2 packed() const {
    int2 both = packPiece(piece);
    both.y |= last << 20 | nextFresh << 21;
    return both;
  }
  __device__ static SweepPiece unpack(int2 packed) {
    return {unpackPiece(packed), (packed.y >> 20 & 1) != 0, (packed.y >> 21 & 1) != 0};
  }
};

/// Where the i-th piece is in a ring of `size` that everybody goes round piece by piece.
template <int size>
__device__ inline RingPlace ringPlace(int i) {
  return {i % size, static_cast<uint32_t>(i / size & 1)};
}

/// What a block of a sweep works on: `width` channels of V, from `value` on, in one segment of a head.
class SweepWork {
 public:
  const DeltaSweepCall& call;
  const SweepMaps& maps;
  unsigned char* const shared;
  const uint32_t base;
  int value;
  int b, h, numChunks;
  int64_t bh;

  __device__ SweepWork(const DeltaSweepCall& call, const SweepMaps& maps, unsigned char* shared, int width)
      : call(call),
        maps(maps),
        shared(shared),
        base(sharedAddress(shared)),
        numChunks(static_cast<int>((call.T + tileTokens - 1) / tileTokens)) {
    const int tiles = sweepTiles(call.V, width);
    value = blockIdx.x % tiles * width;
    bh = blockIdx.x / tiles;
    b = static_cast<int>(bh / call.H);
    h = static_cast<int>(bh % call.H);
  }

  __device__ int segment() const { return call.firstSegment + blockIdx.y; }
  /// The number of the head's state among those of all segments.
  __device__ int64_t stateOfSegment() const { return segment() * call.B * call.H + bh; }

  /// The segment's chunks, piece by piece.
  __device__ PieceWalk walk(bool backward) const {
    const int begin = segment() * call.segmentChunks;
    return PieceWalk(call.resets ? call.resets + b * call.T : nullptr, call.T, begin,
                     min(begin + call.segmentChunks, numChunks), backward);
  }

  /// The copy engine takes whole chunks; of others, warps copy the piece's rows and zeros.
  __device__ bool isWhole(const Piece& piece) const {
    return LONGSCAN_COPY_ENGINE && maps.usable && piece.low == 0 && piece.high == tileTokens;
  }
  /// What warps have copied of a piece, the calling thread's products are to see.
  __device__ void seeCopies(const Piece& piece) const {
    if (!isWhole(piece)) publishToProducts();
  }

  /// The barrier where the attendants announce that their last rows are stored.
  static constexpr int rowsStored = 4;
};

}  // namespace longscan
