#include "cuda_sweep.h"

#include <type_traits>

#include "cuda_chunk.cuh"

namespace longscan {

namespace {

using Bf16 = __nv_bfloat16;

constexpr int sweepStates = 4;  // of a lane

/// A chunk in shared memory. Values are delta x, or against time dy; vectors the B_t, or against time C_t.
template <int N, int S, bool outputs>
struct SweepChunk {
  static constexpr int lanes = LaneLayout<N, S>::lanes;
  static constexpr int rowLength = blockChannels + 8;  // lanes of a channel meet no bank twice
  float4 steps[chunkTokens][blockChannels / 2];        // delta and value of two channels
  Floats<S> vectors[chunkTokens][lanes];
  Floats<S> outC[outputs ? chunkTokens : 1][lanes];
  float y[outputs ? chunkTokens : 1][rowLength];
  uint32_t starts[chunkTokens / 32];
};

/// A thread's part of a chunk, under way while the chunk before is at work.
template <typename Element, int N, int S, bool backward, bool outputs>
struct SweepInputs {
  using Pairs = ChannelPairs<Element, LaneLayout<N, S>::threads>;
  using Parts = VectorParts<Element, N, S>;
  Pairs values, delta;
  Parts vectors, outC;
  int32_t starts;

  __device__ void load(const LongscanSelectiveScan& call, const SelectiveSweep& sweep,
                       TokenOrder<backward> order, int64_t channel0, int first) {
    values.load(backward ? sweep.dy : call.x, call.D, channel0, order, first);
    delta.load(call.delta, call.D, channel0, order, first);
    vectors.load(backward ? call.outC : call.inB, order, first);
    if (outputs) outC.load(call.outC, order, first);
    starts = loadStart(call.resets, order, first);
  }
  __device__ void put(SweepChunk<N, S, outputs>& chunk) const {
#pragma unroll
    for (int k = 0; k < Pairs::count; k++) {
      const float delta0 = delta.get(k, 0), delta1 = delta.get(k, 1);
      const float value0 = values.get(k, 0), value1 = values.get(k, 1);
      chunk.steps[Pairs::token(k)][Pairs::channel() / 2] = make_float4(
          delta0, backward ? value0 : delta0 * value0, delta1, backward ? value1 : delta1 * value1);
    }
#pragma unroll
    for (int k = 0; k < Parts::count; k++) {
      chunk.vectors[Parts::token(k)][Parts::part(k)] = vectors.get(k);
      if (outputs) chunk.outC[Parts::token(k)][Parts::part(k)] = outC.get(k);
    }
    putStarts(chunk.starts, starts);
  }
};

/// One number of state: state' = decay * (state + input) against time, else decay * state + input.
template <bool backward>
__device__ float advance(float state, float decay, float input, bool starts) {
  if (backward) return starts ? 0.0f : decay * (state + input);
  return starts ? input : fmaf(decay, state, input);
}

/// A lane's way through a chunk, some tokens at a time. A warp is alone on its scheduler, so it has to hide
/// latencies by itself: while states go through a group of tokens, the next group's decays are in the making,
/// and what the one after that needs is on its way from shared memory.
template <typename Element, int N, int S, bool backward, bool outputs>
struct SweepLane {
  static constexpr int lanes = LaneLayout<N, S>::lanes, group = lanes > 4 ? lanes : 4;
  static constexpr int numGroups = chunkTokens / group, perLane = group / lanes;

  struct Loaded {
    float2 steps[group];  // delta and value
    Floats<S> vectors[group], outC[outputs ? group : 1];
  };
  struct Ready {
    float decay[group][S], input[group][S];
    Floats<S> outC[outputs ? group : 1];
    float sumDelta;
  };

  SweepChunk<N, S, outputs>& chunk;
  const int own, part;  // channel of the block, lane of the channel
  float rate[S];
  Floats<S> state{};
  double sumDelta = 0;

  __device__ Loaded load(int g) const {
    Loaded loaded;
#pragma unroll
    for (int l = 0; l < group; l++) {
      const int t = g * group + l;
      loaded.steps[l] = reinterpret_cast<const float2*>(chunk.steps[t])[own];
      loaded.vectors[l] = chunk.vectors[t][part];
      if (outputs) loaded.outC[outputs ? l : 0] = chunk.outC[outputs ? t : 0][part];
    }
    return loaded;
  }
  __device__ Ready prepare(const Loaded& loaded) const {
    Ready ready;
    ready.sumDelta = 0.0f;
#pragma unroll
    for (int l = 0; l < group; l += 2) ready.sumDelta += loaded.steps[l].x + loaded.steps[l + 1].x;
#pragma unroll
    for (int l = 0; l < group; l++) {
      if (outputs) ready.outC[outputs ? l : 0] = loaded.outC[outputs ? l : 0];
#pragma unroll
      for (int j = 0; j < S; j++) {
        ready.decay[l][j] = decayOf<Element>(rate[j], loaded.steps[l].x);
        ready.input[l][j] = loaded.steps[l].y * loaded.vectors[l].x[j];
      }
    }
    return ready;
  }
  __device__ void sweepGroup(int g, const Ready& ready, bool someStart) {
    float y[group] = {};
#pragma unroll
    for (int l = 0; l < group; l++) {
      const int t = g * group + l;
      const bool starts = someStart && chunk.starts[t / 32] >> t % 32 & 1;
#pragma unroll
      for (int j = 0; j < S; j++) {
        state.x[j] = advance<backward>(state.x[j], ready.decay[l][j], ready.input[l][j], starts);
        if (outputs) y[l] = fmaf(ready.outC[outputs ? l : 0].x[j], state.x[j], y[l]);
      }
    }
    if (!outputs) {
      sumDelta += ready.sumDelta;
      return;
    }
    sumOverParts<lanes>(y, part);
#pragma unroll
    for (int i = 0; i < perLane; i++) chunk.y[outputs ? g * group + part * perLane + i : 0][own] = y[i];
  }

