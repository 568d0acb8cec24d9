#include "cuda_trace.h"

#include "cuda/bulk_copy.cuh"
#include "cuda/tensor_map.h"
#include "cuda/warp_arrival.cuh"
#include "cuda_held_state.cuh"
#include "cuda_segment_frame.cuh"
#include "cuda_store_rows.cuh"

namespace longscan {

namespace {

constexpr int traceStages = 3;

/// How the copy engine finds the inputs.
struct TraceMaps {
  CUtensorMap q, k, v;
};

/// Shared memory: S^T twice, tiles of 64 values and 64 keys, so that a new one is written while the one
/// before may still be read; and the stages of inputs.
template <int DK, int DV>
struct TraceLayout {
  static constexpr int panel = Tile<64>::bytes;
  static constexpr int state = DK / 64 * DV / 64 * panel;
  static constexpr int stages = 2 * state;
  // In a stage, behind Q:
  static constexpr int K = DK / 64 * panel;
  static constexpr int V = K + DK / 64 * panel;
  static constexpr int stage = V + DV / 64 * panel;
  static constexpr int filled = stages + traceStages * stage;
  static constexpr int emptied = filled + 8 * traceStages;
  /// Of each stage, 64 sums of log2 decays.
  static constexpr int decays = emptied + 8 * traceStages;
  static constexpr int bytes = decays + traceStages * 64 * 4;
  /// Warpgroups that compute; one more warp loads.
  static constexpr int warpgroups = DV / 64, threads = 128 * warpgroups;
};

#if LONGSCAN_WGMMA

/// A segment of a head. A warpgroup has S^T for 64 values, and makes their outputs.
template <int DK, int DV, bool decays>
class Trace : SegmentFrame<TraceCall> {
  using Layout = TraceLayout<DK, DV>;
  static constexpr int keyPanels = DK / 64;
  const uint32_t base;

 public:
  __device__ Trace(const TraceCall& call, uint32_t base) : SegmentFrame(call), base(base) {}

  __device__ void initBarriers() const {
    if (threadIdx.x == 0) {
      for (int stage = 0; stage < traceStages; stage++) {
        initArrivals(filled(stage), arrivalsOfWarp);
        initArrivals(emptied(stage), 4 * Layout::warpgroups * arrivalsOfWarp);
      }
      publishArrivals();
    }
    __syncthreads();
  }

  /// One warp loads, as many chunks ahead as there are stages.
  __device__ void load(const TraceMaps& maps) const {
    float2 gates = make_float2(0.0f, 0.0f);
    if (decays) gates = gatesOf(firstChunk);
    for (int chunk = firstChunk, stage = 0, round = 0; chunk < endChunk; chunk++) {
      float2 next = make_float2(0.0f, 0.0f);
      if (decays) next = gatesOf(chunk + 1);
      if (round > 0) awaitArrivals(emptied(stage), round - 1);
      if (at.lane == 0) {
        expectBytes(filled(stage), Layout::stage);
        copyPanels<keyPanels>(Q(stage), maps.q, group(), chunk, stage);
        copyPanels<keyPanels>(K(stage), maps.k, group(), chunk, stage);
        copyPanels<DV / 64>(V(stage, 0), maps.v, h, chunk, stage);
      }
      if (decays) sumLogDecays(gates.x, gates.y, sums(stage), false, at.lane);
      if (arrivesForWarp()) arrive(filled(stage));
      gates = next;
      advance(stage, round);
    }
  }

