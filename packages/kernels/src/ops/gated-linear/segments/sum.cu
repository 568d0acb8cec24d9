#include "sum.h"

#include "frame.cuh"
#include "held_state.cuh"
#include "launch.cuh"

namespace longscan {

namespace {

/// How the copy engine finds the inputs.
struct SegmentSumMaps {
  CUtensorMap y, z;
};

/// In a stage: Y, and behind it Z.
template <int DK, int DV>
struct SegmentSumPanels {
  static constexpr int panel = Tile<64>::bytes;
  static constexpr int Z = DK / 64 * panel;
  static constexpr int stage = Z + DV / 64 * panel;
};
template <int DK, int DV>
using SegmentSumLayout = SegmentLayout<SegmentSumPanels<DK, DV>, 0, 5, DV>;

#if LONGSCAN_WGMMA

/// A segment of a head. A warpgroup has P^T for 64 values.
template <int DK, int DV, bool decays>
class SegmentSum : public SegmentFrame<SegmentSumCall, SegmentSumLayout<DK, DV>, decays> {
  using Layout = SegmentSumLayout<DK, DV>;
  using Frame = SegmentFrame<SegmentSumCall, Layout, decays>;
  using Frame::advance;
  using Frame::at;
  using Frame::base;
  using Frame::bh;
  using Frame::call;
  using Frame::emptied;
  using Frame::endChunk;
  using Frame::filled;
  using Frame::firstChunk;
  using Frame::segment;

 public:
  using Frame::Frame;

  __device__ void load(const SegmentSumMaps& maps) const {
    this->loadChunks(call.backward, [&](int chunk, int stage) {
      this->template copyPanels<DK / 64>(Y(stage), maps.y, this->group(), chunk, stage);
      this->template copyPanels<DV / 64>(Z(stage, 0), maps.z, this->h, chunk, stage);
    });
  }

  __device__ void compute() const {
    const int own = at.warpgroup;
    HeldState<DK> P(at, own);
    P.clear();
    float log2Factor = 0.0f;
    for (int i = 0, stage = 0, round = 0; i < endChunk - firstChunk; i++) {
      awaitArrivals(filled(stage), round);
      if constexpr (decays) {
        const RowDecays rows = this->rowDecays(stage);
        log2Factor += rows.total;
        addDecayed(P, stage, rows);
      } else {
        P.template addTokens<1>(Z(stage, own), Y(stage));
      }
      waitForProducts<0>();
      P.settle();
      arriveOfWarp(emptied(stage));
      advance(stage, round);
    }
    P.store(call.states + this->enteringAt(), call.V, call.K, 1.0f);
    if (threadIdx.x != 0) return;
    call.factor[bh * call.numSegments + segment] = exp2Approx(log2Factor);
    call.reset[bh * call.numSegments + segment] = 0;
  }

 private:
  __device__ Tile<64> Y(int stage) const { return {base + stage * Layout::stage}; }
  __device__ Tile<64> Z(int stage, int panel) const {
    return {base + stage * Layout::stage + Layout::Z + panel * Layout::panel};
  }

  /// P = gamma P + the chunk's tokens, decayed, in two bf16 terms: what is handed to other slices is not to
  /// show their rounding. In the background.
  __device__ void addDecayed(HeldState<DK>& P, int stage, const RowDecays& rows) const {
    MmaA z[4][2];
#pragma unroll
    for (int k = 0; k < 4; k++)
      z[k][0] = loadScaled(
          Z(stage, at.warpgroup), k, true, at,
          [&](int token) { return call.backward ? rows.pairUpTo(token) : rows.pairAfter(token); }, &z[k][1]);
    P.scale(exp2Approx(rows.total));
    beginProducts();
#pragma unroll
    for (int k = 0; k < 4; k++)
#pragma unroll
      for (int term = 0; term < 2; term++) P.addProduct(z[k][term], Y(stage), k);
    commitProducts();
  }
};

#endif

/// For Hopper.
template <int DK, int DV, bool decays>
__global__ void __launch_bounds__(SegmentSumLayout<DK, DV>::threads, residentBlocks(DK, DV))
    segmentSumKernel(const __grid_constant__ SegmentSumCall call,
                     const __grid_constant__ SegmentSumMaps maps) {
#if LONGSCAN_WGMMA
  extern __shared__ __align__(1024) unsigned char shared[];
  const SegmentSum<DK, DV, decays> sum(call, sharedAddress(shared));
  sum.initBarriers();
  if (threadIdx.x < SegmentSumLayout<DK, DV>::computing)
    sum.compute();
  else
    sum.load(maps);
#endif
}

template <int DK, int DV>
cudaError_t launch(const SegmentSumCall& call, cudaStream_t stream) {
  using Layout = SegmentSumLayout<DK, DV>;
  SegmentSumMaps maps{};
  const cudaError_t error =
      mapTensors({{maps.y, mappedRows(call.y, call.B, call.T)}, {maps.z, mappedRows(call.z, call.B, call.T)}},
                 64, chunkTokens);
  if (error != cudaSuccess) return error;
  return launchSegments(call.g ? segmentSumKernel<DK, DV, true> : segmentSumKernel<DK, DV, false>, call, maps,
                        Layout::threads, Layout::bytes, stream);
}

}  // namespace

cudaError_t launchSegmentSum(const SegmentSumCall& call, cudaStream_t stream) {
  return withPanels(call.K, call.V, [&](auto DK, auto DV) { return launch<DK, DV>(call, stream); });
}

}  // namespace longscan
