#pragma once

#include <cuda_bf16.h>

#include <cstdint>

// Tiles of 64 tokens in shared memory and how they are filled.

namespace longscan {

constexpr int tileTokens = 64;

/// [64, D] bf16 in shared memory, D a multiple of 64. The 16-byte units of a row are exchanged by its number
/// (xor), so that the eight rows of an ldmatrix lie in different banks.
template <int D>
struct Tile {
  static_assert(D % 64 == 0, "whole 128-byte lines");
  static constexpr int bytes = tileTokens * D * 2;
  uint32_t base;

  __device__ uint32_t address(int row, int unit) const {
    return base + row * (D * 2) + ((unit ^ (row & 7)) << 4);
  }
};

__device__ inline uint32_t sharedAddress(const void* pointer) {
  return static_cast<uint32_t>(__cvta_generic_to_shared(pointer));
}

/// 16 bytes from global to shared memory in the background; zeros when not `valid`.
__device__ inline void copyAsync16(uint32_t to, const void* from, bool valid) {
  asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;" ::"r"(to), "l"(from), "r"(valid ? 16 : 0)
               : "memory");
}

__device__ inline void copyAsync4(uint32_t to, const void* from, bool valid) {
  asm volatile("cp.async.ca.shared.global [%0], [%1], 4, %2;" ::"r"(to), "l"(from), "r"(valid ? 4 : 0)
               : "memory");
}

__device__ inline void commitCopies() {
  asm volatile("cp.async.commit_group;" ::: "memory");
}

template <int pending>
__device__ inline void waitForCopies() {
  asm volatile("cp.async.wait_group %0;" ::"n"(pending) : "memory");
}

__device__ inline void storeShared(uint32_t address, uint32_t value) {
  asm volatile("st.shared.b32 [%0], %1;" ::"r"(address), "r"(value) : "memory");
}

/// The tokens of a tile: rows [low, high) of the 64 that begin at token `first`, in time's order or against
/// it.
struct TileRows {
  int64_t first;
  int low, high;

  template <bool backward>
  __device__ static int offsetOf(int row) {
    return backward ? tileTokens - 1 - row : row;
  }
  __device__ bool has(int offset) const { return offset >= low && offset < high; }
};

/// Starts to fill a tile from columns [column, column + D) of `from`, [.., T, H, width], which points at its
/// head; `pitch` = H * width. Rows and columns that are not there become zeros.
template <int D, int threads>
__device__ void fillTile(Tile<D> tile, const __nv_bfloat16* from, int64_t pitch, int column, int width,
                         TileRows rows, bool backward) {
  constexpr int units = D / 8;
  for (int i = threadIdx.x; i < tileTokens * units; i += threads) {
    const int row = i / units, unit = i % units;
    const int offset = backward ? tileTokens - 1 - row : row;
    const bool valid = rows.has(offset) && column + unit * 8 < width;
    const __nv_bfloat16* source = valid ? from + (rows.first + offset) * pitch + column + unit * 8 : from;
    copyAsync16(tile.address(row, unit), source, valid);
  }
}

}  // namespace longscan
