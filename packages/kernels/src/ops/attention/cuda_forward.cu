#include "../../cuda/bulk_copy.cuh"
#include "../../cuda/tensor_map.h"
#include "../../cuda/warp_arrival.cuh"
#include "../../cuda/warpgroup_wide.cuh"
#include "cuda_clean_rows.cuh"
#include "cuda_forward.h"
#include "cuda_online_softmax.cuh"
#include "cuda_output.cuh"

namespace longscan {

namespace {

/// A block takes some queries of one head, 64 a warpgroup, through the keys in sight, 128 at a time; one more
/// warpgroup loads. D: head size that tiles have.
template <int D>
struct ForwardShape {
  static constexpr int warpgroups = D == 64 ? 3 : 2, threads = 128 * (warpgroups + 1);
  static constexpr int queries = 64 * warpgroups, keys = 128, stages = 2, panels = D / 64;
  static constexpr uint32_t queryPanel = queries * 128, keyPanel = keys * 128;
  static constexpr uint32_t queryBytes = panels * queryPanel, keyBytes = panels * keyPanel;
  static constexpr uint32_t bytes = queryBytes + 2 * stages * keyBytes + 1024;
};

struct ForwardCall {
  LongscanAttention call;
  LongscanAttentionForward io;
  CUtensorMap q, k, v;
};

template <int D>
struct ForwardTiles {
  using Shape = ForwardShape<D>;
  uint32_t base;
  __device__ uint32_t queries() const { return base; }
  __device__ uint32_t keys(int stage) const { return base + Shape::queryBytes + stage * Shape::keyBytes; }
  __device__ uint32_t values(int stage) const { return keys(Shape::stages + stage); }
};

template <int D>
struct ForwardShared {
  using Shape = ForwardShape<D>;
  ArrivalBarrier queries, keys[Shape::stages], values[Shape::stages], rawValues;
  ArrivalBarrier keysRead[Shape::stages], valuesRead[Shape::stages];
  uint32_t badValues[Shape::stages][Shape::keys / 32];
  KeyRange ranges[Shape::queries];
  int b, h, query0;          // of the block
  int first, end;            // keys that some query sees
  int innerFirst, innerEnd;  // keys that all see

  /// Called by all threads of the block.
  __device__ void prepare(const LongscanAttention& c) {
    const int thread = threadIdx.x;
    if (thread == 0) {
      queries.init(1);
      rawValues.init(1);
      for (int stage = 0; stage < Shape::stages; stage++) {
        keys[stage].init(1);
        values[stage].init(4 * arrivalsOfWarp);
        keysRead[stage].init(4 * Shape::warpgroups * arrivalsOfWarp);
        valuesRead[stage].init(4 * Shape::warpgroups * arrivalsOfWarp);
      }
      publishBarriers();
      first = innerEnd = static_cast<int>(c.S);
      end = innerFirst = 0;
      // Of causal attention the last queries see the most: they come first.
      const int heads = static_cast<int>(c.B) * c.H, head = blockIdx.x % heads;
      b = head / c.H, h = head % c.H;
      query0 = (gridDim.x - 1 - blockIdx.x) / heads * Shape::queries;
    }
    __syncthreads();
    if (thread < Shape::queries) {
      const int64_t t = query0 + thread;
      const bool exists = t < c.T;
      const KeyRange range = exists ? keyRange(c, b, t) : KeyRange{0, static_cast<int>(c.S)};
      ranges[thread] = range;
      if (exists && !range.empty()) {
        atomicMin(&first, range.first);
        atomicMax(&end, range.end);
      }
      atomicMax(&innerFirst, range.first);
      atomicMin(&innerEnd, range.end);
    }
    __syncthreads();
  }

