#include "cuda_projected.h"

#include "cuda/product_ring.cuh"
#include "cuda/tensor_map.h"
#include "cuda_formulas.cuh"

namespace longscan {

namespace {

using Call = LongscanProjectedSwiglu;

/// Rows that a warp stores at once, and columns of a panel.
constexpr int warpRows = 16;

struct ForwardMaps {
  CUtensorMap x, gate, up;    // what is multiplied
  CUtensorMap pair, product;  // what is written
};

struct BackwardMaps {
  CUtensorMap dy, down;         // what is multiplied
  CUtensorMap pair;             // what is read
  CUtensorMap dpair, product;   // what is written
};

#if LONGSCAN_WGMMA

/// The two tiles of gate and up that a warp has in a slot, and a third for their product.
struct WarpTiles {
  Tile<64> gate, up, product;
  int row = static_cast<int>(threadIdx.x >> 5) * warpRows, lane = threadIdx.x & 31;

  __device__ explicit WarpTiles(const ProductRing& ring)
      : gate{ring.panel(0)}, up{ring.panel(1)}, product{ring.panel(2)} {}

  /// To the rows of the warp from `token` on: gate and up side by side, and the product unless there is no
  /// `productMap`.
  __device__ void store(const CUtensorMap& pairMap, const CUtensorMap* productMap, int token,
                        int column) const {
    publishToProducts();
    __syncwarp();
    if (lane != 0) return;
    const uint32_t offset = row * 128;
    storeBox(pairMap, gate.base + offset, column, 0, token + row, 0);
    storeBox(pairMap, up.base + offset, column, 1, token + row, 0);
    if (productMap != nullptr) storeBox(*productMap, product.base + offset, column, 0, token + row, 0);
  }
};

/// Of both halves of each word.
template <typename Function>
__device__ MmaA mapHalves(const MmaA& a, const MmaA& b, Function f) {
  MmaA to;
#pragma unroll
  for (int i = 0; i < 4; i++)
    to.x[i] = pack(f(lowHalf(a.x[i]), lowHalf(b.x[i])), f(highHalf(a.x[i]), highHalf(b.x[i])));
  return to;
}

template <int blocks>
__device__ void fillForward(RingWalk<blocks>& ring, const Call& call, const TileOrder& order,
                            const ForwardMaps& maps) {
  const int rank = blocks > 1 ? static_cast<int>(rankInCluster()) : 0;
  const int steps = (call.D + ProductTile::depth - 1) / ProductTile::depth;
  for (int tile = blockIdx.x / blocks; tile < order.count(); tile += gridDim.x / blocks) {
    int row, column;
    order.find(tile, row, column);
    const int token = (row * blocks + rank) * ProductTile::rows, first = column * 128;
    for (int i = 0; i < steps; i++)
      ring.fillSlot(ring.slotBytes, [&] {
        copyBox(ring.panel(0), maps.x, ring.filled[ring.slot], 64 * i, 0, token, 0);
        if (blocks == 1 || rank == 0) ring.copyShared(ring.panel(1), maps.gate, 64 * i, first);
        if (blocks == 1 || rank == 1) ring.copyShared(ring.panel(2), maps.up, 64 * i, first);
      });
    for (int i = 0; i < 2; i++) ring.fillSlot(0, [] {});
  }
}

template <int blocks>
__device__ void computeForward(RingWalk<blocks>& ring, const Call& call, const TileOrder& order,
                               const ForwardMaps& maps) {
  const int rank = blocks > 1 ? static_cast<int>(rankInCluster()) : 0;
  const int steps = (call.D + ProductTile::depth - 1) / ProductTile::depth;
  WidestSums sums;
  for (int tile = blockIdx.x / blocks; tile < order.count(); tile += gridDim.x / blocks) {
    int row, column;
    order.find(tile, row, column);
    ring.template multiply<StoredB::rows>(sums, steps);
#pragma unroll
    for (int half = 0; half < 2; half++)
      ring.passSlot([&] {
        const WarpTiles to(ring);
#pragma unroll
        for (int step = 0; step < 4; step++) {
          const MmaA gate = operandOf(sums, 4 * half + step), up = operandOf(sums, 8 + 4 * half + step);
          storeOperandA(to.gate, to.row, step, gate, to.lane);
          storeOperandA(to.up, to.row, step, up, to.lane);
          const MmaA product =
              mapHalves(gate, up, [](float g, float u) { return SwigluPoint(g, u).product(); });
          storeOperandA(to.product, to.row, step, product, to.lane);
        }
        to.store(maps.pair, &maps.product, (row * blocks + rank) * ProductTile::rows,
                 column * 128 + 64 * half);
      });
  }
  ring.releaseStored();
}

template <int blocks>
__device__ void fillBackward(RingWalk<blocks>& ring, const Call& call, const TileOrder& order,
                             const BackwardMaps& maps) {
  const int rank = blocks > 1 ? static_cast<int>(rankInCluster()) : 0;
  const int steps = (call.D + ProductTile::depth - 1) / ProductTile::depth;
  for (int tile = blockIdx.x / blocks; tile < order.count(); tile += gridDim.x / blocks) {
    int row, column;
    order.find(tile, row, column);
    const int token = (row * blocks + rank) * ProductTile::rows, first = column * 256;
    for (int i = 0; i < steps; i++)
      ring.fillSlot(ring.slotBytes, [&] {
        copyBox(ring.panel(0), maps.dy, ring.filled[ring.slot], 64 * i, 0, token, 0);
#pragma unroll
        for (int p = 0; p < 4; p++)
          if (p / (4 / blocks) == rank)
            ring.copyShared(ring.panel(1) + p * (ring.panelBytes / 2), maps.down, first + 64 * p, 64 * i);
      });
    for (int i = 0; i < 4; i++)
      ring.fillSlot(2 * ring.panelBytes, [&] {
        for (int which = 0; which < 2; which++)
          copyBox(ring.panel(which), maps.pair, ring.filled[ring.slot], first + 64 * i, which, token, 0);
      });
  }
}

template <int blocks>
__device__ void computeBackward(RingWalk<blocks>& ring, const Call& call, const TileOrder& order,
                                const BackwardMaps& maps) {
  const int rank = blocks > 1 ? static_cast<int>(rankInCluster()) : 0;
  const int steps = (call.D + ProductTile::depth - 1) / ProductTile::depth;
  WidestSums sums;
  for (int tile = blockIdx.x / blocks; tile < order.count(); tile += gridDim.x / blocks) {
    int row, column;
    order.find(tile, row, column);
    ring.template multiply<StoredB::columns>(sums, steps);
#pragma unroll
    for (int part = 0; part < 4; part++)
      ring.passSlot([&] {
        const WarpTiles tiles(ring);
#pragma unroll
        for (int step = 0; step < 4; step++) {
          const MmaA gate = loadA(tiles.gate, tiles.row, 16 * step, tiles.lane),
                     up = loadA(tiles.up, tiles.row, 16 * step, tiles.lane),
                     dy = operandOf(sums, 4 * part + step);
          MmaA dgate, dup, product;
#pragma unroll
          for (int i = 0; i < 4; i++) {
            const SwigluPoint low(lowHalf(gate.x[i]), lowHalf(up.x[i])),
                high(highHalf(gate.x[i]), highHalf(up.x[i]));
            const float dyLow = lowHalf(dy.x[i]), dyHigh = highHalf(dy.x[i]);
            dgate.x[i] = pack(low.dgate(dyLow), high.dgate(dyHigh));
            dup.x[i] = pack(low.dup(dyLow), high.dup(dyHigh));
            product.x[i] = pack(low.product(), high.product());
          }
          storeOperandA(tiles.gate, tiles.row, step, dgate, tiles.lane);
          storeOperandA(tiles.up, tiles.row, step, dup, tiles.lane);
          if (call.product != nullptr) storeOperandA(tiles.product, tiles.row, step, product, tiles.lane);
        }
        tiles.store(maps.dpair, call.product != nullptr ? &maps.product : nullptr,
                    (row * blocks + rank) * ProductTile::rows, column * 256 + 64 * part);
      });
  }
  ring.releaseStored();
}

#endif

template <int blocks>
__global__ void __launch_bounds__(ProductRing::threads, 1)
    forwardKernel(const __grid_constant__ Call call, const TileOrder order,
                  const __grid_constant__ ForwardMaps maps) {
#if LONGSCAN_WGMMA
  extern __shared__ __align__(1024) unsigned char shared[];
  RingWalk<blocks> ring(shared);
  ring.init();
  if (warpgroupNumber() < ProductRing::warps / 4) {
    growRegisters<232>();
    computeForward<blocks>(ring, call, order, maps);
  } else {
    shrinkRegisters<40>();
    if (threadIdx.x == 32 * ProductRing::warps) fillForward<blocks>(ring, call, order, maps);
  }
  if (blocks > 1) joinCluster();
#endif
}

template <int blocks>
__global__ void __launch_bounds__(ProductRing::threads, 1)
    backwardKernel(const __grid_constant__ Call call, const TileOrder order,
                   const __grid_constant__ BackwardMaps maps) {
#if LONGSCAN_WGMMA
  extern __shared__ __align__(1024) unsigned char shared[];
  RingWalk<blocks> ring(shared);
  ring.init();
  if (warpgroupNumber() < ProductRing::warps / 4) {
    growRegisters<232>();
    computeBackward<blocks>(ring, call, order, maps);
  } else {
    shrinkRegisters<40>();
    if (threadIdx.x == 32 * ProductRing::warps) fillBackward<blocks>(ring, call, order, maps);
  }
  if (blocks > 1) joinCluster();
#endif
}

template <int blocks, typename Kernel, typename Maps>
cudaError_t launch(Kernel kernel, const Call& call, int columns, const Maps& maps, cudaStream_t stream) {
  const int rows = blocks * ProductTile::rows;
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
  if (error == cudaSuccess) error = mapTensor(maps.pair, {call->pair, 1, T, 2, F}, 64, warpRows);
  if (error == cudaSuccess) error = mapTensor(maps.product, {call->product, 1, T, 1, F}, 64, warpRows);
  if (error != cudaSuccess) return error;
  return call->blocks == 1 ? launch<1>(forwardKernel<1>, *call, 128, maps, stream)
                           : launch<2>(forwardKernel<2>, *call, 128, maps, stream);
}

int longscanProjectedSwigluBackward(const LongscanProjectedSwiglu* call, CUstream_st* stream) {
  const int T = call->T, D = call->D, F = call->F;
  if (T == 0) return cudaSuccess;
  BackwardMaps maps{};
  cudaError_t error = mapTensor(maps.dy, {call->x, 1, T, 1, D}, 64, 128);
  if (error == cudaSuccess) error = mapTensor(maps.down, {call->gate, 1, D, 1, F}, 64, 64);
  if (error == cudaSuccess) error = mapTensor(maps.pair, {call->pair, 1, T, 2, F}, 64, 128);
  if (error == cudaSuccess) error = mapTensor(maps.dpair, {call->dpair, 1, T, 2, F}, 64, warpRows);
  if (error == cudaSuccess && call->product != nullptr)
    error = mapTensor(maps.product, {call->product, 1, T, 1, F}, 64, warpRows);
  if (error != cudaSuccess) return error;
  return call->blocks == 1 ? launch<1>(backwardKernel<1>, *call, 256, maps, stream)
                           : launch<2>(backwardKernel<2>, *call, 256, maps, stream);
}
