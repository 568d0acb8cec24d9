#pragma once

#include "cuda/pack.cuh"

// The tokens of a step in shared memory, transposed: a lane's tokens lie side by side.

namespace longscan {

constexpr int scanThreads = 512, scanWarps = scanThreads / 32;
constexpr int scanChannels = scanWarps;  // of a block, one a warp
constexpr int mostStates = 16;           // per channel

/// 16 rows (channels, or numbers of state) of 32 * L tokens, as they are read from memory or, if `Stored` is
/// float, converted. Lanes are apart so far that 16-byte accesses of a quarter warp meet no bank twice.
template <typename Stored, int L>
struct TokenTile {
  static constexpr int tokens = 32 * L;
  static constexpr int laneBytes = L * sizeof(Stored) + (L * sizeof(Stored) % 32 == 0 ? 16 : 0);
  static constexpr int rowBytes = 32 * laneBytes;
  static constexpr int bytes = 16 * rowBytes;
  static constexpr int perAccess = 16 / sizeof(Stored);
  char* base;

  __device__ Stored* at(int row, int token) const {
    return reinterpret_cast<Stored*>(base + row * rowBytes + token / L * laneBytes) + token % L;
  }
  __device__ void read(int row, int lane, float (&values)[L]) const {
    const char* from = base + row * rowBytes + lane * laneBytes;
#pragma unroll
    for (int l = 0; l < L; l += perAccess) {
      const auto pack = loadPack<perAccess>(reinterpret_cast<const Stored*>(from) + l);
#pragma unroll
      for (int i = 0; i < perAccess; i++) values[l + i] = toFloat(pack.x[i]);
    }
  }
  __device__ void write(int row, int lane, const float (&values)[L]) const {
    char* to = base + row * rowBytes + lane * laneBytes;
#pragma unroll
    for (int l = 0; l < L; l += perAccess) {
      Pack<Stored, perAccess> pack;
#pragma unroll
      for (int i = 0; i < perAccess; i++) pack.x[i] = fromFloat<Stored>(values[l + i]);
      storePack<perAccess>(reinterpret_cast<Stored*>(to) + l, pack);
    }
  }
};

/// The order in which a sweep takes the tokens [begin, begin + count) of a sequence, and where their rows
/// are.
template <bool backward>
struct TokenOrder {
  int64_t sequenceRow;  // that of the sequence's first token
  int begin, count;

  __device__ int token(int i) const { return backward ? begin + count - 1 - i : begin + i; }
  __device__ int64_t row(int i) const { return sequenceRow + token(i); }
};

/// A thread's part of 16 columns of a step's rows, on its way between memory and a tile.
template <typename Element, int L>
struct TilePart {
  static constexpr int width = 16 / sizeof(Element), packsPerRow = 16 / width;
  static constexpr int count = 32 * L * packsPerRow / scanThreads;
  Pack<Element, width> packs[count];

  static __device__ int token(int k) { return (threadIdx.x + k * scanThreads) / packsPerRow; }
  static __device__ int column(int k) { return (threadIdx.x + k * scanThreads) % packsPerRow * width; }

  /// Columns [column0, column0 + 16) of `from`, [.., columns]; zeros where there are none.
  template <bool backward>
  __device__ void load(const Element* from, int64_t columns, int64_t column0, TokenOrder<backward> order,
                       int first) {
#pragma unroll
    for (int k = 0; k < count; k++) {
      packs[k] = {};
      if (first + token(k) < order.count && column0 + column(k) < columns)
        packs[k] = loadPack<width>(from + order.row(first + token(k)) * columns + column0 + column(k));
    }
  }
  template <typename Stored>
  __device__ void put(TokenTile<Stored, L> tile) const {
#pragma unroll
    for (int k = 0; k < count; k++)
#pragma unroll
      for (int i = 0; i < width; i++)
        *tile.at(column(k) + i, token(k)) = fromFloat<Stored>(toFloat(packs[k].x[i]));
  }
  /// The other way round, at once.
  template <bool backward>
  static __device__ void store(TokenTile<Element, L> tile, Element* to, int64_t columns, int64_t column0,
                               TokenOrder<backward> order, int first) {
#pragma unroll
    for (int k = 0; k < count; k++) {
      Pack<Element, width> pack;
#pragma unroll
      for (int i = 0; i < width; i++) pack.x[i] = *tile.at(column(k) + i, token(k));
      if (first + token(k) < order.count && column0 + column(k) < columns)
        storePack<width>(to + order.row(first + token(k)) * columns + column0 + column(k), pack);
    }
  }
};

/// Document starts of a step's tokens, a bit each: `starts` is that of token threadIdx.x.
template <int L>
__device__ inline void putStarts(uint32_t* words, bool starts) {
  const unsigned word = __ballot_sync(~0u, starts);
  if (threadIdx.x % 32 == 0 && threadIdx.x < 32 * L) words[threadIdx.x / 32] = word;
}
template <int L>
__device__ inline uint32_t startsOfLane(const uint32_t* words, int lane) {
  return words[lane * L / 32] >> (lane * L % 32) & ((1u << L) - 1);
}

}  // namespace longscan
