#include "cuda_projected.h"

#include "cuda/pack.cuh"
#include "cuda/product_kernel.cuh"
#include "cuda/tensor_map.h"
#include "cuda_formulas.cuh"

namespace longscan {

namespace {

using Bf16 = __nv_bfloat16;

#if LONGSCAN_WGMMA

constexpr int panelBytes = ProductLayout::panelBytes;

/// Eight neighbours, bf16, in pairs: what a thread takes at once.
using Eight = Pack<uint32_t, 4>;

__device__ inline Eight eightAt(Tile<64> tile, int row, int unit) {
  const uint4 words = loadShared16(tile.address(row, unit));
  return {{words.x, words.y, words.z, words.w}};
}
__device__ inline Eight loadEight(const Bf16* from) {
  return loadPack<4>(reinterpret_cast<const uint32_t*>(from));
}
__device__ inline void storeEight(Bf16* to, const Eight& eight) {
  storePack<4>(reinterpret_cast<uint32_t*>(to), eight);
}
/// For what nobody reads soon.
__device__ inline void storeEightOnce(Bf16* to, const Eight& eight) {
  __stcs(reinterpret_cast<uint4*>(to), make_uint4(eight.x[0], eight.x[1], eight.x[2], eight.x[3]));
}

#endif

/// Tiles of 128 columns of gate and the same ones of up, side by side. `keepsPair`: they go to memory, too.
template <bool keepsPair>
struct ForwardPass {
  int64_t T, D, F;
  CUtensorMap x, gate, up, pair;
  Bf16* product;

  static constexpr int columns = 128;
#if LONGSCAN_WGMMA
  static constexpr StoredB storedB = StoredB::rows;
  __device__ int depth() const {
    return static_cast<int>(D);
  }

  __device__ void copyOperands(const ProductTiles& tiles, int k, int row, int column) const {
    tiles.copy(0, x, k, row);
    const bool isFirst = rankInCluster() == 0;
    tiles.copyForAll((isFirst ? 1 : 2) * panelBytes, isFirst ? gate : up, k, column);
  }

  /// Gate and up go to memory as they are, if they are wanted; two rows of their product at once by a warp.
  /// All of it is more than the L2 cache holds, in which the weights had better stay for the tiles that
  /// follow.
  __device__ void finish(ProductTiles& tiles, int row, int column) const {
    const int warp = ProductTiles::finishingWarp(), lane = threadIdx.x & 31;
    const bool stores = warp == 0 && lane == 0;
    tiles.awaitSums();
    if (keepsPair && stores) {
      for (int p = 0; p < 4; p++) storeBoxOnce(pair, tiles.panel(p).base, column + p % 2 * 64, p / 2, row, 0);
      commitRuns();
    }
    const int panel = lane / 8 % 2, unit = lane % 8, own = column + panel * 64 + unit * 8;
    const int rows = own < F ? min(ProductTile::rows, static_cast<int>(T) - row) : 0;
    Bf16* const to = product + row * F + own;
#pragma unroll 4
    for (int r = 2 * warp + lane / 16; r < rows; r += 2 * ProductLayout::finishingWarps) {
      const Eight g = eightAt(tiles.panel(panel), r, unit), u = eightAt(tiles.panel(2 + panel), r, unit);
      Eight both;
#pragma unroll
      for (int i = 0; i < 4; i++)
        both.x[i] = pack(SwigluPoint(lowHalf(g.x[i]), lowHalf(u.x[i])).product(),
                         SwigluPoint(highHalf(g.x[i]), highHalf(u.x[i])).product());
      storeEightOnce(to + r * F, both);
    }
    if (keepsPair && stores) waitUntilRunsAreRead();
    tiles.leaveSums();
  }
#endif
};

/// Tiles of 256 columns of the product's gradient. `remakes`: the product is written again.
template <bool remakes>
struct BackwardPass {
  int64_t T, D, F;
  CUtensorMap dy, down;
  const Bf16* pair;
  Bf16 *dpair, *product;

  static constexpr int columns = 256;
#if LONGSCAN_WGMMA
  static constexpr StoredB storedB = StoredB::columns;
  __device__ int depth() const {
    return static_cast<int>(D);
  }

  __device__ void copyOperands(const ProductTiles& tiles, int k, int row, int column) const {
    constexpr int parts = 4 / ProductTile::blocksOfCluster;
    tiles.copy(0, dy, k, row);
#pragma unroll
    for (int i = 0; i < parts; i++) {
      const int part = static_cast<int>(rankInCluster()) * parts + i;
      tiles.copyForAll(panelBytes + part * (panelBytes / 2), down, column + 64 * part, k);
    }
  }