  __device__ bool isEdge(int key0) const { return key0 < innerFirst || key0 + Shape::keys > innerEnd; }
};

/// Tiles of keys are numbered from the last in sight to the first.
struct KeyTiles {
  int last, count;
  __device__ KeyTiles(int first, int end, int size)
      : last((end - 1) / size), count(first < end ? last - first / size + 1 : 0) {}
};

template <int D>
__device__ void loadKeyTiles(const ForwardCall& f, ForwardShared<D>& shared, ForwardTiles<D> tiles) {
  using Shape = ForwardShape<D>;
  const int thread = threadIdx.x & 127, g = shared.h / (f.call.H / f.call.G);
  const KeyTiles range(shared.first, shared.end, Shape::keys);
  const auto loadKeys = [&](int i) {
    const int stage = i % Shape::stages;
    if (i >= Shape::stages) shared.keysRead[stage].wait(i / Shape::stages - 1);
    shared.keys[stage].arriveExpecting(Shape::keyBytes);
    for (int p = 0; p < Shape::panels; p++)
      copyBox(tiles.keys(stage) + p * Shape::keyPanel, f.k, shared.keys[stage], 64 * p, g,
              (range.last - i) * Shape::keys, shared.b);
  };
  if (thread == 0) {
    shared.queries.arriveExpecting(Shape::queryBytes);
    for (int p = 0; p < Shape::panels; p++)
      copyBox(tiles.queries() + p * Shape::queryPanel, f.q, shared.queries, 64 * p, shared.h, shared.query0,
              shared.b);
    loadKeys(0);
  }
  int numEdges = 0;
  for (int i = 0; i < range.count; i++) {
    const int stage = i % Shape::stages, key0 = (range.last - i) * Shape::keys;
    const bool isEdge = shared.isEdge(key0);
    if (thread == 0) {
      if (i + 1 < range.count) loadKeys(i + 1);
      if (i >= Shape::stages) shared.valuesRead[stage].wait(i / Shape::stages - 1);
      ArrivalBarrier& arrival = isEdge ? shared.rawValues : shared.values[stage];
      arrival.arriveExpecting(Shape::keyBytes);
      if (!isEdge) arrival.arrive(4 * arrivalsOfWarp - 1);  // for all of the loading warps
      for (int p = 0; p < Shape::panels; p++)
        copyBox(tiles.values(stage) + p * Shape::keyPanel, f.v, arrival, 64 * p, g, key0, shared.b);
    }
    __syncwarp();
    if (!isEdge) continue;
    shared.rawValues.wait(numEdges++);
    const uint32_t bad = cleanRow<Shape::panels>(tiles.values(stage), thread, Shape::keyPanel);
    if (thread % 32 == 0) shared.badValues[stage][thread / 32] = bad;
    publishToProducts();
    joinBarrier(8, 128);
    if (arrivesForWarp()) shared.values[stage].arrive();
  }
}

#if LONGSCAN_WGMMA

template <int D>
struct ForwardWarpgroup {
  using Shape = ForwardShape<D>;
  const ForwardCall& f;
  ForwardShared<D>& shared;
  ForwardTiles<D> tiles;
  int warpgroup, lane, row;  // the first of the thread's two rows
  float scale;               // for powers of two
  WideSums scores;
  float out[D / 8][4];
  MmaA weights[Shape::keys / 16];
  OnlineSoftmax softmax;
  int innerFirst, innerEnd;  // keys that all rows of the warp see

  __device__ ForwardWarpgroup(const ForwardCall& call, ForwardShared<D>& s, ForwardTiles<D> t, int number)
      : f(call), shared(s), tiles(t), warpgroup(number), lane(threadIdx.x & 31) {
    row = 64 * warpgroup + (threadIdx.x >> 5 & 3) * 16 + (lane >> 2);
    scale = f.call.scale * log2OfE;
    innerFirst = 0, innerEnd = INT_MAX;
    for (int i = 0; i < 2; i++) {
      innerFirst = max(innerFirst, seenKeys(i, 0).first);
      innerEnd = min(innerEnd, seenKeys(i, 0).end);
    }
    innerFirst = __reduce_max_sync(~0u, innerFirst);
    innerEnd = __reduce_min_sync(~0u, innerEnd);
  }

