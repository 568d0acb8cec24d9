#pragma once

#include "bulk_copy.cuh"
#include "cluster.cuh"
#include "warp_arrival.cuh"
#include "warpgroup_wide.cuh"

// The loop of a matrix product on Hopper. Blocks stay; each computes tiles of 128 x 256 numbers, one after the
// other. One warp has the copy engine fill a ring of slots in shared memory, each with 64 of the contracted
// numbers; two warpgroups multiply, 64 rows each. What becomes of a finished tile, the epilogue, goes through
// slots of the same ring, which come to it in turn, empty or filled: so its inputs are on their way while the
// tile is still being summed up, and the next tile's operands while it is written.

namespace longscan {

struct ProductTile {
  static constexpr int rows = 128, columns = 256, depth = 64;
};

/// Shared memory. A slot is three panels of 128 rows and 64 columns, 128 bytes a row in wgmma's exchange
/// pattern: one of A and two of B, or what an epilogue makes of them.
struct ProductRing {
  static constexpr int slots = 4;
  static constexpr int panelBytes = ProductTile::rows * 128, slotBytes = 3 * panelBytes;
  static constexpr int barriers = slots * slotBytes;
  static constexpr int bytes = barriers + 2 * slots * 8;
  /// Warps that multiply; of another warpgroup, which leaves its registers to them, one thread has the ring
  /// filled.
  static constexpr int warps = 8, threads = 32 * (warps + 4);

  uint32_t base;
  /// Of each slot: its bytes are there; nobody reads it any more.
  ArrivalBarrier *filled, *emptied;
  int slot = 0, round = 0;

  __device__ explicit ProductRing(unsigned char* shared)
      : base(sharedAddress(shared)),
        filled(reinterpret_cast<ArrivalBarrier*>(shared + barriers)),
        emptied(filled + slots) {}

  __device__ uint32_t panel(int which) const { return base + slot * slotBytes + which * panelBytes; }
  __device__ void advance() {
    if (++slot < slots) return;
    slot = 0;
    round++;
  }
};

/// One role's walk through the ring of a block in a cluster of `blocks`, which share the B of their tiles:
/// each fetches its part for all of them.
template <int blocks>
class RingWalk : public ProductRing {
 public:
  using ProductRing::ProductRing;

  __device__ void init() {
    if (threadIdx.x == 0) {
      for (int i = 0; i < slots; i++) {
        filled[i].init(1);
        emptied[i].init(blocks * warps * arrivalsOfWarp);
      }
      publishBarriers();
    }
    blocks > 1 ? joinCluster() : __syncthreads();
  }

  /// The thread that fills: waits until all blocks' warps have left the slot, has `bytes` awaited by those of
  /// this one, and calls `fill` for its copies.
  template <typename Fill>
  __device__ void fillSlot(uint32_t bytes, Fill fill) {
    if (round > 0) emptied[slot].wait(round - 1);
    filled[slot].arriveExpecting(bytes);
    fill();
    advance();
  }
  __device__ void copyShared(uint32_t to, const CUtensorMap& map, int column, int row) const {
    if (blocks > 1)
      copyBoxToBlocks((1 << blocks) - 1, to, map, filled[slot], column, 0, row, 0);
    else
      copyBox(to, map, filled[slot], column, 0, row, 0);
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
      if (i == 0) {
        releaseStored();
      } else {
        waitForProducts<1>();
        release(before);
      }
      before = slot;
      advance();
    }
    waitForProducts<0>();
    settle(sums);
    release(before);
  }
#endif

  /// For an epilogue: `make` has the slot to itself and ends with stores of the first thread of each warp. They
  /// have the time until the next slot is through.
  template <typename Make>
  __device__ void passSlot(Make make) {
    filled[slot].wait(round);
    make();
    commitRuns();
    if (stored >= 0) {
      waitUntilRunsAreRead<1>();
      release(stored);
    }
    stored = slot;
    advance();
  }
  /// And what the last of them left.
  __device__ void releaseStored() {
    if (stored < 0) return;
    waitUntilRunsAreRead<0>();
    release(stored);
    stored = -1;
  }

 private:
  /// The calling warp has left the slot.
  __device__ void release(int which) {
    if (!arrivesForWarp()) return;
    if (blocks == 1) {
      emptied[which].arrive();
    } else {
#pragma unroll
      for (int rank = 0; rank < blocks; rank++) arriveInCluster(emptied[which], rank);
    }
  }

  /// A slot that stores may still read; -1: none.
  int stored = -1;
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

}  // namespace longscan
