#pragma once

#include "cuda/square.cuh"
#include "cuda_plan.h"

// What the kernels over chunks share: where a head's rows lie, and products in the precision of the data.

namespace longscan {

/// f32 data are multiplied exactly.
template <typename Element>
constexpr bool isExact = sizeof(Element) == 4;

/// Rows [low, high) of a chunk, those of one document.
struct ChunkPiece {
  int low, high;
};

/// A head's rows of one chunk in [B, T, H, channels].
template <typename Element>
struct ChunkRows {
  const LongscanMlstm& call;
  int64_t b, h, first;

  __device__ int64_t token(int row) const { return (b * call.T + first + row) * call.H + h; }

  __device__ const Element* tile(const void* data, int channels, int tile) const {
    return static_cast<const Element*>(data) + token(0) * channels + tile * mlstmTile;
  }
  __device__ Element* tile(void* data, int channels, int tile) const {
    return static_cast<Element*>(data) + token(0) * channels + tile * mlstmTile;
  }
  __device__ SquareSource<Element> source(const void* data, int channels, int number,
                                          ChunkPiece piece) const {
    return {tile(data, channels, number),
            call.H * channels,
            channels - number * mlstmTile,
            channels % 4 == 0,
            piece.low,
            piece.high};
  }
  __device__ void load(SquarePart<Element>& part, const void* data, int channels, int number,
                       ChunkPiece piece) const {
    part.load(source(data, channels, number, piece));
  }
  __device__ void store(Square from, void* data, int channels, int number, ChunkPiece piece) const {
    storeSquare(from, tile(data, channels, number), call.H * channels, channels - number * mlstmTile,
                channels % 4 == 0, piece.low, piece.high);
  }
};

/// Tile [k, v] of a chunk's state [K, V].
template <typename Element>
struct StateTile {
  Element* data;
  int rows, columns;
  int stride;

  __device__ StateTile(const LongscanMlstm& call, void* chunks, int64_t chunk, int tileK, int tileV)
      : data(static_cast<Element*>(chunks) + (chunk * call.K + tileK * mlstmTile) * call.V +
             tileV * mlstmTile),
        rows(min(mlstmTile, call.K - tileK * mlstmTile)),
        columns(call.V - tileV * mlstmTile),
        stride(call.V) {}

  __device__ SquareSource<Element> source() const {
    return {data, stride, columns, stride % 4 == 0, 0, rows};
  }
  __device__ void store(Square from) const {
    storeSquare(from, data, stride, columns, stride % 4 == 0, 0, rows);
  }
};

template <bool aAlongRows, bool bAlongRows, typename Element, typename A, typename B>
__device__ inline void multiply(SquareSums& sum, A a, B b) {
  multiplySquares<isExact<Element>, aAlongRows, bAlongRows>(sum, a, b);
}

}  // namespace longscan
