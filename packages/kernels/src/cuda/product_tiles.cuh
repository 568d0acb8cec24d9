#pragma once

#include "bulk_copy.cuh"
#include "cluster.cuh"
#include "warp_arrival.cuh"
#include "warpgroup_wide.cuh"

// The tiles of a matrix product on Hopper, 128 x 256 numbers each, in shared memory: operands as they are
// fetched, and finished sums as they are handed on. Three roles of a block's threads walk through them. One
// thread has the copy engine fill a ring of slots, each with 64 of the contracted numbers; two warpgroups
// multiply, 64 rows each, and hand over their sums, rounded to bf16; three warps make of them what the
// product is for, while the next tile is summed up. Blocks of a cluster have tiles one below the other, so
// that B is the same for them: each fetches a part for all.

namespace longscan {

struct ProductTile {
  static constexpr int rows = 128, columns = 256, depth = 64;
  static constexpr int blocksOfCluster = 2;
};

/// Shared memory, in panels of 128 rows and 64 columns, 128 bytes a row in wgmma's exchange pattern. A slot
/// is one of A and two of B; finished sums are four.
struct ProductLayout {
  static constexpr int slots = 3;
  static constexpr int panelBytes = ProductTile::rows * 128, slotBytes = 3 * panelBytes;
  static constexpr int sums = slots * slotBytes, barriers = sums + 4 * panelBytes;
  static constexpr int bytes = barriers + 2 * (slots + 1) * 8;
  /// Warps that multiply; behind them one that fills, and those that finish. Those have what registers they
  /// need, since the block begins with 168 for each thread.
  static constexpr int multiplyingWarps = 8, finishingWarps = 3, threads = 32 * 12;
  static constexpr int multiplyingRegisters = 192, otherRegisters = 120;
};

/// One thread's walk.
class ProductTiles : public ProductLayout {
 public:
  /// All threads of the cluster.
  __device__ explicit ProductTiles(unsigned char* shared)
      : base_(sharedAddress(shared)),
        filled_(reinterpret_cast<ArrivalBarrier*>(shared + barriers)),
        left_(filled_ + slots + 1) {
    if (threadIdx.x == 0) {
      for (int slot = 0; slot < slots; slot++) {
        filled_[slot].init(1);
        left_[slot].init(ProductTile::blocksOfCluster * multiplyingWarps * arrivalsOfWarp);
      }
      filled_[slots].init(multiplyingWarps * arrivalsOfWarp);
      left_[slots].init(finishingWarps * arrivalsOfWarp);
      publishBarriers();
    }
    joinCluster();
  }

  /// Filling. Waits until nobody in the cluster reads the slot any more; then copies of `slotBytes` are due.
  __device__ void beginSlot() {
    if (round_ > 0) left_[slot_].wait(round_ - 1);
    filled_[slot_].arriveExpecting(slotBytes);
  }
  __device__ void endSlot() { advance(); }
  /// From its first panel on.
  __device__ void copy(int offset, const CUtensorMap& map, int column, int row) const {
    copyBox(slotBase() + offset, map, filled_[slot_], column, 0, row, 0);
  }
  /// The same in all blocks of the cluster.
  __device__ void copyForAll(int offset, const CUtensorMap& map, int column, int row) const {
    constexpr uint16_t all = (1 << ProductTile::blocksOfCluster) - 1;
    copyBoxToBlocks(all, slotBase() + offset, map, filled_[slot_], column, 0, row, 0);
  }

#if LONGSCAN_WGMMA
  /// Multiplying: sums of A B over `steps` slots, by a warpgroup. B's panels are two of 128 rows of columns,
  /// or four of 64 of its rows.
  template <StoredB storedB>
  __device__ void multiply(WidestSums& sums, int steps) {
    const int warpgroup = warpgroupNumber();
    int before = 0;
    for (int i = 0; i < steps; i++) {
      filled_[slot_].wait(round_);
      const uint32_t a = slotBase() + warpgroup * (panelBytes / 2), b = slotBase() + panelBytes;
      beginProducts();
#pragma unroll
      for (int k = 0; k < ProductTile::depth / 16; k++)
        multiplyTiles<storedB>(
            sums, rowsOperand(a, k, 0),
            storedB == StoredB::rows ? rowsOperand(b, k, 0) : columnsOperand(b, k, panelBytes / 2),
            i > 0 || k > 0);
      commitProducts();
      if (i > 0) {
        waitForProducts<1>();
        leaveSlot(before);
      }
      before = slot_;
      advance();
    }
    waitForProducts<0>();
    settle(sums);
    leaveSlot(before);
  }

  /// Hands them over, as soon as the tile before is finished.
  __device__ void handOver(const WidestSums& sums) {
    const int row = static_cast<int>(threadIdx.x >> 5) * 16, lane = threadIdx.x & 31;
    if (tile_ > 0) left_[slots].wait(tile_ - 1);
#pragma unroll
    for (int step = 0; step < ProductTile::columns / 16; step++)
      storeOperandA(panel(step / 4), row, step % 4, operandOf(sums, step), lane);
    publishToProducts();
    if (arrivesForWarp()) filled_[slots].arrive();
    tile_++;
  }
#endif

  /// Finishing: 64 columns of the sums, 128 rows.
  __device__ Tile<64> panel(int which) const {
    return {base_ + sums + which * panelBytes};
  }
  __device__ void awaitSums() const {
    filled_[slots].wait(tile_);
  }
  __device__ void leaveSums() {
    if (arrivesForWarp()) left_[slots].arrive();
    tile_++;
  }
  /// Of the warps that do.
  __device__ static int finishingWarp() {
    return static_cast<int>(threadIdx.x >> 5) - multiplyingWarps - 1;
  }

 private:
  __device__ uint32_t slotBase() const {
    return base_ + slot_ * slotBytes;
  }
  __device__ void advance() {
    if (++slot_ < slots) return;
    slot_ = 0;
    round_++;
  }
  /// The calling warp, in all blocks whose copies come here.
  __device__ void leaveSlot(int slot) const {
    if (!arrivesForWarp()) return;
#pragma unroll
    for (int rank = 0; rank < ProductTile::blocksOfCluster; rank++) arriveInCluster(left_[slot], rank);
  }

  const uint32_t base_;
  /// Of each slot, and behind those of the sums: they are there; nobody reads them any more.
  ArrivalBarrier *const filled_, *const left_;
  int slot_ = 0, round_ = 0, tile_ = 0;
};

}  // namespace longscan
