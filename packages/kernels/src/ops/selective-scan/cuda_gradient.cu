#include "cuda_gradient.h"

#include <type_traits>

#include "cuda/sum_parts.cuh"
#include "cuda_chunk.cuh"
#include "cuda_sweep.h"

// Backward, a chunk of 64 tokens at a time from the end, each from its kept state: once with time for the
// states before every eighth token, then eight tokens at a time against time. There a lane has the states and
// decays of the eight in registers, and the adjoint goes back through them. What is summed over channels (dB,
// dC) is added up over the warp's by shuffles, over the block's 32 at the chunk's end, and left in memory as
// the block's share.

namespace longscan {

namespace {

using Bf16 = __nv_bfloat16;

constexpr int stretch = 8, numStretches = chunkTokens / stretch;
constexpr int numOrders = 4;

/// Lanes of channels side by side hold a channel's four numbers of state in different orders, register j
/// number j ^ order: so what a lane adds to its neighbour's is always the same register.
__device__ inline Four inOrder(const Four& values, int order) {
  Four result = values;
  const auto swapIf = [&](bool swap, int i, int j) {
    const float a = result.x[i], b = result.x[j];
    result.x[i] = swap ? b : a;
    result.x[j] = swap ? a : b;
  };
  swapIf(order & 1, 0, 1);
  swapIf(order & 1, 2, 3);
  swapIf(order & 2, 0, 2);
  swapIf(order & 2, 1, 3);
  return result;
}

template <int N>
struct GradientChunk {
  static constexpr int lanes = lanesPerChannel<N>, threads = scanThreads<N>, warps = threads / 32;
  float4 steps[chunkTokens][blockChannels];  // delta, delta x, dy, x; at the end dx, ddelta
  Four inB[chunkTokens][numOrders][lanes], outC[chunkTokens][numOrders][lanes];
  Four states[numStretches][threads];      // before each stretch
  float shares[warps][chunkTokens][2][N];  // of dB and dC
  uint32_t starts[chunkTokens / 32];

  __device__ unsigned startsOf(int s) const {
    return starts[s * stretch / 32] >> (s * stretch % 32) & ((1u << stretch) - 1);
  }
};

/// A thread's part of a chunk, under way while the one after it is at work.
template <typename Element, int N>
struct GradientInputs {
  ChannelPairs<Element, N> x, delta, dy;
  VectorParts<Element, N> inB, outC;
  Four state;  // the kept one
  bool starts;

  __device__ void load(const LongscanSelectiveScan& call, const SelectiveGradient& gradient,
                       TokenOrder<false> order, int64_t channel0, int first) {
    x.load(call.x, call.D, channel0, order, first);
    delta.load(call.delta, call.D, channel0, order, first);
    dy.load(gradient.io.dy, call.D, channel0, order, first);
    inB.load(call.inB, order, first);
    outC.load(call.outC, order, first);
    starts = loadStart(call.resets, order, first);
    constexpr int lanes = lanesPerChannel<N>;
    const int64_t channel = channel0 + threadIdx.x / lanes;
    const int64_t chunksPerRow = (call.T + chunkTokens - 1) / chunkTokens;
    const int64_t number = order.sequenceRow / call.T * chunksPerRow + order.token(first) / chunkTokens;
    state = {};
    if (channel < call.D)
      state = *reinterpret_cast<const Four*>(gradient.io.checkpoints + (number * call.D + channel) * N +
                                             threadIdx.x % lanes * statesPerLane);
  }
  __device__ void put(GradientChunk<N>& chunk) const {
    using Pairs = ChannelPairs<Element, N>;
    using Parts = VectorParts<Element, N>;
#pragma unroll
    for (int k = 0; k < Pairs::count; k++)
#pragma unroll
      for (int i = 0; i < 2; i++)
        chunk.steps[Pairs::token(k)][Pairs::channel(k) + i] =
            make_float4(delta.get(k, i), delta.get(k, i) * x.get(k, i), dy.get(k, i), x.get(k, i));
#pragma unroll
    for (int k = 0; k < Parts::count; k++)
#pragma unroll
      for (int q = 0; q < numOrders; q++) {
        chunk.inB[Parts::token(k)][q][Parts::part(k)] = inOrder(inB.get(k), q);
        chunk.outC[Parts::token(k)][q][Parts::part(k)] = inOrder(outC.get(k), q);
      }
    putStarts(chunk.starts, starts);
  }
};

/// The sum over the warp's channels of the number of state that the lane has in register 0.
template <int lanes>
__device__ inline float sumOverChannels(const float (&values)[statesPerLane]) {
  const float low = values[0] + __shfl_xor_sync(~0u, values[1], lanes);
  const float high = values[2] + __shfl_xor_sync(~0u, values[3], lanes);
  float sum = low + __shfl_xor_sync(~0u, high, 2 * lanes);
#pragma unroll
  for (int mask = numOrders * lanes; mask < 32; mask *= 2) sum += __shfl_xor_sync(~0u, sum, mask);
  return sum;
}

/// A lane's share of a channel: its numbers of state, in its order.
template <typename Element, int N>
struct GradientLane {
  static constexpr int lanes = lanesPerChannel<N>;
  GradientChunk<N>& chunk;
  int own, part, order, warp;
  bool sharesOut;  // the lanes whose sums over channels are taken
  Four A, rate, adjoint, sumA{};

