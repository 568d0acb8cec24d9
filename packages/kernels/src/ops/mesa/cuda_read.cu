#include "cuda_read.h"

#include <type_traits>

#include "../mlstm/cuda_chunk.cuh"

namespace longscan {

namespace {

/// Rows of a head, `stride` numbers apart from token to token of all heads.
struct ReadRows {
  const float* data;
  int stride, columns;

  __device__ void load(SquarePart<float>& part, const ChunkRows<float>& rows, int tile,
                       ChunkPiece piece) const {
    part.load(data + rows.token(0) * stride + tile * mlstmTile, rows.call.H * stride,
              columns - tile * mlstmTile, true, piece.low, piece.high);
  }
};

/// One block: a chunk of a head, its documents one after the other.
template <bool fromValues>
__global__ void __launch_bounds__(squareThreads, 2)
    readKernel(const __grid_constant__ LongscanMlstm call, const __grid_constant__ MlstmPlan plan,
               const MlstmGates gates, const ReadCall read) {
  extern __shared__ __align__(16) float memory[];
  const Square a{memory}, b{memory + squareSize}, scores{memory + 2 * squareSize};
  const SquareAlongRows bAlongRows{b.base};
  __shared__ ChunkGates own;
  const Chunk<float> chunk(call, plan.numChunks);
  const ChunkRows<float>& rows = chunk.rows;
  const ReadRows k{read.k, read.keys, read.keys}, written{read.written, read.writtenStride, read.values};
  const ReadRows along = fromValues ? written : k, across = fromValues ? k : written;
  const ReadRows reading{read.read, read.readStride, along.columns};
  const int tilesAlong = (along.columns + mlstmTile - 1) / mlstmTile;
  const float* state = read.states + chunk.index * read.keys * read.stateStride;
  chunk.load(gates, own);
  __syncthreads();
  SquarePart<float> left, right;
  for (int low = 0; low < chunk.count;) {
    const ChunkPiece piece = chunk.pieceAt(own, low);
    const bool connected = low == 0 && !own.starts[0];
    SquareSums sum;
    sum.clear();
    for (int tile = 0; tile < tilesAlong; tile++) {
      reading.load(left, rows, tile, piece);
      along.load(right, rows, tile, piece);
      __syncthreads();
      left.put<true>(a);
      right.put<true>(b);
      __syncthreads();
      multiplySquares<true, false, false>(sum, a, b);
    }
    sum.each([&](float& x, int i, int j) { scores.at(i, j) = x * weightOf(own, piece, i, j); });
    for (int out = 0; out * mlstmTile < across.columns; out++) {
      sum.clear();
      across.load(right, rows, out, piece);
      __syncthreads();
      right.put<true>(bAlongRows);
      __syncthreads();
      multiplySquares<true, false, true>(sum, scores, bAlongRows);
      for (int tile = 0; connected && tile < tilesAlong; tile++) {
        const int key = (fromValues ? out : tile) * mlstmTile, value = (fromValues ? tile : out) * mlstmTile;
        reading.load(left, rows, tile, piece);
        right.load(state + int64_t{key} * read.stateStride + value, read.stateStride, read.values - value,
                   true, 0, read.keys - key);
        __syncthreads();
        left.put<true>(a, [&](int i, int) { return own.fromStart[i]; });
        const std::conditional_t<fromValues, Square, SquareAlongRows> ofState{b.base};
        right.put<true>(ofState);
        __syncthreads();
        multiplySquares<true, false, !fromValues>(sum, a, ofState);
      }
      __syncthreads();
      sum.put(a);
      __syncthreads();
      storeSquare(a, read.out + rows.token(0) * across.columns + out * mlstmTile, call.H * across.columns,
                  across.columns - out * mlstmTile, true, piece.low, piece.high);
    }
    low = piece.high;
    __syncthreads();
  }
}

}  // namespace

cudaError_t launchRead(const LongscanMlstm& call, const MlstmPlan& plan, const MlstmGates& gates,
                       const ReadCall& read, cudaStream_t stream) {
  constexpr int bytes = 3 * squareSize * sizeof(float);
  const auto kernel = read.fromValues ? readKernel<true> : readKernel<false>;
  const cudaError_t error = cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, bytes);
  if (error) return error;
  const auto blocks = static_cast<unsigned>(plan.heads * plan.numChunks);
  kernel<<<blocks, squareThreads, bytes, stream>>>(call, plan, gates, read);
  return cudaGetLastError();
}

}  // namespace longscan
