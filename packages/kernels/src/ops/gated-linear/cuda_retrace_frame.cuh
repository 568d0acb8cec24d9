#pragma once

#include "cuda/bulk_copy.cuh"
#include "cuda/warp_arrival.cuh"
#include "cuda_retrace.h"
#include "cuda_sweep_parts.cuh"
#include "cuda_transfer.cuh"

namespace longscan {

constexpr int retraceStages = 2;

/// How the copy engine finds the inputs.
struct RetraceMaps {
  CUtensorMap q, k, v, dO;
};

/// Shared memory of a retracing sweep. D^T and S^T: tiles of 64 values and 64 keys, keys fastest. Scores of
/// each stage: dO V^T and Q K^T, rows the later tokens.
template <int DK, int DV>
struct RetraceLayout {
  static constexpr int panel = Tile<64>::bytes;
  static constexpr int stateBytes = DK / 64 * DV / 64 * panel;
  static constexpr int adjoint = 0;
  static constexpr int state = adjoint + stateBytes;
  static constexpr int scores = state + stateBytes;
  static constexpr int stages = scores + retraceStages * 2 * panel;
  // In a stage, behind Q:
  static constexpr int K = DK / 64 * panel;
  static constexpr int V = K + DK / 64 * panel;
  static constexpr int dO = V + DV / 64 * panel;
  static constexpr int stage = dO + DV / 64 * panel;
  static constexpr int barriers = stages + retraceStages * stage;
  static constexpr int bytes = barriers + 8 * (3 * retraceStages + 4);
};

/// What all threads of a block know: a segment of a head. One warpgroup for each 64 values has D, as many S.
template <int DK, int DV>
class RetraceFrame {
 public:
  using Layout = RetraceLayout<DK, DV>;
  /// With D, and with S.
  static constexpr int warpgroups = DV / 64;
  static constexpr int threads = 2 * 128 * warpgroups;

  /// Before any thread uses them.
  __device__ static void initBarriers(unsigned char* shared) {
    if (threadIdx.x != 0) return;
    const uint32_t first = sharedAddress(shared) + Layout::barriers;
    constexpr int warps = 4 * warpgroups * arrivalsOfWarp;
    for (int stage = 0; stage < retraceStages; stage++) {
      initArrivals(first + 8 * stage, 1);
      initArrivals(first + 8 * (retraceStages + stage), 2 * warps);
      initArrivals(first + 8 * (2 * retraceStages + stage), warps);
    }
    for (int i = 0; i < 4; i++) initArrivals(first + 8 * (3 * retraceStages + i), warps);
    publishArrivals();
  }

  __device__ RetraceFrame(const RetraceCall& call, const RetraceMaps& maps, unsigned char* shared)
      : call(call), maps(maps), base(sharedAddress(shared)) {
    // As they come, not as parts of one number: what a division gives is not known to be the same for all.
    b = static_cast<int>(blockIdx.x);
    h = static_cast<int>(blockIdx.y);
    segment = static_cast<int>(blockIdx.z);
    bh = b * call.H + h;
    group = __shfl_sync(~0u, h / (call.H / call.G), 0);
    const int numChunks = static_cast<int>((call.T + chunkTokens - 1) / chunkTokens);
    firstChunk = segment * call.chunksPerSegment;
    endChunk = min(firstChunk + call.chunksPerSegment, numChunks);
  }

 protected:
  const RetraceCall& call;
  const RetraceMaps& maps;
  const uint32_t base;
  int segment, bh, b, h, firstChunk, endChunk;
  int group;  // of heads that share q and k

  /// A panel of a stage: Q, or further on as the layout says.
  __device__ Tile<64> tileAt(int stage, int part, int panel) const {
    return {base + Layout::stages + stage * Layout::stage + part + panel * Layout::panel};
  }

  /// One warp fills a stage.
  __device__ void fill(int chunk, int stage) const {
    arriveExpectingElected(threadIdx.x % 32 == 0, filled(stage), Layout::stage);
    copyPanels<DK / 64>(maps.q, group, chunk, stage, 0);
    copyPanels<DK / 64>(maps.k, group, chunk, stage, Layout::K);
    copyPanels<DV / 64>(maps.v, h, chunk, stage, Layout::V);
    copyPanels<DV / 64>(maps.dO, h, chunk, stage, Layout::dO);
  }

  __device__ uint32_t barrier(int number) const { return base + Layout::barriers + 8 * number; }
  __device__ uint32_t filled(int stage) const { return barrier(stage); }
  /// All have read the stage and its scores.
  __device__ uint32_t emptied(int stage) const { return barrier(retraceStages + stage); }
  __device__ uint32_t scored(int stage) const { return barrier(2 * retraceStages + stage); }
  /// D (0) or S (1) is there for products, and has been read by all whose it is.
  __device__ uint32_t published(int which) const { return barrier(3 * retraceStages + 2 * which); }
  __device__ uint32_t read(int which) const { return barrier(3 * retraceStages + 2 * which + 1); }

 private:
  template <int panels>
  __device__ void copyPanels(const CUtensorMap& map, int head, int chunk, int stage, int part) const {
#pragma unroll
    for (int p = 0; p < panels; p++)
      copyBoxElected(threadIdx.x % 32 == 0, tileAt(stage, part, p).base, map, filled(stage), 64 * p, head,
                     chunk * chunkTokens, b);
  }
};

}  // namespace longscan
