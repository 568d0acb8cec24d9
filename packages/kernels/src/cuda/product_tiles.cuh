#pragma once

#include "bulk_copy.cuh"
#include "cluster.cuh"
#include "warp_arrival.cuh"
#include "warpgroup_wide.cuh"

// A matrix product on Hopper whose results do not go to memory as they are. Blocks stay; each computes tiles
// of 128 x 256 numbers, one after the other, in three roles. One thread has the copy engine fill a ring of
// slots in shared memory, each with 64 of the contracted numbers. Two warpgroups multiply, 64 rows each, and
// hand the sums, rounded to bf16, over in shared memory. Three warps finish a tile, whatever that is, while
// the next one is summed up.

namespace longscan {

struct ProductTile {
  static constexpr int rows = 128, columns = 256, depth = 64;
};

/// Shared memory, in panels of 128 rows and 64 columns, 128 bytes a row in wgmma's exchange pattern. A slot
/// is one of A and two of B; the finished tile four.
struct ProductRing {
#ifdef SLOTS
  static constexpr int slots = SLOTS;
#else
  static constexpr int slots = 3;
#endif
  static constexpr int panelBytes = ProductTile::rows * 128, slotBytes = 3 * panelBytes;
  static constexpr int handed = slots * slotBytes, barriers = handed + 4 * panelBytes;
  static constexpr int bytes = barriers + 2 * (slots + 1) * 8;
  /// Warps that multiply, then the one that fills, then those that finish.
  static constexpr int multiplyingWarps = 8, finishingWarps = 3, threads = 32 * 12;
  static constexpr int multiplyingRegisters = 192, otherRegisters = 128;
};

/// One role's walk through the tiles of a block in a cluster of `blocks`, which share the B of their tiles:
/// each fetches its part for all of them.
template <int blocks>
class ProductTiles : public ProductRing {
  const uint32_t base;
  /// Of each slot: its bytes are there; nobody reads it any more. Of the finished tile as well.
  ArrivalBarrier *filled, *emptied;
  int slot = 0, round = 0, tile = 0;

 public:
  __device__ explicit ProductTiles(unsigned char* shared)
      : base(sharedAddress(shared)),
        filled(reinterpret_cast<ArrivalBarrier*>(shared + barriers)),
        emptied(filled + slots + 1) {
    if (threadIdx.x == 0) {
      for (int i = 0; i < slots; i++) {
        filled[i].init(1);
        emptied[i].init(blocks * multiplyingWarps * arrivalsOfWarp);
      }
      filled[slots].init(multiplyingWarps * arrivalsOfWarp);
      emptied[slots].init(finishingWarps * arrivalsOfWarp);
      publishBarriers();
    }
    blocks > 1 ? joinCluster() : __syncthreads();
  }

  /// Of the slot, by the thread that fills it.
  __device__ uint32_t panel(int which) const { return base + slot * slotBytes + which * panelBytes; }
  __device__ void copy(uint32_t to, const CUtensorMap& map, int column, int row) const {
    copyBox(to, map, filled[slot], column, 0, row, 0);
  }
  __device__ void copyForAll(uint32_t to, const CUtensorMap& map, int column, int row) const {
    if (blocks > 1)
      copyBoxToBlocks((1 << blocks) - 1, to, map, filled[slot], column, 0, row, 0);
    else
      copy(to, map, column, row);
  }
  /// Waits until all that read the slot have left it, and calls `fill` for its copies.
  template <typename Fill>
  __device__ void fillSlot(Fill fill) {
    if (round > 0) emptied[slot].wait(round - 1);
    filled[slot].arriveExpecting(slotBytes);
    fill();
    advance();
  }

#if LONGSCAN_WGMMA
  /// Sums of A B over `steps` slots, by a warpgroup.
  template <StoredB storedB>
  __device__ void multiply(WidestSums& sums, int steps) {
    const int warpgroup = warpgroupNumber();
    int before = 0;
    for (int i = 0; i < steps; i++) {
      filled[slot].wait(round);
      beginProducts();
#pragma unroll
      for (int k = 0; k < ProductTile::depth / 16; k++)
        multiplyTiles<storedB>(sums, rowsOperand(panel(0) + warpgroup * (panelBytes / 2), k, 0),
                               storedB == StoredB::rows ? rowsOperand(panel(1), k, 0)
                                                        : columnsOperand(panel(1), k, panelBytes / 2),
                               i > 0 || k > 0);
      commitProducts();
      if (i > 0) {
        waitForProducts<1>();
        leaveSlot(before);
      }
      before = slot;
      advance();
    }
    waitForProducts<0>();
    settle(sums);
    leaveSlot(before);
  }

  /// Hands them over as soon as the tile before is finished.
  __device__ void handOver(const WidestSums& sums) {
    const int row = static_cast<int>(threadIdx.x >> 5) * 16, lane = threadIdx.x & 31;
    if (tile > 0) emptied[slots].wait(tile - 1);
#pragma unroll
    for (int step = 0; step < 16; step++)
      storeOperandA(finished(step / 4), row, step % 4, operandOf(sums, step), lane);
    publishToProducts();
    if (arrivesForWarp()) filled[slots].arrive();
    tile++;
  }
#endif

  /// 64 columns of it.
  __device__ Tile<64> finished(int panel) const {
    return {base + handed + panel * panelBytes};
  }
  __device__ void awaitFinished() const {
    filled[slots].wait(tile);
  }
  __device__ void leaveFinished() {
    if (arrivesForWarp()) emptied[slots].arrive();
    tile++;
  }

 private:
  __device__ void advance() {
    if (++slot < slots) return;
    slot = 0;
    round++;
  }
  __device__ void leaveSlot(int which) {
    if (!arrivesForWarp()) return;
    if (blocks == 1) {
      emptied[which].arrive();
    } else {
#pragma unroll
      for (int rank = 0; rank < blocks; rank++) arriveInCluster(emptied[which], rank);
    }
  }
};

/// The order of tiles: in strips of so many rows or columns of tiles, so that what a strip reads again and
/// again stays in the L2 cache.
struct TileOrder {
  int rows, columns, strip;  // < 0: of columns

  __host__ __device__ int count() const { return rows * columns; }
  __device__ void find(int number, int& row, int& column) const {
    const bool acrossRows = strip < 0;
    const int width = acrossRows ? -strip : strip, all = acrossRows ? columns : rows,
              length = acrossRows ? rows : columns;
    const int first = number / (width * length) * width;
    const int inside = number - first * length, own = min(width, all - first);
    const int across = first + inside % own, along = inside / own;
    row = acrossRows ? along : across;
    column = acrossRows ? across : along;
  }
};

/// Calls `body(token, column)` for the first row and column of each of the block's tiles.
template <int blocks, typename Body>
__device__ void forEachTile(const TileOrder& order, int columns, Body body) {
  const int rank = blocks > 1 ? static_cast<int>(rankInCluster()) : 0;
  for (int number = blockIdx.x / blocks; number < order.count(); number += gridDim.x / blocks) {
    int row, column;
    order.find(number, row, column);
    body((row * blocks + rank) * ProductTile::rows, column * columns);
  }
}

}  // namespace longscan
