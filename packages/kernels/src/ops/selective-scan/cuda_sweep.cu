#include "cuda_sweep.h"

#include <type_traits>

#include "cuda_chunk.cuh"

namespace longscan {

namespace {

using Bf16 = __nv_bfloat16;

/// A chunk in shared memory. Values are delta x, or against time dy; vectors the B_t, or against time C_t.
template <int N, bool outputs>
struct SweepChunk {
  static constexpr int rowLength = blockChannels + 8;  // lanes of a channel meet no bank twice
  float4 steps[chunkTokens][blockChannels / 2];        // delta and value of two channels
  Four vectors[chunkTokens][lanesPerChannel<N>];
  Four outC[outputs ? chunkTokens : 1][lanesPerChannel<N>];
  float y[outputs ? chunkTokens : 1][rowLength];
  uint32_t starts[chunkTokens / 32];
};

/// A thread's part of a chunk, under way while the chunk before is at work.
template <typename Element, int N, bool backward, bool outputs>
struct SweepInputs {
  ChannelPairs<Element, N> values, delta;
  VectorParts<Element, N> vectors, outC;
  bool starts;

  __device__ void load(const LongscanSelectiveScan& call, const SelectiveSweep& sweep,
                       TokenOrder<backward> order, int64_t channel0, int first) {
    values.load(backward ? sweep.dy : call.x, call.D, channel0, order, first);
    delta.load(call.delta, call.D, channel0, order, first);
    vectors.load(backward ? call.outC : call.inB, order, first);
    if (outputs) outC.load(call.outC, order, first);
    starts = loadStart(call.resets, order, first);
  }
  __device__ void put(SweepChunk<N, outputs>& chunk) const {
    using Pairs = ChannelPairs<Element, N>;
    using Parts = VectorParts<Element, N>;
#pragma unroll
    for (int k = 0; k < Pairs::count; k++) {
      const float delta0 = delta.get(k, 0), delta1 = delta.get(k, 1);
      const float value0 = values.get(k, 0), value1 = values.get(k, 1);
      chunk.steps[Pairs::token(k)][Pairs::channel(k) / 2] = make_float4(
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

template <typename Element, int N, bool backward, bool outputs>
__global__ void __launch_bounds__(scanThreads<N>)
    sweepKernel(const LongscanSelectiveScan call, const SelectiveSweep sweep) {
  constexpr int lanes = lanesPerChannel<N>, group = 4;
  __shared__ SweepChunk<N, outputs> chunk;
  const int own = threadIdx.x / lanes,
            part = threadIdx.x % lanes;  // channel of the block, lane of the channel
  const int64_t channel0 = static_cast<int64_t>(blockIdx.x) * blockChannels, channel = channel0 + own;
  const int64_t b = blockIdx.y / sweep.numSegments, segment = blockIdx.y % sweep.numSegments;
  const int64_t begin = segment * sweep.segmentTokens;
  const TokenOrder<backward> order{b * call.T, static_cast<int>(begin),
                                   static_cast<int>(min(sweep.segmentTokens, call.T - begin))};
  const int64_t atState = (blockIdx.y * call.D + channel) * N + part * statesPerLane;
  const bool there = channel < call.D;

  Four A{}, state{};
  if (there) A = *reinterpret_cast<const Four*>(call.A + channel * N + part * statesPerLane);
  if (there && sweep.incoming) state = *reinterpret_cast<const Four*>(sweep.incoming + atState);
  float rate[statesPerLane];
#pragma unroll
  for (int j = 0; j < statesPerLane; j++) rate[j] = rateOf<Element>(A.x[j]);
  double sumDelta = 0;
  bool anyStart = false;
  SweepInputs<Element, N, backward, outputs> inputs;
  inputs.load(call, sweep, order, channel0, 0);

  for (int first = 0; first < order.count; first += chunkTokens) {
    inputs.put(chunk);
    __syncthreads();
    if (first + chunkTokens < order.count) inputs.load(call, sweep, order, channel0, first + chunkTokens);
    if (outputs && there) {
      const int64_t chunksPerRow = (call.T + chunkTokens - 1) / chunkTokens;
      const int64_t number = b * chunksPerRow + (begin + first) / chunkTokens;
      float* const kept = sweep.checkpoints + (number * call.D + channel) * N + part * statesPerLane;
      *reinterpret_cast<Four*>(kept) = state;
    }

    const auto sweepGroup = [&](int t, unsigned starts, auto someStart) {
      float y[group] = {}, delta[group];
#pragma unroll
      for (int l = 0; l < group; l++) {
        const float2 step = reinterpret_cast<const float2*>(chunk.steps[t + l])[own];
        const Four vector = chunk.vectors[t + l][part];
        const Four outC = chunk.outC[outputs ? t + l : 0][part];
        delta[l] = step.x;
#pragma unroll
        for (int j = 0; j < statesPerLane; j++) {
          const float decay = decayOf<Element>(rate[j], step.x);
          state.x[j] =
              advance<backward>(state.x[j], decay, step.y * vector.x[j], someStart.value && starts >> l & 1);
          if (outputs) y[l] = fmaf(outC.x[j], state.x[j], y[l]);
        }
      }
      if (!outputs) {
        sumDelta += (delta[0] + delta[1]) + (delta[2] + delta[3]);
        return;
      }
      sumOverParts<lanes>(y, part);
#pragma unroll
      for (int i = 0; i < group / lanes; i++)
        chunk.y[outputs ? t + part * (group / lanes) + i : 0][own] = y[i];
    };
#pragma unroll
    for (int half = 0; half < chunkTokens / 32; half++) {
      const uint32_t starts = chunk.starts[half];
      anyStart = anyStart || starts;
      if (starts) {
        for (int t = 0; t < 32; t += group) sweepGroup(half * 32 + t, starts >> t, std::true_type());
      } else {
#pragma unroll 2
        for (int t = 0; t < 32; t += group) sweepGroup(half * 32 + t, 0, std::false_type());
      }
    }
    __syncthreads();
    if (outputs)
      ChannelPairs<Element, N>::store(sweep.y, call.D, channel0, order, first,
                                      [&](int t, int c) { return chunk.y[outputs ? t : 0][c]; });
  }

  if (!there) return;
  if (sweep.outgoing) *reinterpret_cast<Four*>(sweep.outgoing + atState) = state;
  if (outputs) return;
  if (sweep.reset && threadIdx.x == 0 && blockIdx.x == 0) sweep.reset[blockIdx.y] = anyStart;
  if (sweep.factor) {
#pragma unroll
    for (int j = 0; j < statesPerLane; j++)
      sweep.factor[atState + j] = static_cast<float>(exp(A.x[j] * sumDelta));
  }
  if (sweep.sumDelta && part == 0) sweep.sumDelta[blockIdx.y * call.D + channel] = sumDelta;
}

template <typename Element, int N>
cudaError_t launch(const LongscanSelectiveScan& call, const SelectiveSweep& sweep, cudaStream_t stream) {
  const auto kernel = sweep.pass == SelectivePass::forward   ? sweepKernel<Element, N, false, true>
                      : sweep.pass == SelectivePass::summary ? sweepKernel<Element, N, false, false>
                                                             : sweepKernel<Element, N, true, false>;
  const dim3 grid(static_cast<unsigned>((call.D + blockChannels - 1) / blockChannels),
                  static_cast<unsigned>(call.B * sweep.numSegments));
  kernel<<<grid, scanThreads<N>, 0, stream>>>(call, sweep);
  return cudaGetLastError();
}

template <typename Element>
cudaError_t launch(const LongscanSelectiveScan& call, const SelectiveSweep& sweep, cudaStream_t stream) {
  return call.N == 8 ? launch<Element, 8>(call, sweep, stream) : launch<Element, 16>(call, sweep, stream);
}

}  // namespace

cudaError_t launchSelectiveSweep(const LongscanSelectiveScan& call, const SelectiveSweep& sweep,
                                 cudaStream_t stream) {
  return call.type == longscanElementBf16 ? launch<Bf16>(call, sweep, stream)
                                          : launch<float>(call, sweep, stream);
}

}  // namespace longscan
