#pragma once

#include <algorithm>

#include "product_tiles.cuh"

// The kernel around a product's tiles: which block has which, and which threads do what.

namespace longscan {

/// Tiles, those of a cluster counted as one, in strips of some rows: what a strip reads again and again stays
/// in the L2 cache.
struct TileOrder {
  int rows, columns;
  static constexpr int stripRows = 8;

  __host__ __device__ int count() const { return rows * columns; }
  __device__ void find(int number, int& row, int& column) const {
    const int strip = number / (stripRows * columns), inside = number - strip * stripRows * columns;
    const int height = min(stripRows, rows - strip * stripRows);
    row = strip * stripRows + inside % height;
    column = inside / height;
  }
};

/// Calls `body(row, column)` with where each of the block's tiles begins; a tile takes `columns` of the
/// result's.
template <typename Body>
__device__ void forEachTile(const TileOrder& order, int columns, Body body) {
  constexpr int blocks = ProductTile::blocksOfCluster;
  const int rank = static_cast<int>(rankInCluster());
  for (int number = blockIdx.x / blocks; number < order.count(); number += gridDim.x / blocks) {
    int row, column;
    order.find(number, row, column);
    body((row * blocks + rank) * ProductTile::rows, column * columns);
  }
}

/// What a `Pass` says of a product: how many of the result's `columns` a tile takes, how B is stored
/// (`storedB`), the contracted `depth()`, by `copyOperands(tiles, k, row, column)` what a slot gets, and by
/// `finish(tiles, row, column)` what the warps that finish do, with `awaitSums` and `leaveSums`.
template <typename Pass>
__global__ void __launch_bounds__(ProductLayout::threads, 1)
    productKernel(const __grid_constant__ Pass pass, const TileOrder order) {
#if LONGSCAN_WGMMA
  extern __shared__ __align__(1024) unsigned char shared[];
  ProductTiles tiles(shared);
  const int steps = (pass.depth() + ProductTile::depth - 1) / ProductTile::depth;
  if (warpgroupNumber() < ProductLayout::multiplyingWarps / 4) {
    growRegisters<ProductLayout::multiplyingRegisters>();
    WidestSums sums;
    forEachTile(order, Pass::columns, [&](int, int) {
      tiles.template multiply<Pass::storedB>(sums, steps);
      tiles.handOver(sums);
    });
  } else {
    shrinkRegisters<ProductLayout::otherRegisters>();
    if (ProductTiles::finishingWarp() >= 0) {
      forEachTile(order, Pass::columns, [&](int row, int column) { pass.finish(tiles, row, column); });
    } else if (threadIdx.x % 32 == 0) {
      forEachTile(order, Pass::columns, [&](int row, int column) {
        for (int i = 0; i < steps; i++) {
          tiles.beginSlot();
          pass.copyOperands(tiles, i * ProductTile::depth, row, column);
          tiles.endSlot();
        }
      });
    }
  }
  // Until then others may write to this block's memory.
  joinCluster();
#endif
}

template <typename Pass>
cudaError_t launchProduct(const Pass& pass, int64_t rows, int64_t columns, cudaStream_t stream) {
  constexpr int blocks = ProductTile::blocksOfCluster, clusterRows = blocks * ProductTile::rows;
  const TileOrder order{static_cast<int>((rows + clusterRows - 1) / clusterRows),
                        static_cast<int>((columns + Pass::columns - 1) / Pass::columns)};
  int device = 0, processors = 0;
  cudaError_t error = cudaFuncSetAttribute(productKernel<Pass>, cudaFuncAttributeMaxDynamicSharedMemorySize,
                                           ProductLayout::bytes);
  if (error == cudaSuccess) error = cudaGetDevice(&device);
  if (error == cudaSuccess)
    error = cudaDeviceGetAttribute(&processors, cudaDevAttrMultiProcessorCount, device);
  if (error != cudaSuccess) return error;
  cudaLaunchAttribute attribute{};
  attribute.id = cudaLaunchAttributeClusterDimension;
  attribute.val.clusterDim = {blocks, 1, 1};
  cudaLaunchConfig_t config{};
  config.gridDim = dim3(blocks * std::min(processors / blocks, order.count()));
  config.blockDim = dim3(ProductLayout::threads);
  config.dynamicSmemBytes = ProductLayout::bytes;
  config.stream = stream;
  config.attrs = &attribute;
  config.numAttrs = 1;
  return cudaLaunchKernelEx(&config, productKernel<Pass>, pass, order);
}

}  // namespace longscan