  __device__ GradientLane(GradientChunk<N>& chunk, const Four& rates, const Four& incoming)
      : chunk(chunk),
        own(threadIdx.x / lanes),
        part(threadIdx.x % lanes),
        order(own % numOrders),
        warp(threadIdx.x / 32),
        sharesOut(threadIdx.x % 32 < numOrders * lanes),
        A(inOrder(rates, order)),
        adjoint(inOrder(incoming, order)) {
#pragma unroll
    for (int j = 0; j < statesPerLane; j++) rate.x[j] = rateOf<Element>(A.x[j]);
  }

  __device__ void share(int t, int which, const float (&values)[statesPerLane]) {
    const float sum = sumOverChannels<lanes>(values);
    if (sharesOut) chunk.shares[warp][t][which][part * statesPerLane + order] = sum;
  }

  /// With time over the chunk: the states before each stretch.
  __device__ void findStates(Four state) {
    for (int s = 0; s < numStretches; s++) {
      chunk.states[s][threadIdx.x] = state;
      if (s + 1 == numStretches) break;
      const unsigned starts = chunk.startsOf(s);
      const auto sweep = [&](auto someStart) {
#pragma unroll
        for (int l = 0; l < stretch; l++) {
          const float4 step = chunk.steps[s * stretch + l][own];
          const Four inB = chunk.inB[s * stretch + l][order][part];
#pragma unroll
          for (int j = 0; j < statesPerLane; j++) {
            const float input = step.y * inB.x[j];
            const float next = fmaf(decayOf<Element>(rate.x[j], step.x), state.x[j], input);
            state.x[j] = someStart.value && starts >> l & 1 ? input : next;
          }
        }
      };
      if (starts)
        sweep(std::true_type());
      else
        sweep(std::false_type());
    }
  }

