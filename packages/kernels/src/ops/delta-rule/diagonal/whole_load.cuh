#pragma once

#include "cuda/dependent.cuh"
#include "whole_block.cuh"

namespace longscan {

namespace {

/// The warp that draws chunks, loads them ahead and stores gradients of queries and keys, all by the copy
/// engine.
class WholeLoader {
  using Layout = WholeLayout;

  const WholeBlock& block;
  const DeltaDiagonalGradientCall& call;
  const int numChunks, lane;

 public:
  __device__ explicit WholeLoader(const WholeBlock& block)
      : block(block), call(block.call), numChunks(block.numChunks()), lane(threadIdx.x & 31) {}

  __device__ void run() const {
    int before = -1;
    for (int i = 0;; i++) {
      const int index = draw();
      if (i > 0) block.valuesFree().wait(i + 1 & 1);
      if (lane == 0) *block.record(i & 1) = index;
      __syncwarp();
      if (index >= 0)
        loadValues(index, i & 1);
      else if (lane == 0)
        block.valuesFull().arrive();
      if (i > 0) block.tokensDone().wait(i + 1 & 1);
      if (index >= 0) loadGates(index);
      if (i > 0) storeGradients(before);
      if (index < 0) break;
      loadTokens(index);
      before = index;
    }
    // What is left is known: the lanes have met since they wrote it. By this warp alone: a block has let the
    // next kernel begin when any thread has.
    if (lane == 0) countPart(&block.whole.counts->through);
    letNextKernelBegin();
    if (electLane()) waitForRuns();
    if (blockIdx.x == 0) waitForKernelBefore();
  }

 private:
  struct Place {
    int batch, head, token, bh, chunk;
  };
  __device__ Place placeOf(int index) const {
    const int bh = index / numChunks, chunk = index % numChunks;
    return {bh / call.H, bh % call.H, chunk * tileTokens, bh, chunk};
  }

  /// The next whole chunk that is mild, the last ones first, all heads' chunks together, as the sweep
  /// finishes them; -1 when there is none. Others are left.
  __device__ int draw() const {
    const int heads = static_cast<int>(call.B) * call.H, count = heads * numChunks;
    for (;;) {
      int number = 0;
      if (lane == 0) number = atomicAdd(&block.whole.counts->drawn, 1);
      number = __shfl_sync(~0u, number, 0);
      if (number >= count) return -1;
      const int index = number % heads * numChunks + numChunks - 1 - number / heads;
      clearBetaGradients(index);
      if (isMild(index)) return index;
      if (lane == 0) block.whole.left[atomicAdd(&block.whole.counts->left, 1)] = index;
    }
  }

  /// To which the chunk's panels are added.
  __device__ void clearBetaGradients(int index) const {
    const Place at = placeOf(index);
#pragma unroll
    for (int row = lane; row < tileTokens; row += 32)
      if (call.dbeta != nullptr && at.token + row < call.T)
        call.dbeta[(at.batch * call.T + at.token + row) * call.H + at.head] = 0.0f;
  }

  /// Whether no channel decays below 2^(2 mildest), where `prepare` leaves zero.
  __device__ bool isMild(int index) const {
    const int64_t first = static_cast<int64_t>(index % numChunks) * tileTokens;
    const float4 decays =
        reinterpret_cast<const float4*>(block.whole.gamma + static_cast<int64_t>(index) * Layout::K)[lane];
    bool mild = decays.x > 0.0f && decays.y > 0.0f && decays.z > 0.0f && decays.w > 0.0f;
    mild = mild && first + tileTokens <= call.T;
    if (call.resets != nullptr && mild) {
      const int32_t* const resets = call.resets + index / numChunks / call.H * call.T + first;
      mild = resets[lane] == 0 && resets[lane + 32] == 0;
    }
    return __all_sync(~0u, mild);
  }

  __device__ void loadValues(int index, int turn) const {
    const Place at = placeOf(index);
    const SweepBarrier full = block.valuesFull();
    const WholeMaps& maps = block.maps;
    const auto loadStates = [&](int to, const CUtensorMap& map) {
#pragma unroll
      for (int i = 0; i < 4; i++)
        copyBox(block.base + to + i * Layout::panel, map, full.address, 64 * (i % 2), 0, 64 * (i / 2), index);
    };
    const auto loadRows = [&](int to, const CUtensorMap& map, int head, int batch) {
#pragma unroll
      for (int i = 0; i < 2; i++)
        copyBox(block.base + to + i * Layout::panel, map, full.address, 64 * i, head, at.token, batch);
    };
    if (electLane()) {
      arriveExpecting(full, Layout::valueBytes + Layout::factorBytes);
      copyRun(block.factors(turn), block.whole.outOf + static_cast<int64_t>(index) * tileTokens,
              Layout::factorBytes, full.address);
      loadRows(Layout::outputs, maps.dO, at.head, at.batch);
      loadRows(Layout::corrections, maps.corrections, 0, at.bh);
      loadStates(Layout::states, maps.states);
    }
    __syncwarp();
    if (call.finished != nullptr) {
      waitForParts(call.finished + index, deltaPartsOfChunk(Layout::V));
      passCountsToCopies();
      __syncwarp();
    }
    if (electLane()) {
      loadRows(Layout::changes, maps.dv, at.head, at.batch);
      loadStates(Layout::adjoints, maps.adjoints);
    }
    __syncwarp();
  }

  __device__ void loadGates(int index) const {
    const Place at = placeOf(index);
    const SweepBarrier full = block.gatesFull();
    if (electLane()) {
      arriveExpecting(full, Layout::gatesBytes);
#pragma unroll
      for (int i = 0; i < 4; i++)
        copyBox(block.base + Layout::gates + i * Layout::panel, block.maps.gates, full.address, 64 * i,
                at.head, at.token, at.batch);
    }
    __syncwarp();
  }

  __device__ void loadTokens(int index) const {
    const Place at = placeOf(index);
    const SweepBarrier full = block.tokensFull();
    if (electLane()) {
      arriveExpecting(full, Layout::tokenBytes);
#pragma unroll
      for (int i = 0; i < 2; i++) {
        copyBox(block.base + Layout::queries + i * Layout::panel, block.maps.q, full.address, 64 * i, at.head,
                at.token, at.batch);
        copyBox(block.base + Layout::keys + i * Layout::panel, block.maps.k, full.address, 64 * i, at.head,
                at.token, at.batch);
      }
    }
    __syncwarp();
  }

  __device__ void storeGradients(int index) const {
    const Place at = placeOf(index);
    if (electLane()) {
#pragma unroll
      for (int i = 0; i < 2; i++) {
        storeBox(block.maps.dq, block.base + Layout::queries + i * Layout::panel, 64 * i, at.head, at.token,
                 at.batch);
        storeBox(block.maps.dk, block.base + Layout::keys + i * Layout::panel, 64 * i, at.head, at.token,
                 at.batch);
      }
      commitRuns();
      waitUntilRunsAreRead();
    }
    __syncwarp();
  }
};

}  // namespace

}  // namespace longscan
