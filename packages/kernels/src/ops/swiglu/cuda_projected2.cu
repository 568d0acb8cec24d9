#include "cuda/pack.cuh"
#include "cuda/product_tiles.cuh"
#include "cuda/tensor_map.h"
#include "cuda_formulas.cuh"
#include "cuda_projected.h"

namespace longscan {

namespace {

using Call = LongscanProjectedSwiglu;
using Bf16 = __nv_bfloat16;
/// Eight neighbours, bf16, in pairs.
using Eight = Pack<uint32_t, 4>;

struct ForwardMaps {
  CUtensorMap x, gate, up, pair;
};

struct BackwardMaps {
  CUtensorMap dy, down, pair;
};

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

/// Tiles: 128 columns of gate and the same of up.
template <int blocks>
struct Forward {
  static constexpr int columns = 128;
  using Maps = ForwardMaps;

  static __device__ void fill(ProductTiles<blocks>& tiles, const Call& call, const TileOrder& order,
                              const Maps& maps, int steps) {
    const int rank = blocks > 1 ? static_cast<int>(rankInCluster()) : 0;
    forEachTile<blocks>(order, columns, [&](int token, int column) {
      for (int i = 0; i < steps; i++)
        tiles.fillSlot([&] {
          tiles.copy(tiles.panel(0), maps.x, 64 * i, token);
          if (blocks == 1 || rank == 0) tiles.copyForAll(tiles.panel(1), maps.gate, 64 * i, column);
          if (blocks == 1 || rank == 1) tiles.copyForAll(tiles.panel(2), maps.up, 64 * i, column);
        });
    });
  }

#if LONGSCAN_WGMMA
  static __device__ void multiply(ProductTiles<blocks>& tiles, const TileOrder& order, int steps) {
    WidestSums sums;
    forEachTile<blocks>(order, columns, [&](int, int) {
      tiles.template multiply<StoredB::rows>(sums, steps);
      tiles.handOver(sums);
    });
  }
#endif

  static __device__ void finish(ProductTiles<blocks>& tiles, const Call& call, const TileOrder& order,
                                const Maps& maps) {
    const int warp = static_cast<int>(threadIdx.x >> 5) - ProductRing::multiplyingWarps - 1;
    const int lane = threadIdx.x & 31, panel = lane / 8 % 2, unit = lane % 8;
    const bool stores = warp == 0 && lane == 0;
    forEachTile<blocks>(order, columns, [&](int token, int column) {
      tiles.awaitFinished();
      if (stores) {
        for (int p = 0; p < 4; p++)
          storeBox(maps.pair, tiles.finished(p).base, column + p % 2 * 64, p / 2, token, 0);
        commitRuns();
      }
      const int own = column + panel * 64 + unit * 8;
      Bf16* to = static_cast<Bf16*>(call.product) + static_cast<int64_t>(token) * call.F + own;
      const int rows = own < call.F ? min(ProductTile::rows, call.T - token) : 0;
#pragma unroll 4
      for (int row = 2 * warp + lane / 16; row < rows; row += 2 * ProductRing::finishingWarps) {
        const Eight gate = eightAt(tiles.finished(panel), row, unit),
                    up = eightAt(tiles.finished(2 + panel), row, unit);
        Eight product;
#pragma unroll
        for (int i = 0; i < 4; i++)
          product.x[i] = pack(SwigluPoint(lowHalf(gate.x[i]), lowHalf(up.x[i])).product(),
                              SwigluPoint(highHalf(gate.x[i]), highHalf(up.x[i])).product());
        storeEight(to + static_cast<int64_t>(row) * call.F, product);
      }
      if (stores) waitUntilRunsAreRead();
      tiles.leaveFinished();
    });
  }
};

/// Tiles: 256 columns of the product's gradient.
template <int blocks>
struct Backward {
  static constexpr int columns = 256;
  using Maps = BackwardMaps;