  /// The adjoint back through a stretch.
  template <bool someStart>
  __device__ void sweepBack(int s, unsigned starts, Four& chunkSumA) {
    float decay[stretch][statesPerLane], before[stretch][statesPerLane];
    Four state = chunk.states[s][threadIdx.x];
#pragma unroll
    for (int l = 0; l < stretch; l++) {
      const int t = s * stretch + l;
      const float4 step = chunk.steps[t][own];
      const Four inB = chunk.inB[t][order][part];
      float dC[statesPerLane];
#pragma unroll
      for (int j = 0; j < statesPerLane; j++) {
        const bool startsHere = someStart && starts >> l & 1;
        const float input = step.y * inB.x[j];
        decay[l][j] = decayOf<Element>(rate.x[j], step.x);
        before[l][j] = startsHere ? 0.0f : state.x[j];
        state.x[j] = fmaf(decay[l][j], before[l][j], input);
        dC[j] = step.z * state.x[j];
      }
      share(t, 1, dC);
    }
    constexpr int group = 4;
#pragma unroll
    for (int g = stretch - group; g >= 0; g -= group) {
      float throughInput[group] = {}, throughDecay[group] = {};
#pragma unroll
      for (int i = group - 1; i >= 0; i--) {
        const int l = g + i, t = s * stretch + l;
        const float4 step = chunk.steps[t][own];
        const Four inB = chunk.inB[t][order][part], outC = chunk.outC[t][order][part];
        float dB[statesPerLane];
#pragma unroll
        for (int j = 0; j < statesPerLane; j++) {
          const float all = fmaf(outC.x[j], step.z, adjoint.x[j]), decayed = decay[l][j] * all;
          const float atDecay = decayed * before[l][j];
          throughInput[i] = fmaf(inB.x[j], all, throughInput[i]);
          throughDecay[i] = fmaf(A.x[j], atDecay, throughDecay[i]);
          chunkSumA.x[j] = fmaf(step.x, atDecay, chunkSumA.x[j]);
          dB[j] = step.y * all;
          adjoint.x[j] = someStart && starts >> l & 1 ? 0.0f : decayed;
        }
        share(t, 0, dB);
      }
      sumOverParts<lanes>(throughInput, part);
      sumOverParts<lanes>(throughDecay, part);
      __syncwarp();  // all lanes have read these tokens' steps
#pragma unroll
      for (int i = 0; i < group / lanes; i++) {
        float4& step = chunk.steps[s * stretch + g + part * (group / lanes) + i][own];
        const float delta = step.x, x = step.w;
        step.x = delta * throughInput[i];
        step.y = fmaf(x, throughInput[i], throughDecay[i]);
      }
    }
  }