  __device__ void sweepChunk() {
    const bool someStart = chunk.starts[0] || chunk.starts[1];
    Ready ready = prepare(load(0));
    Loaded loaded = load(1);
    const auto sweep = [&](auto some) {
#pragma unroll 4
      for (int g = 0; g < numGroups; g++) {
        const Ready next = prepare(loaded);
        loaded = load(min(g + 2, numGroups - 1));
        sweepGroup(g, ready, some.value);
        ready = next;
      }
    };
    if (someStart)
      sweep(std::true_type());
    else
      sweep(std::false_type());
  }
};

template <typename Element, int N, int S, bool backward, bool outputs>
__global__ void __launch_bounds__(LaneLayout<N, S>::threads, 1)
    sweepKernel(const LongscanSelectiveScan call, const SelectiveSweep sweep) {
  constexpr int lanes = LaneLayout<N, S>::lanes;
  __shared__ SweepChunk<N, S, outputs> chunk;
  const int64_t channel0 = static_cast<int64_t>(blockIdx.x) * blockChannels;
  const int64_t channel = channel0 + threadIdx.x / lanes;
  const int64_t b = blockIdx.y / sweep.numSegments, segment = blockIdx.y % sweep.numSegments;
  const int64_t begin = segment * sweep.segmentTokens;
  const TokenOrder<backward> order{b * call.T, static_cast<int>(begin),
                                   static_cast<int>(min(sweep.segmentTokens, call.T - begin))};
  const int firstState = threadIdx.x % lanes * S;
  const int64_t atState = (blockIdx.y * call.D + channel) * N + firstState;
  const bool there = channel < call.D;

  SweepLane<Element, N, S, backward, outputs> lane{chunk, static_cast<int>(threadIdx.x / lanes),
                                                   static_cast<int>(threadIdx.x % lanes)};
  Floats<S> A{};
  if (there) A = loadPack<S>(call.A + channel * N + firstState);
  if (there && sweep.incoming) lane.state = loadPack<S>(sweep.incoming + atState);
#pragma unroll
  for (int j = 0; j < S; j++) lane.rate[j] = rateOf<Element>(A.x[j]);
  bool anyStart = false;
  SweepInputs<Element, N, S, backward, outputs> inputs;
  inputs.load(call, sweep, order, channel0, 0);

  for (int first = 0; first < order.count; first += chunkTokens) {
    inputs.put(chunk);
    __syncthreads();
    if (first + chunkTokens < order.count) inputs.load(call, sweep, order, channel0, first + chunkTokens);
    if (outputs && there) {
      const int64_t chunksPerRow = (call.T + chunkTokens - 1) / chunkTokens;
      const int64_t number = b * chunksPerRow + (begin + first) / chunkTokens;
      storePack<S>(sweep.checkpoints + (number * call.D + channel) * N + firstState, lane.state);
    }
    lane.sweepChunk();
    anyStart = anyStart || chunk.starts[0] || chunk.starts[1];
    __syncthreads();
    if (outputs)
      decltype(inputs.values)::store(sweep.y, call.D, channel0, order, first,
                                     [&](int t, int c) { return chunk.y[outputs ? t : 0][c]; });
  }

  if (!there) return;
  if (sweep.outgoing) storePack<S>(sweep.outgoing + atState, lane.state);
  if (outputs) return;
  if (sweep.reset && threadIdx.x == 0 && blockIdx.x == 0) sweep.reset[blockIdx.y] = anyStart;
  if (sweep.factor) {
#pragma unroll
    for (int j = 0; j < S; j++) sweep.factor[atState + j] = static_cast<float>(exp(A.x[j] * lane.sumDelta));
  }
  if (sweep.sumDelta && firstState == 0) sweep.sumDelta[blockIdx.y * call.D + channel] = lane.sumDelta;
}

template <typename Element, int N, int S>
cudaError_t launch(const LongscanSelectiveScan& call, const SelectiveSweep& sweep, cudaStream_t stream) {
  const auto kernel = sweep.pass == SelectivePass::forward   ? sweepKernel<Element, N, S, false, true>
                      : sweep.pass == SelectivePass::summary ? sweepKernel<Element, N, S, false, false>
                                                             : sweepKernel<Element, N, S, true, false>;
  const dim3 grid(static_cast<unsigned>((call.D + blockChannels - 1) / blockChannels),
                  static_cast<unsigned>(call.B * sweep.numSegments));
  kernel<<<grid, LaneLayout<N, S>::threads, 0, stream>>>(call, sweep);
  return cudaGetLastError();
}

template <typename Element>
cudaError_t launch(const LongscanSelectiveScan& call, const SelectiveSweep& sweep, cudaStream_t stream) {
  return call.N == 8 ? launch<Element, 8, 2>(call, sweep, stream)
                     : launch<Element, 16, sweepStates>(call, sweep, stream);
}

}  // namespace

cudaError_t launchSelectiveSweep(const LongscanSelectiveScan& call, const SelectiveSweep& sweep,
                                 cudaStream_t stream) {
  return call.type == longscanElementBf16 ? launch<Bf16>(call, sweep, stream)
                                          : launch<float>(call, sweep, stream);
}

}  // namespace longscan
