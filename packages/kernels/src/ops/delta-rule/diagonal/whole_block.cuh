#pragma once

#include "../sweep/bulk.cuh"
#include "../sweep/products.cuh"
#include "diagonal.cuh"
#include "whole.h"

namespace longscan {

namespace {

/// How the copy engine finds what a chunk's gradients are made of, in boxes of 64 rows and 128 bytes.
struct WholeMaps {
  CUtensorMap dO, dv, corrections, states, adjoints, q, k, gates, dq, dk;
};

/// A block's memory: a chunk with all 128 channels of K and V, tiles of 64 rows and 64 channels. What the
/// products over V read is loaded for the next chunk while this one's tokens are multiplied.
struct WholeLayout {
  static constexpr int K = 128, V = 128;
  static constexpr int panel = Tile<64>::bytes;

  // By 64 channels of V; states by 64 channels of K inside.
  static constexpr int states = 0;
  static constexpr int adjoints = 4 * panel;
  static constexpr int outputs = 8 * panel;       // dO
  static constexpr int changes = 10 * panel;      // dv
  static constexpr int corrections = 12 * panel;  // N
  static constexpr int valueBytes = 14 * panel;

  // By 64 channels of K; in the place of q and k their gradients, in that of the gates their sums, then what
  // their gradients are sums of.
  static constexpr int queries = valueBytes;
  static constexpr int keys = queries + 2 * panel;
  static constexpr int tokenBytes = 4 * panel;
  static constexpr int gates = keys + 2 * panel;  // f32, by 32 channels
  static constexpr int gatesBytes = 4 * panel;

  // Of this chunk and the one before it, by turns: weights of scores and of products of keys, shares of
  // rowsum_V(S o D) by half of V and warp, and beta.
  static constexpr int weights = gates + gatesBytes;
  static constexpr int products = weights + 4 * panel;
  static constexpr int productBytes = 8 * K * 4;
  static constexpr int factors = products + 2 * productBytes;
  static constexpr int factorBytes = 64 * 4;
  static constexpr int records = factors + 2 * factorBytes;

  static constexpr int firsts = records + 16;              // by channel: where sums of log2 decays begin
  static constexpr int totals = firsts + K * 4;            // by sub-chunk and channel
  static constexpr int behind = totals + numSubs * K * 4;  // by half of the tokens and channel
  static constexpr int dots = behind + 2 * K * 4;          // by warp and token of its half
  static constexpr int barriers = dots + 16 * 32 * 4;
  static constexpr int bytes = barriers + 5 * SweepBarrier::bytes;
  static_assert(bytes <= 227 * 1024);
};

/// Four warpgroups that multiply, one that loads.
constexpr int wholeMultipliers = 4 * 128;
constexpr int wholeThreads = wholeMultipliers + 128;

/// What the warps of a block have in common.
struct WholeBlock {
  using Layout = WholeLayout;

  const DeltaDiagonalGradientCall& call;
  const DeltaWholeChunks& whole;
  const WholeMaps& maps;
  unsigned char* const shared;
  const uint32_t base;

  __device__ WholeBlock(const DeltaDiagonalGradientCall& call, const DeltaWholeChunks& whole,
                        const WholeMaps& maps, unsigned char* shared)
      : call(call), whole(whole), maps(maps), shared(shared), base(sharedAddress(shared)) {}

  /// What the products over V read has arrived; all of it has been read. So for the tokens, which the block
  /// gives back with gradients in their places.
  __device__ SweepBarrier valuesFull() const { return barrier(0); }
  __device__ SweepBarrier valuesFree() const { return barrier(1); }
  __device__ SweepBarrier tokensFull() const { return barrier(2); }
  __device__ SweepBarrier tokensDone() const { return barrier(3); }
  /// The tokens' gates, which are loaded sooner.
  __device__ SweepBarrier gatesFull() const { return barrier(4); }

  /// One thread; then all threads of the block meet.
  __device__ void initBarriers() const {
    valuesFull().init(1);
    tokensFull().init(1);
    gatesFull().init(1);
    valuesFree().init(wholeMultipliers / 32 * arrivalsOfWarp);
    tokensDone().init(wholeMultipliers / 32 * arrivalsOfWarp);
    publishBarriers();
  }

  /// The chunk among all heads' chunks, or -1 after the last one.
  __device__ int* record(int turn) const { return reinterpret_cast<int*>(shared + Layout::records) + turn; }
  __device__ uint32_t factors(int turn) const { return base + Layout::factors + turn * Layout::factorBytes; }
  __device__ int numChunks() const { return static_cast<int>((call.T + tileTokens - 1) / tileTokens); }

 private:
  __device__ SweepBarrier barrier(int i) const { return {base + Layout::barriers + i * SweepBarrier::bytes}; }
};

}  // namespace

}  // namespace longscan
