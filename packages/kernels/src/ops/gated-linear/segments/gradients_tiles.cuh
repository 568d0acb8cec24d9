#pragma once

#include "held_state.cuh"
#include "segments.h"

// What the sweeps that give all gradients at once, Reverse and Retrace, have in shared memory.

namespace longscan {

/// D^T and S^T: tiles of 64 values and 64 keys, keys fastest. Scores: dO V^T and Q K^T, rows the later
/// tokens. Behind them, from an offset on that each sweep has, stages of inputs.
template <int DK, int DV>
struct GradientsLayout {
  static constexpr int panel = Tile<64>::bytes;
  static constexpr int keyPanels = DK / 64, valuePanels = DV / 64;
  static constexpr int stateBytes = keyPanels * valuePanels * panel;
  static constexpr int adjoint = 0;
  static constexpr int state = adjoint + stateBytes;
  static constexpr int scores = state + stateBytes;
  // In a stage, behind Q:
  static constexpr int K = keyPanels * panel;
  static constexpr int V = K + keyPanels * panel;
  static constexpr int dO = V + valuePanels * panel;
  static constexpr int stage = dO + valuePanels * panel;
};

/// Addresses in it. `Layout`: a GradientsLayout with `stages`, where these begin.
template <typename Layout>
struct GradientsTiles {
  const uint32_t base;

  /// A panel of a stage: Q, or further on as the layout says.
  __device__ Tile<64> tileAt(int stage, int part, int panel) const {
    return {base + Layout::stages + stage * Layout::stage + part + panel * Layout::panel};
  }
  __device__ Tile<64> Q(int stage, int panel) const { return tileAt(stage, 0, panel); }
  __device__ Tile<64> K(int stage, int panel) const { return tileAt(stage, Layout::K, panel); }
  __device__ Tile<64> V(int stage, int panel) const { return tileAt(stage, Layout::V, panel); }
  __device__ Tile<64> dO(int stage, int panel) const { return tileAt(stage, Layout::dO, panel); }

  /// Of D^T (`Layout::adjoint`) or S^T (`Layout::state`).
  __device__ Tile<64> stateTile(int part, int valuePanel, int keyPanel) const {
    return {base + part + (valuePanel * Layout::keyPanels + keyPanel) * Layout::panel};
  }
  __device__ Tile<64> scoreTile(int number) const { return {base + Layout::scores + number * Layout::panel}; }

  /// dO V^T or Q K^T of all tokens of a stage, in the background.
  __device__ void startScores(Sums& sum, int stage, bool ofValues) const {
    constexpr int keyPanels = Layout::keyPanels, valuePanels = Layout::valuePanels;
    if (keyPanels == valuePanels)
      startRows<keyPanels>(sum, ofValues ? dO(stage, 0) : Q(stage, 0), ofValues ? V(stage, 0) : K(stage, 0));
    else if (ofValues)
      startRows<valuePanels>(sum, dO(stage, 0), V(stage, 0));
    else
      startRows<keyPanels>(sum, Q(stage, 0), K(stage, 0));
  }
};

/// sum += scores z, or with scores stored in `columns` scores^T z.
template <StoredB storedScores>
__device__ inline void addScored(Sums& sum, Tile<64> scores, Tile<64> z) {
#pragma unroll
  for (int k = 0; k < 4; k++)
    if constexpr (storedScores == StoredB::columns)
      multiplyTransposed(sum, scores, k, z, k);
    else
      multiply<StoredB::columns>(sum, scores, k, z, k);
}

}  // namespace longscan
