#pragma once

#include "cuda_sweep.h"
#include "cuda_sweep_parts.cuh"

namespace longscan {

/// What a block does: the output with time, states with time once more, or adjoints against time.
enum class DeltaRole { output, states, adjoint };

constexpr int sweepThreads = 256;
constexpr int sweepValues = 64;  // channels of V that a block works on

/// A stage: keys, queries in panels of 64 channels, Y, P, v or dO, the rows' factors and the channels'
/// decays. Then what the two warpgroups hand each other: the state, N or Z, and the pieces.
template <int KN, DeltaRole role, bool diagonal>
struct DeltaSweepLayout {
  static constexpr bool reads = role != DeltaRole::states;
  static constexpr int panel = Tile<64>::bytes;
  static constexpr int writeKeys = diagonal ? KN * panel : 0;
  static constexpr int queries = writeKeys + KN * panel;
  static constexpr int inverse = queries + (reads ? KN * panel : 0);
  static constexpr int scores = inverse + panel;
  static constexpr int values = scores + (reads ? panel : 0);
  static constexpr int factors = values + panel;
  static constexpr int gamma = factors + 2 * 64 * 4;
  static constexpr int stage = factors + (diagonal ? 2048 : 1024);
  static constexpr int numStages = KN == 4 ? (diagonal ? 1 : 2) : diagonal && KN == 2 ? 2 : 3;
  static constexpr int state = numStages * stage;
  static constexpr int tokens = state + KN * panel;
  static constexpr int pieces = tokens + panel;
  static constexpr int numPieces = 4;
  static constexpr int bytes = pieces + numPieces * 8;
};

/// 128 threads start to load what a block needs of one piece, its channels of V from `value` on, to a stage
/// at `to`.
template <int KN, DeltaRole role, bool diagonal>
__device__ void fillStage(const DeltaSweepCall& call, const Piece& piece, int64_t bh, int value,
                          uint32_t to) {
  using Layout = DeltaSweepLayout<KN, role, diagonal>;
  constexpr bool backward = role == DeltaRole::adjoint;
  const int64_t b = bh / call.H, h = bh % call.H, numChunks = (call.T + tileTokens - 1) / tileTokens;
  const TileRows rows{static_cast<int64_t>(piece.chunk) * tileTokens, piece.low, piece.high, false};
  const int pitchK = call.H * call.K, pitchV = call.H * call.V;
  const int64_t headK = b * call.T * pitchK + h * call.K, headV = b * call.T * pitchV + h * call.V;
  const int64_t headRows = bh * numChunks * tileTokens;
  const DeltaChunks& chunks = call.chunks;
  const auto fillColumns = [&](int offset, const __nv_bfloat16* from, int pitch, int column, int width) {
    fillTile<64, 128>(Tile<64>{to + offset}, from, pitch, column, width, rows);
  };
#pragma unroll
  for (int panel = 0; panel < KN; panel++) {
    const int offset = panel * Layout::panel, column = 64 * panel;
    fillColumns(offset, (diagonal ? chunks.eraseKeys : call.k) + headK, pitchK, column, call.K);
    if (diagonal) fillColumns(Layout::writeKeys + offset, chunks.writeKeys + headK, pitchK, column, call.K);
    if (Layout::reads)
      fillColumns(Layout::queries + offset, (diagonal ? chunks.queries : call.q) + headK, pitchK, column,
                  call.K);
  }
  fillColumns(Layout::inverse, chunks.inverse + headRows * 64, 64, 0, 64);
  if (Layout::reads) fillColumns(Layout::scores, chunks.scores + headRows * 64, 64, 0, 64);
  fillColumns(Layout::values, (backward ? call.dO : call.v) + headV, pitchV, value, call.V);
  const int row = threadIdx.x % 64;
  const float* factor = threadIdx.x < 64 ? chunks.into : chunks.outOf;
  if (!diagonal || threadIdx.x >= 64)
    copyAsync4(to + Layout::factors + 4 * threadIdx.x, factor + headRows + rows.first + row, rows.has(row));
  if (diagonal && threadIdx.x < 16 * KN)
    copyAsync16(to + Layout::gamma + 16 * threadIdx.x,
                chunks.gamma + (bh * numChunks + piece.chunk) * call.K + 4 * threadIdx.x,
                4 * threadIdx.x < call.K);
}

}  // namespace longscan
