#include "cuda_segment_sum.h"

#include "cuda/bulk_copy.cuh"
#include "cuda/tensor_map.h"
#include "cuda/warp_arrival.cuh"
#include "cuda_held_state.cuh"
#include "cuda_segment_frame.cuh"

namespace longscan {

namespace {

constexpr int sumStages = 5;

/// How the copy engine finds the inputs.
struct SegmentSumMaps {
  CUtensorMap y, z;
};

/// Shared memory: the stages of inputs.
template <int DK, int DV>
struct SegmentSumLayout {
  static constexpr int panel = Tile<64>::bytes;
  // In a stage, behind Y:
  static constexpr int Z = DK / 64 * panel;
  static constexpr int stage = Z + DV / 64 * panel;
  static constexpr int filled = sumStages * stage;
  static constexpr int emptied = filled + 8 * sumStages;
  /// Of each stage, 64 sums of log2 decays.
  static constexpr int decays = emptied + 8 * sumStages;
  static constexpr int bytes = decays + sumStages * 64 * 4;
  /// Warpgroups that compute; one more warp loads.
  static constexpr int warpgroups = DV / 64, threads = 128 * warpgroups;
};

#if LONGSCAN_WGMMA

/// A segment of a head. A warpgroup has P^T for 64 values.
template <int DK, int DV, bool decays>
class SegmentSum : SegmentFrame<SegmentSumCall> {
  using Layout = SegmentSumLayout<DK, DV>;
  static constexpr int keyPanels = DK / 64;
  const uint32_t base;

 public:
  __device__ SegmentSum(const SegmentSumCall& call, uint32_t base) : SegmentFrame(call), base(base) {}

  __device__ void initBarriers() const {
    if (threadIdx.x == 0) {
      for (int stage = 0; stage < sumStages; stage++) {
        initArrivals(filled(stage), arrivalsOfWarp);
        initArrivals(emptied(stage), 4 * Layout::warpgroups * arrivalsOfWarp);
      }
      publishArrivals();
    }
    __syncthreads();
  }

  /// One warp loads, as many chunks ahead as there are stages.
  __device__ void load(const SegmentSumMaps& maps) const {
    const int step = call.backward ? -1 : 1;
    int chunk = call.backward ? endChunk - 1 : firstChunk;
    float2 gates = make_float2(0.0f, 0.0f);
    if (decays) gates = gatesOf(chunk);
    for (int i = 0, stage = 0, round = 0; i < endChunk - firstChunk; i++, chunk += step) {
      float2 next = make_float2(0.0f, 0.0f);
      if (decays) next = gatesOf(chunk + step);
      if (round > 0) awaitArrivals(emptied(stage), round - 1);
      if (at.lane == 0) {
        expectBytes(filled(stage), Layout::stage);
#pragma unroll
        for (int p = 0; p < keyPanels; p++)
          copyBox(Y(stage).base + p * Layout::panel, maps.y, filled(stage), 64 * p, group(),
                  chunk * chunkTokens, b);
#pragma unroll
        for (int p = 0; p < DV / 64; p++)
          copyBox(Z(stage, p).base, maps.z, filled(stage), 64 * p, h, chunk * chunkTokens, b);
      }
      if (decays) sumLogDecays(gates.x, gates.y, sums(stage), false, at.lane);
      if (arrivesForWarp()) arrive(filled(stage));
      gates = next;
      advance(stage, round);
    }
  }

  __device__ void compute() const {
    const int own = at.warpgroup;
    HeldState<DK> P(at, own);
    P.clear();
    float log2Factor = 0.0f;
    for (int i = 0, stage = 0, round = 0; i < endChunk - firstChunk; i++) {
      awaitArrivals(filled(stage), round);
      if constexpr (decays) {
        const RowDecays rows{sums(stage), loadSharedFloat(sums(stage) + 4 * 63), true};
        log2Factor += rows.total;
        addDecayed(P, stage, rows);
      } else {
        P.template addTokens<1>(Z(stage, own), Y(stage));
      }
      waitForProducts<0>();
      P.settle();
      if (arrivesForWarp()) arrive(emptied(stage));
      advance(stage, round);
    }
    P.store(call.states + stateAt(), call.V, call.K, 1.0f);
    if (threadIdx.x != 0) return;
    call.factor[bh * call.numSegments + segment] = exp2Approx(log2Factor);
    call.reset[bh * call.numSegments + segment] = 0;
  }

 private:
  __device__ Tile<64> Y(int stage) const {
    return {base + stage * Layout::stage};
  }
  __device__ Tile<64> Z(int stage, int panel) const {
    return {base + stage * Layout::stage + Layout::Z + panel * Layout::panel};
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

  __device__ static void advance(int& stage, int& round) {
    if (++stage < sumStages) return;
    stage = 0;
    round++;
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
__global__ void __launch_bounds__(SegmentSumLayout<DK, DV>::threads + 32, residentBlocks(DK, DV))
    segmentSumKernel(const __grid_constant__ SegmentSumCall call,
                     const __grid_constant__ SegmentSumMaps maps) {
#if LONGSCAN_WGMMA
  extern __shared__ __align__(1024) unsigned char shared[];
  const SegmentSum<DK, DV, decays> sum(call, sharedAddress(shared));
  sum.initBarriers();
  if (threadIdx.x < SegmentSumLayout<DK, DV>::threads)
    sum.compute();
  else
    sum.load(maps);
#endif
}

template <int DK, int DV>
cudaError_t launch(const SegmentSumCall& call, cudaStream_t stream) {
  using Layout = SegmentSumLayout<DK, DV>;
  const auto kernel = call.g ? segmentSumKernel<DK, DV, true> : segmentSumKernel<DK, DV, false>;
  SegmentSumMaps maps{};
  const auto map = [&](CUtensorMap& to, const SweepRows& rows) {
    return mapTensor(to, {rows.data, call.B, call.T, rows.heads, rows.channels, rows.pitch}, 64, chunkTokens);
  };
  cudaError_t error = map(maps.y, call.y);
  if (error == cudaSuccess) error = map(maps.z, call.z);
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

cudaError_t launchSegmentSum(const SegmentSumCall& call, cudaStream_t stream) {
  if (call.K <= 64) return launch<64, 64>(call, stream);
  return call.V <= 64 ? launch<128, 64>(call, stream) : launch<128, 128>(call, stream);
}

}  // namespace longscan
