#include "cuda_output.h"

#include "cuda_chunk.cuh"

namespace longscan {

namespace {

/// One block: a chunk of a head, its documents one after the other.
template <typename Element>
__global__ void __launch_bounds__(squareThreads, isExact<Element> ? 1 : 2)
    outputKernel(const LongscanMlstm call, const MlstmPlan plan, const MlstmGates gates,
                 const MlstmStates states, const LongscanMlstmTokens tokens) {
  constexpr bool exact = isExact<Element>;
  extern __shared__ __align__(16) float memory[];
  const Square a{memory}, b{memory + squareSize}, scores{memory + 2 * squareSize};
  const SquareAlongRows bAlongRows{b.base};
  __shared__ ChunkGates own;
  __shared__ float vector[mlstmTile], inverse[mlstmTokens], rowShares[2][mlstmTokens];
  const Chunk<Element> chunk(call, plan.numChunks);
  const ChunkRows<Element>& rows = chunk.rows;
  RowSums sums{rowShares};
  chunk.load(gates, own);
  __syncthreads();
  SquarePart<Element> left, right;
  for (int low = 0; low < chunk.count;) {
    const ChunkPiece piece = chunk.pieceAt(own, low);
    const bool connected = low == 0 && !own.starts[0];
    // Operands are on their way while the product before is at work: queries and keys of all tiles, then for
    // each tile of values those, and queries and states.
    int scored = 0, tileV = 0, tileK = -1;
    const auto loadNext = [&] {
      if (scored < plan.tilesK) {
        left.load(rows.source(call.q, call.K, scored, piece));
        right.load(rows.source(call.k, call.K, scored++, piece));
      } else if (tileK < 0) {
        if (tileV == plan.tilesV) return;
        right.load(rows.source(call.v, call.V, tileV, piece));
        if (connected) tileK = 0;
        if (!connected) tileV++;
      } else {
        left.load(rows.source(call.q, call.K, tileK, piece));
        right.load(StateTile<Element>(call, states.chunks, chunk.index, tileK, tileV).source());
        if (++tileK == plan.tilesK) tileK = -1, tileV++;
      }
    };
    SquareSums sum;
    sum.clear();
    sums.clear();
    // A quarter of a row of q . n each.
    constexpr int perRow = squareThreads / mlstmTokens, width = mlstmTile / perRow;
    const int row = threadIdx.x / perRow, quarter = threadIdx.x % perRow;
    float along = 0.0f;
    loadNext();
    for (int tile = 0; tile < plan.tilesK; tile++) {
      __syncthreads();
      left.template put<exact>(a);
      right.template put<exact>(b);
      if (threadIdx.x < mlstmTile) {
        const int key = tile * mlstmTile + threadIdx.x;
        vector[threadIdx.x] = key < call.K ? states.chunkVectors[chunk.index * call.K + key] : 0.0f;
      }
      __syncthreads();
      loadNext();
      multiply<false, false, Element>(sum, a, b);
      if (connected)
#pragma unroll
        for (int i = 0; i < width; i++)
          along += a.at(row, quarter + perRow * i) * vector[quarter + perRow * i];
    }
    sum.each([&](float& x, int i, int j) { x *= call.scale * weightOf(own, piece, i, j); });
    sums.add(sum, [](float x, int, int) { return x; });
    sum.each([&](float& x, int i, int j) { scores.at(i, j) = operand<exact>(x); });
#pragma unroll
    for (int distance = 1; distance < perRow; distance *= 2) along += __shfl_xor_sync(~0u, along, distance);
    __syncthreads();
    if (quarter == 0 && row >= piece.low && row < piece.high) {
      const float normalizer = sums[row] + (connected ? call.scale * own.fromStart[row] * along : 0.0f);
      const int64_t at = rows.token(row);
      const float size = fabsf(normalizer), least = expf(-tokens.m[at]);
      inverse[row] = 1.0f / (size > least ? size : least);
      tokens.normalizer[at] = normalizer;
    }

    for (int out = 0; out < plan.tilesV; out++) {
      sum.clear();
      __syncthreads();
      right.template put<exact>(bAlongRows);
      __syncthreads();
      loadNext();
      multiply<false, true, Element>(sum, scores, bAlongRows);
      for (int tile = 0; connected && tile < plan.tilesK; tile++) {
        __syncthreads();
        left.template put<exact>(a, [&](int i, int) { return call.scale * own.fromStart[i]; });
        right.template put<exact>(bAlongRows);
        __syncthreads();
        loadNext();
        multiply<false, true, Element>(sum, a, bAlongRows);
      }
      __syncthreads();
      sum.each([&](float& x, int i, int j) {
        if (i >= piece.low && i < piece.high) a.at(i, j) = x * inverse[i];
      });
      __syncthreads();
      rows.store(a, tokens.h, call.V, out, piece);
    }
    low = piece.high;
    __syncthreads();
  }
}

template <typename Element>
cudaError_t launch(const LongscanMlstm& call, const MlstmPlan& plan, const MlstmGates& gates,
                   const MlstmStates& states, const LongscanMlstmTokens& tokens, cudaStream_t stream) {
  constexpr int bytes = 3 * squareSize * sizeof(float);
  const auto kernel = outputKernel<Element>;
  const cudaError_t error = cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, bytes);
  if (error) return error;
  const auto blocks = static_cast<unsigned>(plan.heads * plan.numChunks);
  kernel<<<blocks, squareThreads, bytes, stream>>>(call, plan, gates, states, tokens);
  return cudaGetLastError();
}

}  // namespace

cudaError_t launchOutput(const LongscanMlstm& call, const MlstmPlan& plan, const MlstmGates& gates,
                         const MlstmStates& states, const LongscanMlstmTokens& tokens, cudaStream_t stream) {
  return call.type == longscanElementBf16 ? launch<__nv_bfloat16>(call, plan, gates, states, tokens, stream)
                                          : launch<float>(call, plan, gates, states, tokens, stream);
}

}  // namespace longscan
