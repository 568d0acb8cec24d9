#pragma once

#include "sweep.h"

// What the sweeps share of the sequence: which numbers of a row are staged where, for how many threads.

namespace longscan {

/// What is staged of each row of the sequence. Every role has a place, or none.
struct DeltaStaging {
  static constexpr int most = 9;
  struct Source {
    DeltaRows rows;
    bool sliced;  // only the block's own free channels
    int at;       // its place in a staged row
    int log2Units;
  };
  Source sources[most];
  int at[most];
  int numSources = 0, numRoles = 0, rowNumbers = 0;

  /// `numbers`: a power of two, at least 4.
  void add(const DeltaRows& rows, bool sliced, int numbers) {
    at[numRoles++] = rowNumbers;
    if (rows.data == nullptr) return;
    int log2Units = 0;
    while (4 << log2Units < numbers) log2Units++;
    sources[numSources++] = {rows, sliced, rowNumbers, log2Units};
    rowNumbers += numbers;
  }
};

template <int size, int channels>
struct DeltaTokenLayout {
  static constexpr int numContracted = size;
  static constexpr int lanes = size / 16, groups = 32 / lanes;
  static constexpr int warpRows = channels * groups;  // of the state
  static constexpr int stageRows = size > 256 ? 4 : size > 128 || channels > 1 ? 8 : 16, straightRows = 4;
  static constexpr int numStages = stageRows < 16 ? 3 : 2;
  static constexpr int maxWarps = 8, serviceWarps = 4;

  /// Warps of a block, but for those that load and store. They share what is staged, blocks fill the chip; no
  /// result depends on it.
  static int warpsOf(int64_t B, int H, int numFree) {
    const int64_t warps = B * H * ((numFree + warpRows - 1) / warpRows);
    int wanted = warpRows < 4 ? 4 / warpRows : 1;
    while (wanted < maxWarps && warps / (2 * wanted) >= 108) wanted *= 2;
    return wanted;
  }
};

/// One token.
struct DeltaRow {
  const float* data;  // as staged
  int token;          // of [0, T)
  int place;          // in its stage
  bool beginsChunk, forgets;
  float beta, decay;  // the decay of all channels, or 1
};

}  // namespace longscan
