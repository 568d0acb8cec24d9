#pragma once

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

}  // namespace longscan