  __device__ void compute() const {
    const int own = at.warpgroup;
    HeldState<DK> S(at, own);
    S.load(call.states + stateAt(), call.V, call.K);
    S.publish(stored(0));
    int stage = 0, round = 0;
    Sums out, scores;
    awaitArrivals(filled(0), 0);
    startScores(scores, 0);
    for (int chunk = firstChunk, copy = 0; chunk < endChunk; chunk++, copy ^= 1) {
      waitForProducts<0>();
      settle(scores);
      const RowDecays rows{sums(stage), decays ? loadSharedFloat(sums(stage) + 4 * 63) : 0.0f, decays};
      decayScores(scores, rows, at);
      MmaA within[4];
#pragma unroll
      for (int k = 0; k < 4; k++) within[k] = operandA(scores, k);
      // All warps of the warpgroup have published S, and read what it is published over next.
      joinBarrier(1 + own, 128);
      beginProducts();
      multiplyRows<keyPanels>(out, Q(stage), stored(copy));
      if (decays) {
        commitProducts();
        S.scale(exp2Approx(rows.total));
        waitForProducts<0>();
        settle(out);
        scaleRows(out, rows.upTo(at.row0 + at.group), rows.upTo(at.row0 + at.group + 8));
        beginProducts();
      }
#pragma unroll
      for (int k = 0; k < 4; k++)
        multiplyTile<StoredB::columns>(out, within[k],
                                       productOperand<StoredB::columns>(V(stage, own).base, k));
      commitProducts();
      if (decays)
        addDecayed(S, V(stage, own), K(stage), rows);
      else
        S.template addTokens<1>(V(stage, own), K(stage));
      waitForProducts<0>();
      settle(out);
      S.settle();
      if (arrivesForWarp()) arrive(emptied(stage));
      advance(stage, round);
      // Outputs are stored last: what publishes S would wait until they have arrived.
      S.publish(stored(copy ^ 1));
      // At the end of the segment, of what is not used.
      if (chunk + 1 < endChunk) awaitArrivals(filled(stage), round);
      startScores(scores, stage);
      store(out, own, chunk);
    }
    waitForProducts<0>();
    if (call.last != nullptr && segment + 1 == call.numSegments) {
      S.settle();
      S.store(call.last + int64_t{bh} * (call.K * call.V), call.V, call.K, 1.0f);
    }
  }

 private:
  __device__ Tile<64> tileAt(int stage, int part) const {
    return {base + Layout::stages + stage * Layout::stage + part};
  }
  __device__ Tile<64> Q(int stage) const {
    return tileAt(stage, 0);
  }
  __device__ Tile<64> K(int stage) const {
    return tileAt(stage, Layout::K);
  }
  __device__ Tile<64> V(int stage, int panel) const {
    return tileAt(stage, Layout::V + panel * Layout::panel);
  }
  /// The warpgroup's part of one of S's two places.
  __device__ Tile<64> stored(int copy) const {
    return {base + copy * Layout::state + at.warpgroup * keyPanels * Layout::panel};
  }
  __device__ uint32_t filled(int stage) const {
    return base + Layout::filled + 8 * stage;
  }
  __device__ uint32_t emptied(int stage) const {
    return base + Layout::emptied + 8 * stage;
  }

  __device__ uint32_t sums(int stage) const {
    return base + Layout::decays + 256 * stage;
  }

  /// S += sum_t (decay after t) v_t^T k_t, in the background; S has decayed.
  __device__ void addDecayed(HeldState<DK>& S, Tile<64> v, Tile<64> k, const RowDecays& rows) const {
    MmaA decayed[4][1];
#pragma unroll
    for (int step = 0; step < 4; step++) loadDecayed(decayed[step], v, step, rows, at);
    beginProducts();
#pragma unroll
    for (int step = 0; step < 4; step++) S.addProduct(decayed[step][0], k, step);
    commitProducts();
  }

  __device__ static void scaleRows(Sums& sum, float upper, float lower) {
#pragma unroll
    for (int n = 0; n < 8; n++) {
      sum[n][0] *= upper;
      sum[n][1] *= upper;
      sum[n][2] *= lower;
      sum[n][3] *= lower;
    }
  }

  __device__ static void advance(int& stage, int& round) {
    if (++stage < traceStages) return;
    stage = 0;
    round++;
  }