  static __device__ void fill(ProductTiles<blocks>& tiles, const Call& call, const TileOrder& order,
                              const Maps& maps, int steps) {
    const int rank = blocks > 1 ? static_cast<int>(rankInCluster()) : 0;
    forEachTile<blocks>(order, columns, [&](int token, int column) {
      for (int i = 0; i < steps; i++)
        tiles.fillSlot([&] {
          tiles.copy(tiles.panel(0), maps.dy, 64 * i, token);
#pragma unroll
          for (int p = 0; p < 4; p++)
            if (p / (4 / blocks) == rank)
              tiles.copyForAll(tiles.panel(1) + p * (ProductRing::panelBytes / 2), maps.down, column + 64 * p,
                               64 * i);
        });
      for (int p = 0; p < 8; p++) prefetchBox(maps.pair, column + p % 4 * 64, p / 4, token, 0);
    });
  }

#if LONGSCAN_WGMMA
  static __device__ void multiply(ProductTiles<blocks>& tiles, const TileOrder& order, int steps) {
    WidestSums sums;
    forEachTile<blocks>(order, columns, [&](int, int) {
      tiles.template multiply<StoredB::columns>(sums, steps);
      tiles.handOver(sums);
    });
  }
#endif

  static __device__ void finish(ProductTiles<blocks>& tiles, const Call& call, const TileOrder& order,
                                const Maps&) {
    constexpr int atOnce = 4, warps = ProductRing::finishingWarps;
    const int warp = static_cast<int>(threadIdx.x >> 5) - ProductRing::multiplyingWarps - 1;
    const int lane = threadIdx.x & 31, panel = lane / 8, unit = lane % 8;
    const int64_t F = call.F;
    forEachTile<blocks>(order, columns, [&](int token, int column) {
      const int own = column + lane * 8;
      const int rows = own < F ? min(ProductTile::rows, call.T - token) : 0;
      const int64_t first = static_cast<int64_t>(token) * 2 * F + own;
      const Bf16* pair = static_cast<const Bf16*>(call.pair) + first;
      Bf16* dpair = static_cast<Bf16*>(call.dpair) + first;
      Bf16* product = static_cast<Bf16*>(call.product) + static_cast<int64_t>(token) * F + own;
      bool waits = true;
      for (int begin = warp; begin < ProductTile::rows; begin += atOnce * warps) {
        Eight gates[atOnce], ups[atOnce];
#pragma unroll
        for (int i = 0; i < atOnce; i++) {
          const int row = begin + i * warps;
          if (row < rows) {
            gates[i] = loadEight(pair + row * 2 * F);
            ups[i] = loadEight(pair + row * 2 * F + F);
          }
        }
        if (waits) tiles.awaitFinished();
        waits = false;
#pragma unroll
        for (int i = 0; i < atOnce; i++) {
          const int row = begin + i * warps;
          if (row >= rows) continue;
          const Eight dy = eightAt(tiles.finished(panel), row, unit);
          Eight dgate, dup, again;
#pragma unroll
          for (int k = 0; k < 4; k++) {
            const SwigluPoint low(lowHalf(gates[i].x[k]), lowHalf(ups[i].x[k])),
                high(highHalf(gates[i].x[k]), highHalf(ups[i].x[k]));
            const float dyLow = lowHalf(dy.x[k]), dyHigh = highHalf(dy.x[k]);
            dgate.x[k] = pack(low.dgate(dyLow), high.dgate(dyHigh));
            dup.x[k] = pack(low.dup(dyLow), high.dup(dyHigh));
            again.x[k] = pack(low.product(), high.product());
          }
          storeEight(dpair + row * 2 * F, dgate);
          storeEight(dpair + row * 2 * F + F, dup);
          if (call.product != nullptr) storeEight(product + row * F, again);
        }
      }
      tiles.leaveFinished();
    });
  }
};

template <template <int> typename Pass, int blocks>
__global__ void __launch_bounds__(ProductRing::threads, 1)
    projectedKernel(const __grid_constant__ Call call, const TileOrder order,
                    const __grid_constant__ typename Pass<blocks>::Maps maps) {
#if LONGSCAN_WGMMA
  extern __shared__ __align__(1024) unsigned char shared[];
  ProductTiles<blocks> tiles(shared);
  const int steps = (call.D + ProductTile::depth - 1) / ProductTile::depth;
  if (warpgroupNumber() < ProductRing::multiplyingWarps / 4) {
    growRegisters<ProductRing::multiplyingRegisters>();
    Pass<blocks>::multiply(tiles, order, steps);
  } else {
    shrinkRegisters<ProductRing::otherRegisters>();
    if (threadIdx.x >= 32 * (ProductRing::multiplyingWarps + 1))
      Pass<blocks>::finish(tiles, call, order, maps);
    else if (threadIdx.x == 32 * ProductRing::multiplyingWarps)
      Pass<blocks>::fill(tiles, call, order, maps, steps);
  }
  if (blocks > 1) joinCluster();
#endif
}

template <template <int> typename Pass, int blocks>
cudaError_t launch(const Call& call, const typename Pass<blocks>::Maps& maps, cudaStream_t stream) {
  const auto kernel = projectedKernel<Pass, blocks>;
  const int rows = blocks * ProductTile::rows, columns = Pass<blocks>::columns;
  const TileOrder order{(call.T + rows - 1) / rows, (call.F + columns - 1) / columns, call.strip};
  cudaError_t error =
      cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, ProductRing::bytes);
  int device = 0, processors = 0;
  if (error == cudaSuccess) error = cudaGetDevice(&device);
  if (error == cudaSuccess)
    error = cudaDeviceGetAttribute(&processors, cudaDevAttrMultiProcessorCount, device);
  if (error != cudaSuccess) return error;
  cudaLaunchAttribute attribute{};
  attribute.id = cudaLaunchAttributeClusterDimension;
  attribute.val.clusterDim.x = blocks;
  attribute.val.clusterDim.y = attribute.val.clusterDim.z = 1;
  cudaLaunchConfig_t config{};
  config.gridDim = dim3(blocks * min(processors / blocks, order.count()));
  config.blockDim = dim3(ProductRing::threads);
  config.dynamicSmemBytes = ProductRing::bytes;
  config.stream = stream;
  config.attrs = &attribute;
  config.numAttrs = 1;
  return cudaLaunchKernelEx(&config, kernel, call, order, maps);
}

}  // namespace

}  // namespace longscan