  __device__ void startScores(int stage) {
    beginProducts();
    const uint32_t q = tiles.queries() + warpgroup * 64 * 128, k = tiles.keys(stage);
#pragma unroll
    for (int step = 0; step < D / 16; step++) {
      const uint64_t a = rowsOperand(q, step, Shape::queryPanel), b = rowsOperand(k, step, Shape::keyPanel);
      if (step == 0)
        multiplyTiles<StoredB::rows, false>(scores, a, b);
      else
        multiplyTiles<StoredB::rows, true>(scores, a, b);
    }
    commitProducts();
  }

  __device__ void startOutput(int stage) {
    beginProducts();
    const uint32_t v = tiles.values(stage);
#pragma unroll
    for (int step = 0; step < Shape::keys / 16; step++)
      multiplyTile<StoredB::columns>(out, weights[step], columnsOperand(v, step, Shape::keyPanel));
    commitProducts();
  }

  /// What the thread's row i sees, counted from key `key0`.
  __device__ KeyRange seenKeys(int i, int key0) const {
    const KeyRange seen = shared.ranges[row + 8 * i];
    return {seen.first - key0, seen.end - key0};
  }

  __device__ bool isEdge(int key0) const {
    return key0 < innerFirst || key0 + Shape::keys > innerEnd;
  }

  /// scores -> weights, not packed yet.
  __device__ void weigh(int key0) {
    if (isEdge(key0)) {
      const KeyRange seen[2] = {seenKeys(0, key0), seenKeys(1, key0)};
      hideScores(scores, seen, lane);
    }
    softmax.update(scores, scale);
  }

  __device__ void pack() {
#pragma unroll
    for (int n = 0; n < D / 8; n++)
#pragma unroll
      for (int i = 0; i < 4; i++) out[n][i] *= softmax.rescale[i >> 1];
#pragma unroll
    for (int step = 0; step < Shape::keys / 16; step++) weights[step] = operandOf(scores, step);
  }

  /// Waits for values; who sees one that was cleared becomes NaN.
  __device__ void awaitValues(int i, int key0) {
    const int stage = i % Shape::stages;
    shared.values[stage].wait(i / Shape::stages);
    if (!isEdge(key0)) return;
#pragma unroll
    for (int i = 0; i < 2; i++) {
      const KeyRange seen = seenKeys(i, key0);
      if (anyRow(shared.badValues[stage], seen.first, seen.end)) softmax.sum[i] = NAN;
    }
  }

  __device__ void release(ArrivalBarrier& barrier) {
    if (arrivesForWarp()) barrier.arrive();
  }

  /// Made anew where it is used, to keep the registers between.
  __device__ OutputRows output() const {
    return OutputRows(f.call, f.io, shared.b, shared.h, shared.query0, row);
  }

