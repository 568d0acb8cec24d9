#pragma once

#include "../../cuda/bulk_copy.cuh"
#include "../../cuda/tensor_map.h"
#include "../../cuda/warp_arrival.cuh"
#include "../../cuda/warpgroup_wide.cuh"
#include "cuda_backward.h"
#include "cuda_online_softmax.cuh"

// What the roles of the backward kernel share.

namespace longscan {

/// A block takes 128 keys of a key head, 64 a warpgroup, through the queries that see them; one more
/// warpgroup loads and adds to dq. D: head size that tiles have.
template <int D>
struct BackwardShape {
  static constexpr int warpgroups = 2, threads = 128 * (warpgroups + 1);
  static constexpr int queries = 8192 / D, keys = 128, stages = 2, panels = D / 64;
  static constexpr uint32_t keyPanel = keys * 128, keyBytes = panels * keyPanel;
  static constexpr uint32_t queryPanel = queries * 128, queryBytes = panels * queryPanel;
  static constexpr uint32_t gradPanel = keys * 128, gradBytes = queries / 64 * gradPanel;
  static constexpr int partFloats = 4096;  // of dq, a warpgroup's
  static constexpr uint32_t partBytes = partFloats * 4;
  static constexpr uint32_t bytes =
      2 * keyBytes + 2 * stages * queryBytes + 2 * gradBytes + warpgroups * partBytes + 1024;
};

struct BackwardCall {
  LongscanAttention call;
  LongscanAttentionBackward io;
  BackwardMemory memory;
  CUtensorMap q, dO, k, v;
};

template <int D>
struct BackwardTiles {
  using Shape = BackwardShape<D>;
  uint32_t base;
  __device__ uint32_t keys() const { return base; }
  __device__ uint32_t values() const { return base + Shape::keyBytes; }
  __device__ uint32_t queries(int stage) const {
    return base + 2 * Shape::keyBytes + stage * Shape::queryBytes;
  }
  __device__ uint32_t dO(int stage) const { return queries(Shape::stages + stage); }
  /// Gradients of the scores, [keys, queries].
  __device__ uint32_t scoreGrads(int step) const {
    return queries(2 * Shape::stages) + (step & 1) * Shape::gradBytes;
  }
  __device__ uint32_t queryGrads(int warpgroup) const {
    return queries(2 * Shape::stages) + 2 * Shape::gradBytes + warpgroup * Shape::partBytes;
  }
};

/// Key heads, of `heads`, whose blocks of keys start in turns; `steps`: blocks of queries that one meets.
/// Blocks of a head that run side by side find q, dO and dq in the L2 cache as long as they keep close. Few
/// heads leave them fewer rounds in which to drift apart, which long walks need; many heads keep the lines
/// short in which blocks wait for their turns, which short walks need.
__device__ inline int headsTogether(int heads, int steps) {
  constexpr int mostSteps = 8192, mostHeads = 16;
  const int most = min(max(mostSteps / max(steps, 1), 1), mostHeads), groups = (heads + most - 1) / most;
  return (heads + groups - 1) / groups;
}

/// The block of keys, and its queries in the order in which all roles meet them: head by head of the group,
/// from the last block of queries to the first, so that blocks of keys which start together meet dq in the
/// order of their turns.
template <int D>
struct BackwardWork {
  static constexpr int keys = BackwardShape<D>::keys;
  int b, g, block, key0, perGroup, numQueryBlocks;
  int firstBlock, endBlock;  // of queries that see some of the keys
  const BlockSight* sights;  // of the batch row

  /// Blocks are numbered in the order in which they start. Those of a head have their numbers in the order of
  /// the keys, whichever heads are between them: a block waits for blocks that have started, so that one
  /// which waits for nobody is always under way.
  __device__ void begin(const BackwardCall& f, int number) {
    const LongscanAttention& c = f.call;
    perGroup = c.H / c.G;
    const int heads = static_cast<int>(c.B) * c.G, blocks = static_cast<int>((c.S + keys - 1) / keys);
    // A block of keys meets about as many queries as a query sees keys, but no more than there are.
    const int walk = static_cast<int>(min(int64_t{*f.memory.blocks.mostKeys}, c.T));
    const int together = headsTogether(heads, walk / f.memory.blocks.size);
    const int first = number / (together * blocks) * together, place = number % (together * blocks);
    const int count = min(together, heads - first), head = first + place % count;
    block = place / count;
    b = head / c.G, g = head % c.G;
    key0 = block * keys;
    numQueryBlocks = static_cast<int>(f.memory.blocks.pitch / f.memory.blocks.size);
    sights = f.memory.blocks.sights + int64_t{b} * numQueryBlocks;
    firstBlock = INT_MAX;
    endBlock = 0;
  }

  __device__ bool meets(const BlockSight& sight) const {
    return sight.first < key0 + keys && sight.end > key0;
  }

  /// By all threads of the block.
  __device__ void findQueries() {
    for (int i = threadIdx.x; i < numQueryBlocks; i += BackwardShape<D>::threads) {
      if (!meets(sights[i])) continue;
      atomicMin(&firstBlock, i);
      atomicMax(&endBlock, i + 1);
    }
  }

  /// Calls body(step, head, block of queries, what it sees).
  template <typename Body>
  __device__ void forEachStep(Body body) const {
    int step = 0;
    for (int h = g * perGroup; h < (g + 1) * perGroup; h++)
      for (int i = endBlock - 1; i >= firstBlock; i--) {
        const BlockSight sight = sights[i];
        if (meets(sight)) body(step++, h, i, sight);
      }
  }
};

/// What a stage holds.
enum class Step : int { full, edge, none };

template <int D>
struct BackwardShared {
  using Shape = BackwardShape<D>;
  alignas(16) float lse[Shape::stages][Shape::queries];
  alignas(16) float delta[Shape::stages][Shape::queries];
  alignas(16) int2 ranges[Shape::stages][Shape::queries];
  ArrivalBarrier rawKeys, keys, queries[Shape::stages], rawQueries, queriesRead[Shape::stages];
  ArrivalBarrier partsRead[Shape::warpgroups];
  uint32_t badKeys[Shape::keys / 32];
  Step steps[Shape::stages];
  float scale;           // for powers of two
  BackwardWork<D> work;  // in shared memory, for roles that have few registers

  /// By one thread.
  __device__ void prepare(const BackwardCall& f) {
    rawKeys.init(1);
    keys.init(128);
    rawQueries.init(1);
    for (int stage = 0; stage < Shape::stages; stage++) {
      queries[stage].init(2 * arrivalsOfWarp);
      queriesRead[stage].init(4 * Shape::warpgroups * arrivalsOfWarp);
    }
    for (ArrivalBarrier& part : partsRead) part.init(1);
    publishBarriers();
    scale = f.call.scale * log2OfE;
    work.begin(f, atomicAdd(f.memory.nextBlock, 1));
  }
};

}  // namespace longscan
