#include "cuda_walk.h"

#include "cuda_rows.cuh"

namespace longscan {

namespace {

constexpr int vectorShares = squareThreads / mlstmTile;

/// One chunk's inputs of a block, on their way while the chunk before is at work.
template <typename Element>
struct WalkInputs {
  SquarePart<Element> y, z;
  float yFactor[SquarePart<Element>::rows], zFactor[SquarePart<Element>::rows];  // of the rows of `y` and `z`
  float one;                                                                     // of row threadIdx.x
  float carried;  // factor of the state; not looked at if it is forgotten
  bool forgets;

  __device__ void load(const LongscanMlstm& call, const MlstmGates& gates, const WalkCall& walk,
                       int numChunks, int64_t b, int64_t h, int chunk, int tileK, int tileV) {
    const ChunkRows<Element> rows{call, b, h, int64_t{chunk} * mlstmTokens};
    const int count = static_cast<int>(min(int64_t{mlstmTokens}, call.T - rows.first));
    const ChunkStarts starts = gates.starts[b * numChunks + chunk];
    forgets = starts.last >= 0;
    // With time what the last document writes, against it what the tokens read before any document starts.
    const ChunkPiece piece{walk.backward ? 0 : max(starts.last, 0),
                           walk.backward ? min(starts.first, count) : count};
    rows.load(y, walk.y, call.K, tileK, piece);
    rows.load(z, walk.z, call.V, tileV, piece);
    carried = gates.fromStart[rows.token(count - 1)];
    // Rows of a head lie H apart.
    const int64_t at = rows.token(0);
#pragma unroll
    for (int i = 0; i < SquarePart<Element>::rows; i++) {
      const int row = SquarePart<Element>::row(i);
      const bool there = row >= piece.low && row < piece.high;
      yFactor[i] = there ? walk.yScale * walk.weight[at + row * call.H] : 0.0f;
      zFactor[i] = there && walk.zFactor ? walk.zFactor[at + row * call.H] : 1.0f;
    }
    const int own = threadIdx.x;
    one = !walk.hasVector || own < piece.low || own >= piece.high ? 0.0f
          : walk.ones                                             ? walk.ones[at + own * call.H]
                                                                  : 1.0f;
  }
  __device__ void put(SquareAlongRows a, SquareAlongRows b, float* ones) const {
    y.template put<isExact<Element>>(a, [this](int, int i) { return yFactor[i]; });
    z.template put<isExact<Element>>(b, [this](int, int i) { return zFactor[i]; });
    if (threadIdx.x < mlstmTokens) ones[threadIdx.x] = one;
  }
};

/// One block: a segment of a head, 64 x 64 channels of the state.
template <typename Element>
__global__ void __launch_bounds__(squareThreads, 2)
    walkKernel(const LongscanMlstm call, const MlstmPlan plan, const MlstmGates gates, const WalkCall walk) {
  extern __shared__ __align__(16) float memory[];
  const SquareAlongRows y{memory}, z{memory + squareSize};
  const Square out{memory + 2 * squareSize};
  __shared__ float ones[mlstmTokens];
  const int tiles = plan.tilesK * plan.tilesV, tile = blockIdx.x % tiles;
  const int tileK = tile / plan.tilesV, tileV = tile % plan.tilesV;
  const int segment = blockIdx.x / tiles % plan.numSegments;
  const int64_t bh = blockIdx.x / tiles / plan.numSegments, b = bh / call.H, h = bh % call.H;
  const int begin = segment * plan.chunksPerSegment, end = min(begin + plan.chunksPerSegment, plan.numChunks);
  const int64_t ofSegment = (bh * plan.numSegments + segment) * plan.stateSize;
  // Every 64 threads keep a share of the vector: that of 16 rows of each chunk.
  __shared__ float shares[vectorShares][mlstmTile];
  const int own = threadIdx.x % mlstmTile, share = threadIdx.x / mlstmTile, key = tileK * mlstmTile + own;
  const bool hasVector = tileV == 0 && key < call.K, ownsVector = hasVector && share == 0;
  const int64_t atVector = int64_t{call.K} * call.V + key;
  const auto wholeVector = [&] {
    float sum = 0.0f;
#pragma unroll
    for (int i = 0; i < vectorShares; i++) sum += shares[i][own];
    return sum;
  };

  SquareSums state;
  const auto eachStored = [&](auto&& visit) {
    state.each([&](float& x, int row, int column) {
      const int k = tileK * mlstmTile + row, v = tileV * mlstmTile + column;
      if (k < call.K && v < call.V) visit(x, int64_t{k} * call.V + v);
    });
  };
  state.clear();
  float vector = 0.0f;
  if (walk.entering) {
    eachStored([&](float& x, int64_t at) { x = walk.entering[ofSegment + at]; });
    if (ownsVector) vector = walk.entering[ofSegment + atVector];
  }

  WalkInputs<Element> inputs;
  const auto chunkOf = [&](int step) { return walk.backward ? end - 1 - step : begin + step; };
  inputs.load(call, gates, walk, plan.numChunks, b, h, chunkOf(0), tileK, tileV);
  for (int step = 0; step < end - begin; step++) {
    const int64_t chunk = bh * plan.numChunks + chunkOf(step);
    __syncthreads();
    inputs.put(y, z, ones);
    const float carried = inputs.carried;
    const bool forgets = inputs.forgets;
    if (walk.chunks) state.put(out), shares[share][own] = vector;
    __syncthreads();
    if (walk.chunks) {
      StateTile<Element>(call, walk.chunks, chunk, tileK, tileV).store(out);
      if (ownsVector) walk.chunkVectors[chunk * call.K + key] = wholeVector();
    }
    if (step + 1 < end - begin)
      inputs.load(call, gates, walk, plan.numChunks, b, h, chunkOf(step + 1), tileK, tileV);
    // Selected: what is forgotten may be of another document, and hold anything.
    state.each([&](float& x, int, int) { x = forgets ? 0.0f : carried * x; });
    multiply<true, true, Element>(state, y, z);
    if (hasVector) {
      float written = 0.0f;
#pragma unroll 2
      for (int i = 0; i < mlstmTokens / vectorShares; i++) {
        const int row = share * (mlstmTokens / vectorShares) + i;
        written += y.at(row, own) * ones[row];
      }
      vector = forgets ? written : fmaf(carried, vector, written);
    }
  }
  if (walk.last == nullptr) return;
  eachStored([&](float& x, int64_t at) { walk.last[ofSegment + at] = x; });
  // The last chunk's shares may still be read.
  __syncthreads();
  shares[share][own] = vector;
  __syncthreads();
  if (ownsVector) walk.last[ofSegment + atVector] = wholeVector();
}

template <typename Element>
cudaError_t launch(const LongscanMlstm& call, const MlstmPlan& plan, const MlstmGates& gates,
                   const WalkCall& walk, cudaStream_t stream) {
  constexpr int bytes = 3 * squareSize * sizeof(float);
  const auto kernel = walkKernel<Element>;
  const cudaError_t error = cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, bytes);
  if (error) return error;
  const int64_t blocks = plan.heads * plan.numSegments * plan.tilesK * plan.tilesV;
  kernel<<<static_cast<unsigned>(blocks), squareThreads, bytes, stream>>>(call, plan, gates, walk);
  return cudaGetLastError();
}

}  // namespace

cudaError_t launchWalk(const LongscanMlstm& call, const MlstmPlan& plan, const MlstmGates& gates,
                       const WalkCall& walk, cudaStream_t stream) {
  return call.type == longscanElementBf16 ? launch<__nv_bfloat16>(call, plan, gates, walk, stream)
                                          : launch<float>(call, plan, gates, walk, stream);
}

}  // namespace longscan
