#include "trace.h"

#include "frame.cuh"
#include "held_state.cuh"
#include "launch.cuh"
#include "store_rows.cuh"

namespace longscan {

namespace {

/// How the copy engine finds the inputs.
struct TraceMaps {
  CUtensorMap q, k, v;
};

/// S^T: tiles of 64 values and 64 keys. In a stage: Q, and behind it K and V.
template <int DK, int DV>
struct TracePanels {
  static constexpr int panel = Tile<64>::bytes;
  static constexpr int state = DK / 64 * DV / 64 * panel;
  static constexpr int K = DK / 64 * panel;
  static constexpr int V = K + DK / 64 * panel;
  static constexpr int stage = V + DV / 64 * panel;
};
/// S^T is there twice, so that a new one is written while the one before may still be read.
template <int DK, int DV>
using TraceLayout = SegmentLayout<TracePanels<DK, DV>, 2 * TracePanels<DK, DV>::state, 3, DV>;

#if LONGSCAN_WGMMA

/// A segment of a head. A warpgroup has S^T for 64 values, and makes their outputs.
template <int DK, int DV, bool decays>
class Trace : public SegmentFrame<TraceCall, TraceLayout<DK, DV>, decays> {
  using Layout = TraceLayout<DK, DV>;
  using Frame = SegmentFrame<TraceCall, Layout, decays>;
  using Frame::advance;
  using Frame::at;
  using Frame::b;
  using Frame::base;
  using Frame::bh;
  using Frame::call;
  using Frame::emptied;
  using Frame::endChunk;
  using Frame::filled;
  using Frame::firstChunk;
  using Frame::h;
  using Frame::segment;
  static constexpr int keyPanels = DK / 64;

 public:
  using Frame::Frame;

  __device__ void load(const TraceMaps& maps) const {
    this->loadChunks(false, [&](int chunk, int stage) {
      this->template copyPanels<keyPanels>(Q(stage), maps.q, this->group(), chunk, stage);
      this->template copyPanels<keyPanels>(K(stage), maps.k, this->group(), chunk, stage);
      this->template copyPanels<DV / 64>(V(stage, 0), maps.v, h, chunk, stage);
    });
  }

  __device__ void compute() const {
    const int own = at.warpgroup;
    HeldState<DK> S(at, own);
    S.load(call.states + this->enteringAt(), call.V, call.K);
    S.publish(stored(0));
    int stage = 0, round = 0;
    Sums out, scores;
    awaitArrivals(filled(0), 0);
    startRows<keyPanels>(scores, Q(0), K(0));
    for (int chunk = firstChunk, copy = 0; chunk < endChunk; chunk++, copy ^= 1) {
      waitForProducts<0>();
      settle(scores);
      const RowDecays rows = this->rowDecays(stage);
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
      arriveOfWarp(emptied(stage));
      advance(stage, round);
      // Outputs are stored last: what publishes S would wait until they have arrived.
      S.publish(stored(copy ^ 1));
      // At the end of the segment, of what is not used.
      if (chunk + 1 < endChunk) awaitArrivals(filled(stage), round);
      startRows<keyPanels>(scores, Q(stage), K(stage));
      store(out, own, chunk);
    }
    waitForProducts<0>();
    if (call.last != nullptr && segment + 1 == call.numSegments) {
      S.settle();
      S.store(call.last + this->stateAt(bh), call.V, call.K, 1.0f);
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

  __device__ void store(const Sums& out, int own, int chunk) const {
    const int64_t first = b * call.T + static_cast<int64_t>(chunk) * chunkTokens;
    const int pitch = call.H * call.V, row = at.row0 + at.group;
    const int rows = static_cast<int>(min((b + 1) * call.T - first, int64_t{chunkTokens}));
    storeRows<transposeQuadByMasks>(out, call.o + (first * call.H + h) * call.V + 64 * own, row * pitch,
                                    8 * pitch, row < rows, row + 8 < rows, call.V - 64 * own, call.scale, at);
  }
};

#endif

/// For Hopper.
template <int DK, int DV, bool decays>
__global__ void __launch_bounds__(TraceLayout<DK, DV>::threads, residentBlocks(DK, DV))
    traceKernel(const __grid_constant__ TraceCall call, const __grid_constant__ TraceMaps maps) {
#if LONGSCAN_WGMMA
  extern __shared__ __align__(1024) unsigned char shared[];
  const Trace<DK, DV, decays> trace(call, sharedAddress(shared));
  trace.initBarriers();
  if (threadIdx.x < TraceLayout<DK, DV>::computing)
    trace.compute();
  else
    trace.load(maps);
#endif
}

template <int DK, int DV>
cudaError_t launch(const TraceCall& call, cudaStream_t stream) {
  using Layout = TraceLayout<DK, DV>;
  TraceMaps maps{};
  const cudaError_t error = mapTensors({{maps.q, mappedRows(call.q, call.B, call.T)},
                                        {maps.k, mappedRows(call.k, call.B, call.T)},
                                        {maps.v, mappedRows(call.v, call.B, call.T)}},
                                       64, chunkTokens);
  if (error != cudaSuccess) return error;
  return launchSegments(call.g ? traceKernel<DK, DV, true> : traceKernel<DK, DV, false>, call, maps,
                        Layout::threads, Layout::bytes, stream);
}

}  // namespace

bool traceFits(int K, int V) {
  return segmentsFit(K, V, TraceLayout<128, 128>::bytes);
}

cudaError_t launchTrace(const TraceCall& call, cudaStream_t stream) {
  return withPanels(call.K, call.V, [&](auto DK, auto DV) { return launch<DK, DV>(call, stream); });
}

}  // namespace longscan
