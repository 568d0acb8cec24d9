#include "cuda/square.cuh"
#include "cuda/sum_parts.cuh"
#include "cuda_sweeps.h"
#include "cuda_weights.cuh"

// dRecurrent[unit, gate and unit] = sum_t h_{t-1}[unit] dSums_t[gate and unit], tiles of 64 x 64 of it by as
// many blocks as fill the GPU, each over a part of the tokens.

namespace longscan {

namespace {

constexpr int elementThreads = 256;

struct Tiles {
  int units, columns, parts;
  int64_t partTokens;

  explicit Tiles(const LongscanSlstm& call)
      : units((call.N + squareSide - 1) / squareSide), columns((4 * call.N + squareSide - 1) / squareSide) {
    constexpr int64_t wantedBlocks = 4 * 132;
    const int64_t steps = (call.T + squareSide - 1) / squareSide, blocks = call.B * call.H * units * columns;
    const int64_t wanted = blocks >= wantedBlocks ? 1 : wantedBlocks / blocks;
    const int64_t stepsEach = (steps + wanted - 1) / wanted;
    partTokens = stepsEach * squareSide;
    parts = static_cast<int>((steps + stepsEach - 1) / stepsEach);
  }
};

/// The h that every token found, unrounded.
__global__ void __launch_bounds__(elementThreads)
    previousKernel(const LongscanSlstm call, const float* sums, const float* cells, float* previous) {
  const int64_t at = static_cast<int64_t>(blockIdx.x) * elementThreads + threadIdx.x;
  const int64_t row = int64_t{call.H} * call.N;
  if (at >= call.B * call.T * row) return;
  const int64_t token = at / row, t = token % call.T, head = at / call.N % call.H;
  const int x = static_cast<int>(at % call.N);
  float h = 0.0f;
  if (call.resets && call.resets[token] != 0) {
    h = 0.0f;
  } else if (t == 0) {
    if (call.h0) h = call.h0[((token / call.T * call.H + head) * 4 + 3) * call.N + x];
  } else {
    const int64_t before = (token - 1) * call.H + head;
    const float* cell = cells + before * 3 * call.N + x;
    h = sigmoid(sums[(before * 4 + 3) * call.N + x]) * cell[0] / cell[call.N];
  }
  previous[at] = h;
}

__global__ void __launch_bounds__(squareThreads)
    productKernel(const LongscanSlstm call, const Tiles tiles, const float* previous, const float* dSums,
                  float* parts) {
  __shared__ float squares[2][squareSize];
  const SquareAlongRows a{squares[0]}, b{squares[1]};
  int64_t rest = blockIdx.x;
  const int column = static_cast<int>(rest % tiles.columns) * squareSide;
  rest /= tiles.columns;
  const int unit = static_cast<int>(rest % tiles.units) * squareSide;
  rest /= tiles.units;
  const int64_t bh = rest % (call.B * call.H), part = rest / (call.B * call.H);
  const int64_t batch = bh / call.H, h = bh % call.H;
  const int64_t begin = part * tiles.partTokens, end = min(begin + tiles.partTokens, call.T);
  const int stride = call.H * call.N;
  const bool packed = call.N % 4 == 0;
  SquareSums sum;
  sum.clear();
  SquarePart<float> left, right;
  const auto load = [&](int64_t first) {
    const int count = static_cast<int>(min(int64_t{squareSide}, end - first));
    const int64_t token = (batch * call.T + first) * call.H + h;
    left.load(previous + token * call.N + unit, stride, call.N - unit, packed, 0, count);
    right.load(dSums + token * 4 * call.N + column, 4 * stride, 4 * call.N - column, packed, 0, count);
  };
  load(begin);
  for (int64_t first = begin; first < end; first += squareSide) {
    __syncthreads();
    left.put<true>(a);
    right.put<true>(b);
    __syncthreads();
    if (first + squareSide < end) load(first + squareSide);
    multiplySquares<true, true, true>(sum, a, b);
  }
  __syncthreads();
  sum.put(a);
  __syncthreads();
  float* to = parts + ((part * call.B * call.H + bh) * call.N + unit) * 4 * call.N + column;
  storeSquare(a, to, 4 * call.N, 4 * call.N - column, true, 0, call.N - unit);
}

}  // namespace

int recurrentParts(const LongscanSlstm& call) {
  return Tiles(call).parts;
}

cudaError_t launchRecurrentGradient(const LongscanSlstm& call, const LongscanSlstmBackward& io,
                                    const float* dSums, float* previous, float* parts, cudaStream_t stream) {
  const Tiles tiles(call);
  const int64_t heads = call.B * call.H, count = call.T * heads * call.N;
  previousKernel<<<static_cast<unsigned>((count + elementThreads - 1) / elementThreads), elementThreads, 0,
                   stream>>>(call, io.sums, io.cells, previous);
  const auto blocks = static_cast<unsigned>(heads * tiles.units * tiles.columns * tiles.parts);
  productKernel<<<blocks, squareThreads, 0, stream>>>(call, tiles, previous, dSums, parts);
  const cudaError_t error = cudaGetLastError();
  if (error) return error;
  return launchSumParts<float>({parts, tiles.parts, 1, heads * call.N * 4 * call.N, 1}, io.dRecurrent,
                               stream);
}

}  // namespace longscan
