#include <type_traits>

#include "cuda_lanes.cuh"
#include "cuda_sweep.h"
#include "cuda_tile.cuh"

namespace longscan {

namespace {

using Bf16 = __nv_bfloat16;
static_assert(channelsPerBlock == scanChannels, "a warp has one channel");

/// Tokens of a lane: as many as registers hold while the next step's data are on their way.
template <typename Element>
constexpr int tokensPerLane = sizeof(Element) == 2 ? 16 : 8;

/// The tiles of a block: values are x or dy; vectors the B_t, or against time C_t.
template <typename Element>
struct SweepTiles {
  static constexpr int L = tokensPerLane<Element>;
  using Channels = TokenTile<Element, L>;
  using Vectors = TokenTile<float, L>;
  Channels values, delta;
  Vectors vectors, outC;
  uint32_t* starts;

  __device__ explicit SweepTiles(char* memory)
      : values{memory},
        delta{values.base + Channels::bytes},
        vectors{delta.base + Channels::bytes},
        outC{vectors.base + Vectors::bytes},
        starts(reinterpret_cast<uint32_t*>(outC.base + Vectors::bytes)) {}
  static constexpr int bytes = 2 * Channels::bytes + 2 * Vectors::bytes + 4 * L;
};

/// A thread's part of a step: x or dy, delta and document starts are under way while the step before is at
/// work. B_t and C_t are the same for all blocks, so they come from the cache, when they are wanted.
template <typename Element, bool backward, bool outputs>
struct SweepInputs {
  static constexpr int L = tokensPerLane<Element>;
  TilePart<Element, L> values, delta;
  bool starts;

  static __device__ const Element* of(const void* data) { return static_cast<const Element*>(data); }