  __device__ void sweepChunk(const Four& kept) {
    findStates(inOrder(kept, order));
    Four chunkSumA{};
    for (int s = numStretches - 1; s >= 0; s--) {
      const unsigned starts = chunk.startsOf(s);
      if (starts)
        sweepBack<true>(s, starts, chunkSumA);
      else
        sweepBack<false>(s, 0, chunkSumA);
    }
#pragma unroll
    for (int j = 0; j < statesPerLane; j++) sumA.x[j] += chunkSumA.x[j];
  }
};

/// The warps' shares of dB and dC, added up.
template <int N>
__device__ void sumShares(const GradientChunk<N>& chunk, const LongscanSelectiveScan& call,
                          const SelectiveGradient& gradient, TokenOrder<false> order, int first) {
  constexpr int sums = chunkTokens * 2 * N, threads = scanThreads<N>;
#pragma unroll 4
  for (int i = threadIdx.x; i < sums; i += threads) {
    const int t = i / (2 * N), which = i / N % 2, n = i % N;
    float sum = chunk.shares[0][t][which][n];
#pragma unroll
    for (int w = 1; w < GradientChunk<N>::warps; w++) sum += chunk.shares[w][t][which][n];
    const int64_t row = static_cast<int64_t>(blockIdx.x) * call.B * call.T + order.row(first + t);
    if (first + t < order.count) (which ? gradient.partsC : gradient.partsB)[row * N + n] = sum;
  }
}

template <typename Element, int N>
__global__ void __launch_bounds__(scanThreads<N>)
    gradientKernel(const LongscanSelectiveScan call, const SelectiveGradient gradient) {
  extern __shared__ char memory[];
  auto& chunk = *reinterpret_cast<GradientChunk<N>*>(memory);
  constexpr int lanes = lanesPerChannel<N>;
  const int64_t channel0 = static_cast<int64_t>(blockIdx.x) * blockChannels;
  const int64_t channel = channel0 + threadIdx.x / lanes;
  const int64_t b = blockIdx.y / gradient.numSegments, segment = blockIdx.y % gradient.numSegments;
  const int64_t begin = segment * gradient.segmentTokens;
  const TokenOrder<false> order{b * call.T, static_cast<int>(begin),
                                static_cast<int>(min(gradient.segmentTokens, call.T - begin))};
  const int firstState = threadIdx.x % lanes * statesPerLane;
  const int64_t atState = (blockIdx.y * call.D + channel) * N + firstState;
  const bool there = channel < call.D;

  Four A{}, incoming{};
  if (there) A = *reinterpret_cast<const Four*>(call.A + channel * N + firstState);
  if (there && gradient.incoming) incoming = *reinterpret_cast<const Four*>(gradient.incoming + atState);
  GradientLane<Element, N> lane(chunk, A, incoming);
  GradientInputs<Element, N> inputs;
  const int last = (order.count - 1) / chunkTokens * chunkTokens;
  inputs.load(call, gradient, order, channel0, last);
  for (int first = last; first >= 0; first -= chunkTokens) {
    inputs.put(chunk);
    const Four kept = inputs.state;
    __syncthreads();
    if (first > 0) inputs.load(call, gradient, order, channel0, first - chunkTokens);
    lane.sweepChunk(kept);
    __syncthreads();
    using Pairs = ChannelPairs<Element, N>;
    Pairs::store(gradient.io.dx, call.D, channel0, order, first,
                 [&](int t, int c) { return chunk.steps[t][c].x; });
    Pairs::store(gradient.io.dDelta, call.D, channel0, order, first,
                 [&](int t, int c) { return chunk.steps[t][c].y; });
    sumShares(chunk, call, gradient, order, first);
    __syncthreads();
  }

  if (!there) return;
  *reinterpret_cast<Four*>(gradient.partsA + atState) = inOrder(lane.sumA, lane.order);
  if (gradient.outgoing)
    *reinterpret_cast<Four*>(gradient.outgoing + atState) = inOrder(lane.adjoint, lane.order);
}

template <typename Element, int N>
cudaError_t launch(const LongscanSelectiveScan& call, const SelectiveGradient& gradient,
                   cudaStream_t stream) {
  const auto kernel = gradientKernel<Element, N>;
  constexpr int bytes = sizeof(GradientChunk<N>);
  cudaError_t error = cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, bytes);
  if (error) return error;
  const int64_t blocks = (call.D + blockChannels - 1) / blockChannels;
  const dim3 grid(static_cast<unsigned>(blocks), static_cast<unsigned>(call.B * gradient.numSegments));
  kernel<<<grid, scanThreads<N>, bytes, stream>>>(call, gradient);
  error = cudaGetLastError();
  if (error) return error;
  error = launchSumParts({gradient.partsA, call.B * gradient.numSegments, 1, call.D * N, 1}, gradient.io.dA,
                         stream);
  if (error) return error;
  const SumPartsCall sumB{gradient.partsB, blocks, 1, call.B * call.T * N, 1};
  error = launchSumParts(sumB, static_cast<Element*>(gradient.io.dB), stream);
  if (error) return error;
  SumPartsCall sumC = sumB;
  sumC.parts = gradient.partsC;
  return launchSumParts(sumC, static_cast<Element*>(gradient.io.dC), stream);
}

template <typename Element>
cudaError_t launch(const LongscanSelectiveScan& call, const SelectiveGradient& gradient,
                   cudaStream_t stream) {
  return call.N == 8 ? launch<Element, 8>(call, gradient, stream)
                     : launch<Element, 16>(call, gradient, stream);
}

}  // namespace

cudaError_t launchSelectiveGradient(const LongscanSelectiveScan& call, const SelectiveGradient& gradient,
                                    cudaStream_t stream) {
  return call.type == longscanElementBf16 ? launch<Bf16>(call, gradient, stream)
                                          : launch<float>(call, gradient, stream);
}

}  // namespace longscan
