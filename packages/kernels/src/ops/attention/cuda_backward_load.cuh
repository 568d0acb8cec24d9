#pragma once

#include "cuda_backward_shared.cuh"
#include "cuda_clean_rows.cuh"

// The warps that load, and those that bring dq to memory.

namespace longscan {

/// Keys and values, by the 128 threads of a warpgroup; keys that are not finite are cleared, see
/// cuda_clean_rows.cuh.
template <int D>
__device__ void loadKeys(const BackwardCall& f, BackwardShared<D>& shared, BackwardTiles<D> tiles) {
  using Shape = BackwardShape<D>;
  const BackwardWork<D>& work = shared.work;
  const int thread = threadIdx.x & 127;
  if (thread == 0) {
    shared.rawKeys.arriveExpecting(2 * Shape::keyBytes);
    for (int p = 0; p < Shape::panels; p++) {
      copyBox(tiles.keys() + p * Shape::keyPanel, f.k, shared.rawKeys, 64 * p, work.g, work.key0, work.b);
      copyBox(tiles.values() + p * Shape::keyPanel, f.v, shared.rawKeys, 64 * p, work.g, work.key0, work.b);
    }
  }
  __syncwarp();
  shared.rawKeys.wait(0);
  const uint32_t bad = cleanRow<Shape::panels>(tiles.keys(), thread, Shape::keyPanel);
  if (thread % 32 == 0) shared.badKeys[thread / 32] = bad;
  publishToProducts();
  shared.keys.arrive();
}

/// Queries block by block, by two warps, of which one starts the copies and both look for what is not finite.
template <int D>
__device__ void loadQueries(const BackwardCall& f, BackwardShared<D>& shared, BackwardTiles<D> tiles,
                            int half) {
  using Shape = BackwardShape<D>;
  const BackwardWork<D>& work = shared.work;
  constexpr uint32_t rowBytes = sizeof(float) * 2 + sizeof(int2);
  const int lane = threadIdx.x & 31;
  const bool starts = half == 0 && lane == 0;
  const RowTerms& terms = f.memory.terms;
  int numSteps = 0, numEdges = 0;
  work.forEachStep([&](int step, int h, int i, const BlockSight& sight) {
    const int stage = step % Shape::stages, query0 = i * Shape::queries;
    const bool isEdge = sight.innerFirst > work.key0 || sight.innerEnd < work.key0 + Shape::keys;
    numSteps = step + 1;
    if (starts) {
      if (step >= Shape::stages) shared.queriesRead[stage].wait(step / Shape::stages - 1);
      shared.steps[stage] = isEdge ? Step::edge : Step::full;
      ArrivalBarrier& arrival = isEdge ? shared.rawQueries : shared.queries[stage];
      arrival.arriveExpecting(2 * Shape::queryBytes + Shape::queries * rowBytes);
      if (!isEdge) arrival.arrive(2 * arrivalsOfWarp - 1);  // for both warps
      for (int p = 0; p < Shape::panels; p++) {
        copyBox(tiles.queries(stage) + p * Shape::queryPanel, f.q, arrival, 64 * p, h, query0, work.b);
        copyBox(tiles.dO(stage) + p * Shape::queryPanel, f.dO, arrival, 64 * p, h, query0, work.b);
      }
      const int64_t row = (int64_t{work.b} * f.call.H + h) * terms.pitch + query0;
      copyRun(sharedAddress(shared.lse[stage]), terms.lse + row, Shape::queries * sizeof(float), arrival);
      copyRun(sharedAddress(shared.delta[stage]), terms.delta + row, Shape::queries * sizeof(float), arrival);
      copyRun(sharedAddress(shared.ranges[stage]),
              f.memory.blocks.ranges + work.b * f.memory.blocks.pitch + query0, Shape::queries * sizeof(int2),
              arrival);
    }
    __syncwarp();
    if (!isEdge) return;
    shared.rawQueries.wait(numEdges++);
    for (int row = 32 * half + lane; row < Shape::queries; row += 64) {
      const uint32_t bad = cleanRow<Shape::panels>(tiles.queries(stage), row, Shape::queryPanel) |
                           cleanRow<Shape::panels>(tiles.dO(stage), row, Shape::queryPanel);
      // All that it sees becomes NaN with it.
      if (bad >> lane & 1) shared.lse[stage][row] = NAN;
    }
    publishToProducts();
    joinBarrier(8, 64);
    if (arrivesForWarp()) shared.queries[stage].arrive();
  });
  if (!starts) return;
  const int stage = numSteps % Shape::stages;
  if (numSteps >= Shape::stages) shared.queriesRead[stage].wait(numSteps / Shape::stages - 1);
  shared.steps[stage] = Step::none;
  shared.queries[stage].arrive(2 * arrivalsOfWarp);
}

__device__ inline int loadAcquire(const int* from) {
  int value;
  asm volatile("ld.acquire.gpu.global.b32 %0, [%1];" : "=r"(value) : "l"(from) : "memory");
  return value;
}
__device__ inline void storeRelease(int* to, int value) {
  asm volatile("st.release.gpu.global.b32 [%0], %1;" ::"l"(to), "r"(value) : "memory");
}

/// Between copies in the background and ordinary accesses, of global memory.
__device__ inline void orderCopies() {
#if __CUDA_ARCH__ >= 900
  asm volatile("fence.proxy.async.global;" ::: "memory");
#endif
}

/// One warp adds a warpgroup's part of dq to what earlier blocks of keys made of it: one after the other, in
/// the order of the keys, so that sums are the same bits every time. Blocks are numbered in the order in
/// which they start, and wait for lower numbers only.
template <int D>
__device__ void addQueryGradients(const BackwardCall& f, BackwardShared<D>& shared, BackwardTiles<D> tiles,
                                  int part) {
  using Shape = BackwardShape<D>;
  const BackwardWork<D>& work = shared.work;
  work.forEachStep([&](int, int h, int i, const BlockSight& sight) {
    joinBarrier(2 + part, 160);
    if ((threadIdx.x & 31) == 0) {
      const int64_t at = ((int64_t{work.b} * f.call.H + h) * work.numQueryBlocks + i) * 2 + part;
      const int turn = work.block - sight.first / Shape::keys;
      while (loadAcquire(f.memory.turns + at) != turn) {
      }
      orderCopies();
      float* const to = f.memory.dq + at * Shape::partFloats;
      if (turn == 0)
        storeRun(to, tiles.queryGrads(part), Shape::partBytes);
      else
        addRun(to, tiles.queryGrads(part), Shape::partBytes);
      commitRuns();
      waitUntilRunsAreRead();
      shared.partsRead[part].arrive();
      waitForRuns();
      orderCopies();
      storeRelease(f.memory.turns + at, turn + 1);
    }
    __syncwarp();
  });
}

}  // namespace longscan
