#include "cuda_operands.h"

#include "../gated-linear/cuda_pieces.cuh"
#include "cuda/warpgroup.cuh"
#include "cuda_lane.cuh"

namespace longscan {

namespace {

constexpr int operandPanels = 2;  // panels of 64 columns of a block

struct OperandsLayout {
  static constexpr int columns = Tile<64>::bytes;
  static constexpr int bytes = columns + operandPanels * Tile<64>::bytes;
};

/// One block: up to 128 columns of W or U of a chunk and head.
__global__ void __launch_bounds__(128) operandsKernel(const __grid_constant__ DeltaSweepCall call) {
  extern __shared__ __align__(1024) unsigned char shared[];
  const uint32_t base = sharedAddress(shared);
  const Tile<64> inverse{base};
  const DeltaLane at;
  const int row0 = 16 * at.warp, chunk = blockIdx.x;
  const int64_t bh = blockIdx.y, b = bh / call.H, h = bh % call.H;
  const int64_t headRows = bh * gridDim.x * tileTokens;

  constexpr int width = 64 * operandPanels;
  const int tilesOfW = (call.K + width - 1) / width;
  const bool ofKeys = static_cast<int>(blockIdx.z) < tilesOfW;
  const int column0 = width * (ofKeys ? blockIdx.z : blockIdx.z - tilesOfW);
  const int columns = ofKeys ? call.K : call.V, pitch = call.H * columns;
  const __nv_bfloat16* const from =
      (ofKeys ? call.chunks.eraseKeys : call.v) + b * call.T * pitch + h * columns + column0;
  __nv_bfloat16* const to = (ofKeys ? call.chunks.w : call.chunks.u) + headRows * columns + column0;

  PieceWalk walk(call.resets ? call.resets + b * call.T : nullptr, call.T, chunk, chunk + 1, false);
  for (; !walk.done(); walk.advance()) {
    const Piece& piece = walk.piece();
    const TileRows rows{static_cast<int64_t>(chunk) * tileTokens, piece.low, piece.high, false};
    fillTile<64, 128>(inverse, call.chunks.inverse + headRows * 64, 64, 0, 64, rows);
#pragma unroll
    for (int panel = 0; panel < operandPanels; panel++)
      fillTile<64, 128>(Tile<64>{base + OperandsLayout::columns + panel * Tile<64>::bytes}, from, pitch,
                        64 * panel, columns - column0, rows);
    commitCopies();
    waitForCopies<0>();
    publishToProducts();
    __syncthreads();
    MmaA y[4];
#pragma unroll
    for (int k = 0; k < 4; k++) y[k] = loadA(inverse, row0, 16 * k, at.lane);
    Sums sum[operandPanels];
    beginProducts();
#pragma unroll
    for (int panel = 0; panel < operandPanels; panel++) {
      clear(sum[panel]);
#pragma unroll
      for (int k = 0; k < 4; k++)
        multiply<StoredB::columns>(sum[panel], y[k],
                                   Tile<64>{base + OperandsLayout::columns + panel * Tile<64>::bytes}, k);
    }
    commitProducts();
    waitForProducts<0>();
#pragma unroll
    for (int panel = 0; panel < operandPanels; panel++)
#pragma unroll
      for (int i = 0; i < 2; i++) {
        const int row = row0 + at.group + 8 * i;
#pragma unroll
        for (int n = 0; n < 8; n += 4) {
          uint32_t packed[4];
#pragma unroll
          for (int j = 0; j < 4; j++)
            packed[j] = pack(sum[panel][n + j][2 * i], sum[panel][n + j][2 * i + 1]);
          transposeQuad(packed, at.lane);
          const int column = 64 * panel + 8 * (n + (at.lane & 3));
          if (rows.has(row) && column < columns - column0)
            *reinterpret_cast<uint4*>(to + (rows.first + row) * columns + column) =
                make_uint4(packed[0], packed[1], packed[2], packed[3]);
        }
      }
    __syncthreads();
  }
}

}  // namespace

cudaError_t launchDeltaOperands(const DeltaSweepCall& call, cudaStream_t stream) {
  const auto tiles = [](int columns) { return (columns + 64 * operandPanels - 1) / (64 * operandPanels); };
  const dim3 grid(static_cast<unsigned>((call.T + tileTokens - 1) / tileTokens),
                  static_cast<unsigned>(call.B * call.H),
                  static_cast<unsigned>(tiles(call.K) + tiles(call.V)));
  operandsKernel<<<grid, 128, OperandsLayout::bytes, stream>>>(call);
  return cudaGetLastError();
}

}  // namespace longscan
