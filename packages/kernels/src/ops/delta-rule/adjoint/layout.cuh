#pragma once

#include "../sweep/layout.cuh"

// The adjoints' sweep on Hopper for 64 < K <= 128 and one decay a token at most, 64 channels of V a block.
// Against time, for each piece of a chunk:
//
//     dN^T = dO^T P + outOf (D^T K^T)        D^T = gamma D^T + (into dO)^T Q - dN^T W        dv = Y^T dN

namespace longscan {

/// A block's shared memory, byte by byte.
struct AdjointLayout {
  static constexpr int panel = Tile<64>::bytes, panels = 2, operand = panels * panel;
  /// Pieces whose keys, queries and W are there; P, dO and the small numbers; Y; what is handed over or
  /// shown.
  static constexpr int operandPieces = 2, givenPieces = 3, inversePieces = 2, shownPieces = 2;

  static constexpr int keys = 0;
  static constexpr int queries = keys + operandPieces * operand;
  static constexpr int w = queries + operandPieces * operand;
  static constexpr int given = w + operandPieces * operand;  // P, dO
  static constexpr int inverse = given + givenPieces * 2 * panel;
  static constexpr int states = inverse + inversePieces * panel;  // D, transposed, for those who store it
  static constexpr int tokens = states + shownPieces * operand;   // dN, transposed
  /// (into dO)^T as a first operand, 16 bytes a thread at a time, as the chain's threads have it.
  static constexpr int outputs = tokens + shownPieces * panel;
  static constexpr int facts = outputs + operandPieces * panel;

  // Of a piece's facts: rows' factors, the piece.
  static constexpr int outOf = 64 * 4;
  static constexpr int record = outOf + 64 * 4;
  static constexpr int factBytes = record + 16;

  static constexpr int barriers = facts + givenPieces * factBytes;
  static constexpr int numBarriers =
      5 * operandPieces + 2 * givenPieces + 2 * inversePieces + 3 * shownPieces;
  static constexpr int bytes = barriers + numBarriers * SweepBarrier::bytes;
  static_assert(bytes <= 227 * 1024, "a block's memory");
};

/// What the warpgroups of a block have in common: what it works on and where its memory lies.
class AdjointBlock : public SweepWork {
 public:
  using Layout = AdjointLayout;

  __device__ AdjointBlock(const DeltaSweepCall& call, const SweepMaps& maps, unsigned char* shared)
      : SweepWork(call, maps, shared, wideValues) {}

  /// A piece's keys and queries are there, and what the attendants make of its dO; its keys have been read;
  /// the rest has.
  __device__ SweepBarrier pieceFull(int i) const { return barrier(i); }
  __device__ SweepBarrier keysFree(int i) const { return barrier(2 + i); }
  __device__ SweepBarrier pieceFree(int i) const { return barrier(4 + i); }
  __device__ SweepBarrier wFull(int i) const { return barrier(6 + i); }
  __device__ SweepBarrier wFree(int i) const { return barrier(8 + i); }
  /// P, dO and the facts.
  __device__ SweepBarrier givenFull(int i) const { return barrier(10 + i); }
  __device__ SweepBarrier givenFree(int i) const { return barrier(13 + i); }
  __device__ SweepBarrier inverseFull(int i) const { return barrier(16 + i); }
  __device__ SweepBarrier inverseFree(int i) const { return barrier(18 + i); }
  /// The chain has shown the state, or dN; both have been read.
  __device__ SweepBarrier stateReady(int i) const { return barrier(20 + i); }
  __device__ SweepBarrier tokensReady(int i) const { return barrier(22 + i); }
  __device__ SweepBarrier shownFree(int i) const { return barrier(24 + i); }
  static_assert(24 + Layout::shownPieces == Layout::numBarriers, "the last one is within the block's memory");

  /// One thread; then all threads of the block meet.
  __device__ void initBarriers() const {
    for (int i = 0; i < Layout::givenPieces; i++) {
      givenFull(i).init(1);
      givenFree(i).init(12 * arrivalsOfWarp);
    }
    for (int i = 0; i < 2; i++) {
      pieceFull(i).init(2 + 4 * arrivalsOfWarp);
      keysFree(i).init(4 * arrivalsOfWarp);
      pieceFree(i).init(4 * arrivalsOfWarp);
      wFull(i).init(1);
      wFree(i).init(4 * arrivalsOfWarp);
      inverseFull(i).init(1);
      inverseFree(i).init(4 * arrivalsOfWarp);
      stateReady(i).init(4 * arrivalsOfWarp);
      tokensReady(i).init(4 * arrivalsOfWarp);
      shownFree(i).init(8 * arrivalsOfWarp);
    }
    publishBarriers();
  }

  __device__ static RingPlace operandAt(int i) { return ringPlace<Layout::operandPieces>(i); }
  __device__ static RingPlace givenAt(int i) { return ringPlace<Layout::givenPieces>(i); }
  __device__ static RingPlace inverseAt(int i) { return ringPlace<Layout::inversePieces>(i); }
  __device__ static RingPlace shownAt(int i) { return ringPlace<Layout::shownPieces>(i); }

  __device__ uint32_t keys(int slot) const { return base + Layout::keys + slot * Layout::operand; }
  __device__ uint32_t queries(int slot) const { return base + Layout::queries + slot * Layout::operand; }
  __device__ uint32_t w(int slot) const { return base + Layout::w + slot * Layout::operand; }
  __device__ Tile<64> scores(int slot) const { return {base + Layout::given + slot * 2 * Layout::panel}; }
  __device__ Tile<64> dO(int slot) const { return {scores(slot).base + Layout::panel}; }
  __device__ Tile<64> inverse(int slot) const { return {base + Layout::inverse + slot * Layout::panel}; }
  __device__ Tile<64> stateTile(int slot, int panel) const {
    return {base + Layout::states + slot * Layout::operand + panel * Layout::panel};
  }
  __device__ Tile<64> tokensTile(int slot) const { return {base + Layout::tokens + slot * Layout::panel}; }
  /// The calling thread's 16 bytes, of four times as many, of what the attendants hand the chain.
  __device__ uint32_t outputsPlace(int slot, int i) const {
    return base + Layout::outputs + slot * Layout::panel + (i * 128 + threadIdx.x % 128) * 16;
  }

  __device__ uint32_t facts(int slot) const { return base + Layout::facts + slot * Layout::factBytes; }
  __device__ const float* into(int slot) const {
    return reinterpret_cast<const float*>(shared + Layout::facts + slot * Layout::factBytes);
  }
  __device__ const float* outOf(int slot) const { return into(slot) + 64; }
  __device__ int2* record(int slot) const {
    return reinterpret_cast<int2*>(shared + Layout::facts + slot * Layout::factBytes + Layout::record);
  }
  __device__ SweepPiece piece(int slot) const { return SweepPiece::unpack(*record(slot)); }

 private:
  __device__ SweepBarrier barrier(int i) const { return {base + Layout::barriers + i * SweepBarrier::bytes}; }
};

}  // namespace longscan
