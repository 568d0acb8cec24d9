#pragma once

#include "frame.cuh"

// How a block of the gradient gets what it reads, and gives back rows.

namespace longscan {

struct GradientMaps {
  CUtensorMap q, k, v, dO, dq, dk;
};

/// Fills Q, K and the gates, and stages of 64 channels of the values with what meets them: tiles of dO, v, S
/// and D. `mapped`: by the copy engine, which one thread asks and which also knows where tensors end; else by
/// all threads. For each of them copying took as many instructions as computing.
template <bool mapped>
class GradientLoader {
  using Layout = GradientLayout;
  const DiagonalGradientCall& task;
  const GradientMaps& maps;
  const Block& block;
  const ChunkTiles& in;
  ArrivalBarrier* const arrivals;  // of two stages, and of Q and K
  static constexpr int ofTokens = 2;
  const uint32_t stages;

 public:
  __device__ GradientLoader(const DiagonalGradientCall& task, const GradientMaps& maps, const Block& block,
                            const ChunkTiles& in, unsigned char* shared)
      : task(task),
        maps(maps),
        block(block),
        in(in),
        arrivals(reinterpret_cast<ArrivalBarrier*>(shared + Layout::arrivals)),
        stages(sharedAddress(shared) + Layout::values) {}

  __device__ int numStages() const { return mapped ? 2 : task.stages; }
  __device__ int numValues() const { return (task.call.V + 63) / 64; }
  __device__ Tile<64> tile(int stage, int which) const {
    return {stages + stage * Layout::stage + which * Layout::tile};
  }

  /// Returns when the gates are there, for all threads.
  __device__ void begin() const {
    const DiagonalCall& call = task.call;
    fillGates<gradientThreads>(in.c, call.g + block.place(call) - block.channel(), call.H * call.K,
                               block.channel(), call.K, in.length);
    if (mapped && threadIdx.x == 0) {
      arrivals[0].init(1);
      arrivals[1].init(1);
      arrivals[ofTokens].init(1);
      publishBarriers();
      askTokens();
    }
    if (!mapped) {
      fillRows(in.Q, call.q + block.sharedPlace(call), call.G * call.K, block.channel(), call.K);
      fillRows(in.K, call.k + block.sharedPlace(call), call.G * call.K, block.channel(), call.K);
    }
    fill(0);
    if (numStages() == 2) fill(1);
    if (!mapped && numStages() == 2)
      waitForCopies<1>();
    else
      waitForCopies<0>();
    __syncthreads();
  }

  /// Starts to fill the stage of `values` anew, if there are more. All threads together.
  __device__ void refill(int values) const {
    const int next = values + numStages();
    if (next < numValues()) __syncthreads();
    fill(next);
  }

  /// Starts to fill a stage, if there are such values. Nobody reads it any more.
  __device__ void fill(int values) const {
    if (values < numValues()) {
      if constexpr (mapped) {
        if (threadIdx.x == 0) ask(values);
      } else {
        copy(values);
      }
    }
    commitCopies();
  }

  /// Until a stage is filled, for products too.
  __device__ void await(int values) const {
    if constexpr (mapped) {
      arrivals[values & 1].wait(values >> 1);
    } else {
      if (task.stages == 2)
        waitForCopies<1>();
      else
        waitForCopies<0>();
      publishToProducts();
      __syncthreads();
    }
  }

  /// Until Q and K are there.
  __device__ void awaitTokens() const {
    if constexpr (mapped) arrivals[ofTokens].wait(0);
  }

  /// `mapped`: starts to store dq or dk from a tile that its warpgroup has published.
  __device__ void storeStaged(Tile<64> rows, bool ofQuery) const {
    if (!mapped || threadIdx.x % 128 != 0) return;
    storeBox(ofQuery ? maps.dq : maps.dk, rows.base, block.channel(), block.h(),
             static_cast<int>(block.first()), block.b);
    commitRuns();
  }

 private:
  /// Of 64 values, from a tensor of images.
  __device__ const unsigned char* imageOf(const unsigned char* images, int values, const Block& of) const {
    return images + imageOffset(task.call.K, task.call.V, of.imageOf(task.call), values, of.keyBlock());
  }

  __device__ void ask(int values) const {
    const Block of = block.anew();
    const int stage = values & 1, h = of.h(), b = of.b, token = static_cast<int>(of.first());
    ArrivalBarrier& arrival = arrivals[stage];
    const int wanted = 3 + (task.dk != nullptr);
    arrival.arriveExpecting(wanted * Layout::tile);
    copyBox(tile(stage, 0).base, maps.dO, arrival, 64 * values, h, token, b);
    copyBox(tile(stage, 1).base, maps.v, arrival, 64 * values, h, token, b);
    copyRun(tile(stage, 2).base, imageOf(task.states, values, of), Layout::tile, arrival);
    if (task.dk) copyRun(tile(stage, 3).base, imageOf(task.adjoints, values, of), Layout::tile, arrival);
  }

  __device__ void askTokens() const {
    const int group = block.group(task.call), token = static_cast<int>(block.first());
    ArrivalBarrier& arrival = arrivals[ofTokens];
    arrival.arriveExpecting(2 * Layout::tile);
    copyBox(in.Q.base, maps.q, arrival, block.channel(), group, token, block.b);
    copyBox(in.K.base, maps.k, arrival, block.channel(), group, token, block.b);
  }

  __device__ void fillRows(Tile<64> to, const __nv_bfloat16* from, int pitch, int column, int width) const {
    fillTile<64, gradientThreads>(to, from, pitch, column, width, {0, 0, in.length, false});
  }

  __device__ void copy(int values) const {
    const DiagonalCall& call = task.call;
    const int pitch = call.H * call.V, stage = values % task.stages;
    fillRows(tile(stage, 0), task.dO + block.valuePlace(call), pitch, 64 * values, call.V);
    fillRows(tile(stage, 1), task.v + block.valuePlace(call), pitch, 64 * values, call.V);
#pragma unroll
    for (int at = 16 * threadIdx.x; at < Layout::tile; at += 16 * gradientThreads) {
      copyAsync16(tile(stage, 2).base + at, imageOf(task.states, values, block) + at, true);
      if (task.dk) copyAsync16(tile(stage, 3).base + at, imageOf(task.adjoints, values, block) + at, true);
    }
  }
};

}  // namespace longscan