  __device__ void load(const LongscanSelectiveScan& call, const SelectiveSweep& sweep,
                       TokenOrder<backward> order, int64_t channel0, int first) {
    values.load(of(backward ? sweep.dy : call.x), call.D, channel0, order, first);
    delta.load(of(call.delta), call.D, channel0, order, first);
    const int own = first + threadIdx.x;
    starts = call.resets && threadIdx.x < 32 * L && own < order.count && call.resets[order.row(own)];
  }
  __device__ void put(const LongscanSelectiveScan& call, TokenOrder<backward> order, int first,
                      const SweepTiles<Element>& tiles) const {
    TilePart<Element, L> vectors, outC;
    vectors.load(of(backward ? call.outC : call.inB), call.N, 0, order, first);
    if (outputs) outC.load(of(call.outC), call.N, 0, order, first);
    values.put(tiles.values);
    delta.put(tiles.delta);
    putStarts<L>(tiles.starts, starts);
    vectors.put(tiles.vectors);
    if (outputs) outC.put(tiles.outC);
  }
};

/// One number of state over a lane's tokens: state' = decay * (state + input) against time, else decay *
/// state + input.
template <bool backward>
__device__ float advance(float state, float decay, float input, bool starts) {
  if (backward) return starts ? 0.0f : decay * (state + input);
  return starts ? input : fmaf(decay, state, input);
}

template <typename Element, bool backward, bool outputs>
__global__ void __launch_bounds__(scanThreads, 1)
    sweepKernel(const LongscanSelectiveScan call, const SelectiveSweep sweep) {
  constexpr int L = tokensPerLane<Element>, stepTokens = 32 * L;
  extern __shared__ char memory[];
  const SweepTiles<Element> tiles(memory);
  const int lane = threadIdx.x % 32, warp = threadIdx.x / 32;
  const int64_t channel0 = static_cast<int64_t>(blockIdx.x) * scanChannels, channel = channel0 + warp;
  const int64_t b = blockIdx.y / sweep.numSegments, segment = blockIdx.y % sweep.numSegments;
  const int64_t begin = segment * sweep.segmentTokens;
  const TokenOrder<backward> order{b * call.T, static_cast<int>(begin),
                                   static_cast<int>(min(sweep.segmentTokens, call.T - begin))};
  const int64_t atState = (blockIdx.y * call.D + channel) * call.N + lane;
  const bool there = channel < call.D, hasState = there && lane < call.N;

  // Lane n has the rate and the state of number n.
  const float A = hasState ? call.A[channel * call.N + lane] : 0.0f, rates = rateOf<Element>(A);
  float states = hasState && sweep.incoming ? sweep.incoming[atState] : 0.0f;
  double sumDelta = 0;
  bool anyStart = false;
  SweepInputs<Element, backward, outputs> inputs;
  inputs.load(call, sweep, order, channel0, 0);
  for (int first = 0; first < order.count; first += stepTokens) {
    inputs.put(call, order, first, tiles);
    __syncthreads();
    if (first + stepTokens < order.count) inputs.load(call, sweep, order, channel0, first + stepTokens);

    float delta[L], value[L], y[outputs ? L : 1] = {}, total = 0.0f;
    tiles.delta.read(warp, lane, delta);
    tiles.values.read(warp, lane, value);
#pragma unroll
    for (int l = 0; l < L; l++) {
      total += delta[l];
      if (!backward) value[l] *= delta[l];
    }
    if (!outputs) sumDelta += total;
    const uint32_t starts = startsOfLane<L>(tiles.starts, lane);
    anyStart = anyStart || starts;
    const LaneScan<false> scan(lane, starts != 0);
    float kept = states, keptLater = 0.0f;
    const auto sweepState = [&](int n, auto someStart) {
      const float rate = __shfl_sync(~0u, rates, n);
      float carried = __shfl_sync(~0u, states, n);
      float decay[L], input[L], end = 0.0f;
      tiles.vectors.read(n, lane, input);
#pragma unroll
      for (int l = 0; l < L; l++) {
        decay[l] = decayOf<Element>(rate, delta[l]);
        input[l] *= value[l];
        end = advance<backward>(end, decay[l], input[l], someStart.value && starts >> l & 1);
      }
      float state = scan(decayOf<Element>(rate, total), end, carried);
      if (lane == n) states = carried;
      if (!outputs) return;
      if (stepTokens > checkpointTokens) {
        const float later = __shfl_sync(~0u, state, checkpointTokens / L % 32);
        if (lane == n) keptLater = later;
      }
      float outC[L];
      tiles.outC.read(n, lane, outC);
#pragma unroll
      for (int l = 0; l < L; l++) {
        state = advance<backward>(state, decay[l], input[l], someStart.value && starts >> l & 1);
        y[outputs ? l : 0] = fmaf(outC[l], state, y[outputs ? l : 0]);
      }
    };
    if (__any_sync(~0u, starts != 0))
      for (int n = 0; n < call.N; n++) sweepState(n, std::true_type());
    else
      for (int n = 0; n < call.N; n++) sweepState(n, std::false_type());
    if constexpr (outputs) {
      const int64_t chunk =
          b * ((call.T + checkpointTokens - 1) / checkpointTokens) + (begin + first) / checkpointTokens;
      float* checkpoint = sweep.checkpoints + (chunk * call.D + channel) * call.N + lane;
      if (hasState) *checkpoint = kept;
      if (stepTokens > checkpointTokens && hasState && first + checkpointTokens < order.count)
        checkpoint[call.D * call.N] = keptLater;
      tiles.values.write(warp, lane, y);
      __syncthreads();
      decltype(inputs.values)::store(tiles.values, static_cast<Element*>(sweep.y), call.D, channel0, order,
                                     first);
    }
    __syncthreads();
  }

  if (hasState && sweep.outgoing) sweep.outgoing[atState] = states;
  if (outputs) return;
  if (sweep.reset) {
    const bool resets = __syncthreads_or(anyStart);
    if (threadIdx.x == 0 && blockIdx.x == 0) sweep.reset[blockIdx.y] = resets;
  }
  for (int distance = 16; distance > 0; distance /= 2) sumDelta += __shfl_xor_sync(~0u, sumDelta, distance);
  if (hasState && sweep.factor) sweep.factor[atState] = static_cast<float>(exp(A * sumDelta));
  if (there && lane == 0 && sweep.sumDelta) sweep.sumDelta[blockIdx.y * call.D + channel] = sumDelta;
}

template <typename Element>
cudaError_t launch(const LongscanSelectiveScan& call, const SelectiveSweep& sweep, cudaStream_t stream) {
  const auto kernel = sweep.pass == SelectivePass::forward   ? sweepKernel<Element, false, true>
                      : sweep.pass == SelectivePass::summary ? sweepKernel<Element, false, false>
                                                             : sweepKernel<Element, true, false>;
  constexpr int bytes = SweepTiles<Element>::bytes;
  const cudaError_t error = cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, bytes);
  if (error) return error;
  const dim3 grid(static_cast<unsigned>((call.D + scanChannels - 1) / scanChannels),
                  static_cast<unsigned>(call.B * sweep.numSegments));
  kernel<<<grid, scanThreads, bytes, stream>>>(call, sweep);
  return cudaGetLastError();
}

}  // namespace

cudaError_t launchSelectiveSweep(const LongscanSelectiveScan& call, const SelectiveSweep& sweep,
                                 cudaStream_t stream) {
  return call.type == longscanElementBf16 ? launch<Bf16>(call, sweep, stream)
                                          : launch<float>(call, sweep, stream);
}

}  // namespace longscan