  __device__ void run() {
    const KeyTiles range(shared.first, shared.end, Shape::keys);
    output().resume(out, softmax, lane);
    // The warpgroups take turns at starting products, so that one's exponentials lie under the other's
    // products.
    const auto turn = [&](int of) { return 1 + of % Shape::warpgroups; };
    if (warpgroup == Shape::warpgroups - 1) announceAtBarrier(turn(0), 256);

    shared.queries.wait(0);
    shared.keys[0].wait(0);
    startScores(0);
    waitForProducts<0>();
    settle(scores);
    release(shared.keysRead[0]);
    int key0 = range.last * Shape::keys;
    weigh(key0);
    pack();
    for (int i = 1; i < range.count; i++, key0 -= Shape::keys) {
      const int stage = i % Shape::stages;
      shared.keys[stage].wait(i / Shape::stages);
      joinBarrier(turn(warpgroup), 256);
      startScores(stage);
      awaitValues(i - 1, key0);
      startOutput((i - 1) % Shape::stages);
      announceAtBarrier(turn(warpgroup + 1), 256);
      waitForProducts<1>();
      settle(scores);
      release(shared.keysRead[stage]);
      weigh(key0 - Shape::keys);
      waitForProducts<0>();
      settle(out);
      release(shared.valuesRead[(i - 1) % Shape::stages]);
      pack();
    }
    awaitValues(range.count - 1, key0);
    startOutput((range.count - 1) % Shape::stages);
    waitForProducts<0>();
    settle(out);
    const bool sees[2] = {!seenKeys(0, 0).empty(), !seenKeys(1, 0).empty()};
    output().finish(out, softmax, sees, lane);
  }
};

#endif

template <int D>
__global__ void __launch_bounds__(ForwardShape<D>::threads, 1)
    forwardKernel(const __grid_constant__ ForwardCall f) {
#if LONGSCAN_WGMMA
  using Shape = ForwardShape<D>;
  extern __shared__ uint8_t memory[];
  __shared__ ForwardShared<D> shared;
  const ForwardTiles<D> tiles{(sharedAddress(memory) + 1023) & ~1023u};
  shared.prepare(f.call);
  const int warpgroup = warpgroupNumber();
  if (shared.first >= shared.end) {
    if (warpgroup < Shape::warpgroups && threadIdx.x < Shape::queries)
      writeNothingSeen(f.call, f.io, shared.b, shared.h, shared.query0 + threadIdx.x);
  } else if (warpgroup == Shape::warpgroups) {
    shrinkRegisters<D == 64 ? 32 : 24>();
    loadKeyTiles<D>(f, shared, tiles);
  } else {
    growRegisters<D == 64 ? 160 : 240>();
    ForwardWarpgroup<D>(f, shared, tiles, warpgroup).run();
  }
#endif
}

template <int D>
cudaError_t launch(const LongscanAttention& call, const LongscanAttentionForward& io, cudaStream_t stream) {
  using Shape = ForwardShape<D>;
  ForwardCall f{call, io, {}, {}, {}};
  cudaError_t error = mapTensor(f.q, {call.q, call.B, call.T, call.H, call.K}, 64, Shape::queries);
  if (error == cudaSuccess) error = mapTensor(f.k, {call.k, call.B, call.S, call.G, call.K}, 64, Shape::keys);
  if (error == cudaSuccess) error = mapTensor(f.v, {call.v, call.B, call.S, call.G, call.V}, 64, Shape::keys);
  if (error == cudaSuccess)
    error = cudaFuncSetAttribute(forwardKernel<D>, cudaFuncAttributeMaxDynamicSharedMemorySize, Shape::bytes);
  if (error != cudaSuccess) return error;
  const int64_t blocks = (call.T + Shape::queries - 1) / Shape::queries * call.B * call.H;
  forwardKernel<D><<<static_cast<unsigned>(blocks), Shape::threads, Shape::bytes, stream>>>(f);
  return cudaGetLastError();
}

}  // namespace

bool forwardIsFast(const LongscanAttention& call) {
  if (call.type != longscanElementBf16 || call.K > 128 || call.V > 128 || call.chunk > 0 ||
      call.kSelf != nullptr || !(call.scale > 0.0f))
    return false;
  // Compiled for other devices, the kernel has no body and so no shared memory of its own.
  cudaFuncAttributes attributes;
  return cudaFuncGetAttributes(&attributes, forwardKernel<64>) == cudaSuccess &&
         attributes.sharedSizeBytes > 0;
}

cudaError_t launchForward(const LongscanAttention& call, const LongscanAttentionForward& io,
                          cudaStream_t stream) {
  return call.K <= 64 && call.V <= 64 ? launch<64>(call, io, stream) : launch<128>(call, io, stream);
}

}  // namespace longscan