  /// A warp has a few rows at once, and the next ones on their way.
  __device__ void finish(ProductTiles& tiles, int row, int column) const {
    constexpr int warps = ProductLayout::finishingWarps, step = rowsAtOnce * warps;
    const int warp = ProductTiles::finishingWarp(), lane = threadIdx.x & 31;
    const int own = column + lane * 8;
    const int rows = own < F ? min(ProductTile::rows, static_cast<int>(T) - row) : 0;
    const int64_t first = row * 2 * F + own;
    Eight gates[rowsAtOnce], ups[rowsAtOnce];
    if (rows > 0) load(gates, ups, first, warp, rows);
    tiles.awaitSums();
    for (int begin = warp; begin < rows; begin += step) {
      Eight nextGates[rowsAtOnce], nextUps[rowsAtOnce];
      load(nextGates, nextUps, first, begin + step, rows);
#pragma unroll
      for (int i = 0; i < rowsAtOnce; i++) {
        const int r = min(begin + i * warps, rows - 1);
        const Eight gradient = eightAt(tiles.panel(lane / 8), r, lane % 8);
        storeGradients(gates[i], ups[i], gradient, first + r * 2 * F, (row + r) * F + own,
                       begin + i * warps < rows);
        gates[i] = nextGates[i];
        ups[i] = nextUps[i];
      }
    }
    tiles.leaveSums();
  }

 private:
  static constexpr int rowsAtOnce = 2;

  /// Instead of rows that are not there the last one, so that there are no branches around what is computed.
  __device__ void load(Eight (&gates)[rowsAtOnce], Eight (&ups)[rowsAtOnce], int64_t first, int begin,
                       int rows) const {
#pragma unroll
    for (int i = 0; i < rowsAtOnce; i++) {
      const int r = min(begin + i * ProductLayout::finishingWarps, rows - 1);
      gates[i] = loadEight(pair + first + r * 2 * F);
      ups[i] = loadEight(pair + first + r * 2 * F + F);
    }
  }
  __device__ void storeGradients(const Eight& gate, const Eight& up, const Eight& gradient, int64_t inPair,
                                 int64_t inProduct, bool isThere) const {
    Eight dgate, dup, again;
#pragma unroll
    for (int i = 0; i < 4; i++) {
      const SwigluPoint low(lowHalf(gate.x[i]), lowHalf(up.x[i])),
          high(highHalf(gate.x[i]), highHalf(up.x[i]));
      const float dyLow = lowHalf(gradient.x[i]), dyHigh = highHalf(gradient.x[i]);
      dgate.x[i] = pack(low.dgate(dyLow), high.dgate(dyHigh));
      dup.x[i] = pack(low.dup(dyLow), high.dup(dyHigh));
      if constexpr (remakes) again.x[i] = pack(low.product(), high.product());
    }
    if (!isThere) return;
    storeEight(dpair + inPair, dgate);
    storeEight(dpair + inPair + F, dup);
    if constexpr (remakes) storeEight(product + inProduct, again);
  }
#endif
};

template <bool keepsPair>
cudaError_t launchForward(const LongscanLinearSwiglu& call, const void* x, const void* gate, const void* up,
                          cudaStream_t stream) {
  using Pass = ForwardPass<keepsPair>;
  const int64_t T = call.T, D = call.D, F = call.F;
  if (T == 0) return cudaSuccess;
  Pass pass{T, D, F, {}, {}, {}, {}, static_cast<Bf16*>(call.product)};
  cudaError_t error = mapTensor(pass.x, {x, 1, T, 1, D}, 64, ProductTile::rows);
  if (error == cudaSuccess) error = mapTensor(pass.gate, {gate, 1, F, 1, D}, 64, Pass::columns);
  if (error == cudaSuccess) error = mapTensor(pass.up, {up, 1, F, 1, D}, 64, Pass::columns);
  if (keepsPair && error == cudaSuccess)
    error = mapTensor(pass.pair, {call.pair, 1, T, 2, F}, 64, ProductTile::rows);
  return error == cudaSuccess ? launchProduct(pass, T, F, stream) : error;
}

template <bool remakes>
cudaError_t launchBackward(const LongscanLinearSwiglu& call, const void* dy, const void* down, void* dpair,
                           cudaStream_t stream) {
  const int64_t T = call.T, D = call.D, F = call.F;
  if (T == 0) return cudaSuccess;
  BackwardPass<remakes> pass{T,
                             D,
                             F,
                             {},
                             {},
                             static_cast<const Bf16*>(call.pair),
                             static_cast<Bf16*>(dpair),
                             static_cast<Bf16*>(call.product)};
  cudaError_t error = mapTensor(pass.dy, {dy, 1, T, 1, D}, 64, ProductTile::rows);
  if (error == cudaSuccess) error = mapTensor(pass.down, {down, 1, D, 1, F}, 64, ProductTile::depth);
  return error == cudaSuccess ? launchProduct(pass, T, F, stream) : error;
}

}  // namespace

}  // namespace longscan

using namespace longscan;

int longscanLinearSwigluForward(const LongscanLinearSwiglu* call, const void* x, const void* gate,
                                const void* up, CUstream_st* stream) {
  return call->pair == nullptr ? launchForward<false>(*call, x, gate, up, stream)
                               : launchForward<true>(*call, x, gate, up, stream);
}

int longscanLinearSwigluBackward(const LongscanLinearSwiglu* call, const void* dy, const void* down,
                                 void* dpair, CUstream_st* stream) {
  return call->product == nullptr ? launchBackward<false>(*call, dy, down, dpair, stream)
                                  : launchBackward<true>(*call, dy, down, dpair, stream);
}
