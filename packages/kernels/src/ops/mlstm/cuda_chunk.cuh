#pragma once

#include "cuda_rows.cuh"

// A block of 256 threads and one chunk of a head: its documents one after the other.

namespace longscan {

/// Of the tokens of a chunk, in shared memory.
struct ChunkGates {
  double queryTerm[mlstmTokens], keyTerm[mlstmTokens];
  float fromStart[mlstmTokens], toEnd[mlstmTokens];
  int starts[mlstmTokens];
};

template <typename Element>
struct Chunk {
  ChunkRows<Element> rows;
  int64_t index;  // [B * H, chunks]
  int count;      // tokens

  __device__ Chunk(const LongscanMlstm& call, int numChunks)
      : rows{call, static_cast<int64_t>(blockIdx.x) / numChunks / call.H,
             static_cast<int64_t>(blockIdx.x) / numChunks % call.H,
             static_cast<int64_t>(blockIdx.x) % numChunks * mlstmTokens},
        index(blockIdx.x),
        count(static_cast<int>(min(int64_t{mlstmTokens}, call.T - rows.first))) {}

  __device__ void load(const MlstmGates& gates, ChunkGates& to) const {
    for (int i = threadIdx.x; i < mlstmTokens; i += squareThreads) {
      const bool there = i < count;
      const int64_t at = there ? rows.token(i) : 0;
      to.queryTerm[i] = there ? gates.queryTerm[at] : 0.0;
      to.keyTerm[i] = there ? gates.keyTerm[at] : 0.0;
      to.fromStart[i] = there ? gates.fromStart[at] : 0.0f;
      to.toEnd[i] = there ? gates.toEnd[at] : 0.0f;
      to.starts[i] =
          there && rows.call.resets && rows.call.resets[rows.b * rows.call.T + rows.first + i] != 0;
    }
  }

  /// The piece that begins at row `low`.
  __device__ ChunkPiece pieceAt(const ChunkGates& gates, int low) const {
    int high = low + 1;
    while (high < count && !gates.starts[high]) high++;
    return {low, high};
  }
};

/// The weight of token j at token i of the same piece.
__device__ inline float weightOf(const ChunkGates& gates, ChunkPiece piece, int i, int j) {
  if (j > i || j < piece.low || i >= piece.high) return 0.0f;
  return expf(static_cast<float>(gates.queryTerm[i] + gates.keyTerm[j]));
}

/// Of sums over columns: rows are shared by the lanes of a quad, and by two warps. Each warp adds its share
/// to `shares` [2][64]; always the same warp, so in the same order.
struct RowSums {
  float (*shares)[mlstmTokens];

  __device__ void clear() {
    for (int i = threadIdx.x; i < 2 * mlstmTokens; i += squareThreads)
      shares[i / mlstmTokens][i % mlstmTokens] = 0.0f;
  }
  /// += over columns of term(sum, row, column)
  template <typename Term>
  __device__ void add(SquareSums& sums, Term&& term) {
    float rows[2] = {};
    int place = 0;
    sums.each([&](float& x, int row, int column) { rows[place++ / 2 % 2] += term(x, row, column); });
#pragma unroll
    for (int i = 0; i < 2; i++) {
#pragma unroll
      for (int distance = 1; distance < 4; distance *= 2) rows[i] += __shfl_xor_sync(~0u, rows[i], distance);
      const int row = SquareSums::firstRow() + threadIdx.x % 32 / 4 + 8 * i;
      if (threadIdx.x % 4 == 0) shares[threadIdx.x / 32 % 2][row] += rows[i];
    }
  }
  __device__ float operator[](int row) const {
    return shares[0][row] + shares[1][row];
  }
};

}  // namespace longscan