using namespace longscan;

int longscanProjectedSwigluForward(const LongscanProjectedSwiglu* call, CUstream_st* stream) {
  const int T = call->T, D = call->D, F = call->F;
  if (T == 0) return cudaSuccess;
  ForwardMaps maps{};
  cudaError_t error = mapTensor(maps.x, {call->x, 1, T, 1, D}, 64, 128);
  if (error == cudaSuccess) error = mapTensor(maps.gate, {call->gate, 1, F, 1, D}, 64, 128);
  if (error == cudaSuccess) error = mapTensor(maps.up, {call->up, 1, F, 1, D}, 64, 128);
  if (error == cudaSuccess) error = mapTensor(maps.pair, {call->pair, 1, T, 2, F}, 64, 128);
  if (error != cudaSuccess) return error;
  return call->blocks == 1 ? launch<Forward, 1>(*call, maps, stream)
                           : launch<Forward, 2>(*call, maps, stream);
}

int longscanProjectedSwigluBackward(const LongscanProjectedSwiglu* call, CUstream_st* stream) {
  const int T = call->T, D = call->D, F = call->F;
  if (T == 0) return cudaSuccess;
  BackwardMaps maps{};
  cudaError_t error = mapTensor(maps.dy, {call->x, 1, T, 1, D}, 64, 128);
  if (error == cudaSuccess) error = mapTensor(maps.down, {call->gate, 1, D, 1, F}, 64, 64);
  if (error == cudaSuccess) error = mapTensor(maps.pair, {call->pair, 1, T, 2, F}, 64, 128);
  if (error != cudaSuccess) return error;
  return call->blocks == 1 ? launch<Backward, 1>(*call, maps, stream)
                           : launch<Backward, 2>(*call, maps, stream);
}
