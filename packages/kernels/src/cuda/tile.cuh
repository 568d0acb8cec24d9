#pragma once

#include <cuda_bf16.h>

#include <cstdint>

// Tiles of 64 tokens in shared memory and how they are filled.

namespace longscan {

constexpr int tileTokens = 64;

/// [64, D] bf16 in shared memory, D a multiple of 64, aligned to 128 bytes. The 16-byte units of each 128
/// bytes are exchanged by the row's number (xor), so that the eight rows of an ldmatrix lie in different
/// banks.
template <int D>
struct Tile {
  static_assert(D % 64 == 0, "whole 128-byte lines");
  static constexpr int pitch = 2 * D;
  static constexpr int bytes = tileTokens * pitch;
  uint32_t base;

  __device__ uint32_t address(int row, int unit) const {
    return base + row * pitch + ((unit ^ (row & 7)) << 4);
  }

  /// address(row + rowInside, column / 8 + unitInside), `row` and `column` multiples of 16: what depends on
  /// the lane is one number, so that constant rows and columns cost one xor at most.
  __device__ uint32_t fragment(int row, int column, int rowInside, int unitInside) const {
    const uint32_t ofLane = base + rowInside * pitch + ((unitInside ^ (rowInside & 7)) << 4);
    return (ofLane ^ ((column / 8 & 6) << 4)) + row * pitch + column / 64 * 128;
  }
};

__device__ inline uint32_t sharedAddress(const void* pointer) {
  return static_cast<uint32_t>(__cvta_generic_to_shared(pointer));
}

/// 16 bytes from global to shared memory in the background; zeros, and nothing read, when not `valid`.
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

__device__ inline uint32_t loadShared(uint32_t address) {
  uint32_t value;
  asm volatile("ld.shared.b32 %0, [%1];" : "=r"(value) : "r"(address));
  return value;
}

__device__ inline float loadSharedFloat(uint32_t address) {
  float value;
  asm volatile("ld.shared.f32 %0, [%1];" : "=f"(value) : "r"(address));
  return value;
}

__device__ inline float2 loadSharedFloat2(uint32_t address) {
  float2 value;
  asm volatile("ld.shared.v2.f32 {%0,%1}, [%2];" : "=f"(value.x), "=f"(value.y) : "r"(address));
  return value;
}

__device__ inline uint4 loadShared16(uint32_t address) {
  uint4 value;
  asm volatile("ld.shared.v4.b32 {%0,%1,%2,%3}, [%4];"
               : "=r"(value.x), "=r"(value.y), "=r"(value.z), "=r"(value.w)
               : "r"(address));
  return value;
}

__device__ inline void storeShared16(uint32_t address, uint4 value) {
  asm volatile("st.shared.v4.b32 [%0], {%1,%2,%3,%4};" ::"r"(address), "r"(value.x), "r"(value.y),
               "r"(value.z), "r"(value.w)
               : "memory");
}

__device__ inline void storeShared(uint32_t address, float value) {
  asm volatile("st.shared.f32 [%0], %1;" ::"r"(address), "f"(value) : "memory");
}

__device__ inline void storeShared(uint32_t address, float2 value) {
  asm volatile("st.shared.v2.f32 [%0], {%1,%2};" ::"r"(address), "f"(value.x), "f"(value.y) : "memory");
}

/// 16 bytes at once, wherever the compiler has them.
__device__ inline void storeGlobal(void* to, uint32_t x, uint32_t y, uint32_t z, uint32_t w) {
  asm volatile("st.global.v4.b32 [%0], {%1,%2,%3,%4};" ::"l"(to), "r"(x), "r"(y), "r"(z), "r"(w) : "memory");
}

/// The tokens of a tile: [low, high) of the 64 that begin at token `first`, in time's order or against it.
struct TileRows {
  int64_t first;
  int low, high;
  bool backward;

  __device__ int offsetOf(int row) const { return backward ? tileTokens - 1 - row : row; }
  __device__ bool has(int offset) const {
    return static_cast<unsigned>(offset - low) < static_cast<unsigned>(high - low);
  }
};

/// Starts to fill a tile from columns [column, column + D) of `from`, [T, .., width], whose tokens are
/// `pitch` elements apart. Rows and columns that are not there become zeros.
template <int D, int threads>
__device__ void fillTile(Tile<D> tile, const __nv_bfloat16* from, int pitch, int column, int width,
                         TileRows rows) {
  constexpr int units = D / 8, rowsAtOnce = threads / units;
  static_assert(rowsAtOnce % 4 == 0, "the exchange of units repeats every second step at the latest");
  const int row0 = threadIdx.x / units, unit = threadIdx.x % units;
  const bool inside = column + unit * 8 < width;
  const __nv_bfloat16* source = from + (rows.first + rows.offsetOf(row0)) * pitch + column + unit * 8;
  const int64_t step = static_cast<int64_t>(rows.backward ? -rowsAtOnce : rowsAtOnce) * pitch;
  const uint32_t to = tile.address(row0, unit);
#pragma unroll
  for (int i = 0; i < tileTokens / rowsAtOnce; i++) {
    const uint32_t exchanged = rowsAtOnce % 8 == 0 || i % 2 == 0 ? to : to ^ 64;
    copyAsync16(exchanged + i * rowsAtOnce * Tile<D>::pitch, source,
                inside && rows.has(rows.offsetOf(row0 + i * rowsAtOnce)));
    source += step;
  }
}

}  // namespace longscan