  template <int panels>
  __device__ void copyPanels(Tile<64> to, const CUtensorMap& map, int head, int chunk, int stage) const {
#pragma unroll
    for (int p = 0; p < panels; p++)
      copyBox(to.base + p * Layout::panel, map, filled(stage), 64 * p, head, chunk * chunkTokens, b);
  }

  /// Products of all queries with all keys, in the background.
  __device__ void startScores(Sums& scores, int stage) const {
    beginProducts();
    multiplyRows<keyPanels>(scores, Q(stage), K(stage));
    commitProducts();
  }

  __device__ void store(const Sums& out, int own, int chunk) const {
    const int64_t first = b * call.T + static_cast<int64_t>(chunk) * chunkTokens;
    const int pitch = call.H * call.V, row = at.row0 + at.group;
    const int rows = static_cast<int>(min((b + 1) * call.T - first, int64_t{chunkTokens}));
    storeRows(out, call.o + (first * call.H + h) * call.V + 64 * own, row * pitch, 8 * pitch, row < rows,
              row + 8 < rows, call.V - 64 * own, call.scale, at);
  }
};

#endif

/// For Hopper.
template <int DK, int DV, bool decays>
__global__ void __launch_bounds__(TraceLayout<DK, DV>::threads + 32, residentBlocks(DK, DV))
    traceKernel(const __grid_constant__ TraceCall call, const __grid_constant__ TraceMaps maps) {
#if LONGSCAN_WGMMA
  extern __shared__ __align__(1024) unsigned char shared[];
  const Trace<DK, DV, decays> trace(call, sharedAddress(shared));
  trace.initBarriers();
  if (threadIdx.x < TraceLayout<DK, DV>::threads)
    trace.compute();
  else
    trace.load(maps);
#endif
}

cudaError_t makeMaps(const TraceCall& call, TraceMaps& maps) {
  const auto map = [&](CUtensorMap& to, const SweepRows& rows) {
    return mapTensor(to, {rows.data, call.B, call.T, rows.heads, rows.channels, rows.pitch}, 64, chunkTokens);
  };
  cudaError_t error = map(maps.q, call.q);
  if (error == cudaSuccess) error = map(maps.k, call.k);
  if (error == cudaSuccess) error = map(maps.v, call.v);
  return error;
}

template <int DK, int DV>
cudaError_t launch(const TraceCall& call, cudaStream_t stream) {
  using Layout = TraceLayout<DK, DV>;
  const auto kernel = call.g ? traceKernel<DK, DV, true> : traceKernel<DK, DV, false>;
  TraceMaps maps{};
  cudaError_t error = makeMaps(call, maps);
  if (error == cudaSuccess)
    error = cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, Layout::bytes);
  if (error == cudaSuccess)
    error = cudaFuncSetAttribute(kernel, cudaFuncAttributePreferredSharedMemoryCarveout,
                                 cudaSharedmemCarveoutMaxShared);
  if (error != cudaSuccess) return error;
  kernel<<<dim3(static_cast<unsigned>(call.B), call.H, call.numSegments), Layout::threads + 32, Layout::bytes,
           stream>>>(call, maps);
  return cudaGetLastError();
}

}  // namespace

bool traceFits(int K, int V) {
  if (K > 128 || V > 128 || (K <= 64 && V > 64) || !canMapTensors()) return false;
  int device = 0, major = 0, perBlock = 0;
  return cudaGetDevice(&device) == cudaSuccess &&
         cudaDeviceGetAttribute(&major, cudaDevAttrComputeCapabilityMajor, device) == cudaSuccess &&
         cudaDeviceGetAttribute(&perBlock, cudaDevAttrMaxSharedMemoryPerBlockOptin, device) == cudaSuccess &&
         major == 9 && perBlock >= TraceLayout<128, 128>::bytes;
}

cudaError_t launchTrace(const TraceCall& call, cudaStream_t stream) {
  if (call.K <= 64) return launch<64, 64>(call, stream);
  return call.V <= 64 ? launch<128, 64>(call, stream) : launch<128, 128>(call, stream);
}

}  // namespace longscan
