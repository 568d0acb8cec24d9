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

constexpr int gradientStates = 4;  // of a lane

constexpr int stretch = 8, numStretches = chunkTokens / stretch;

/// Lanes of channels side by side hold a channel's S numbers of state in different orders, register j number
/// j ^ order: so what a lane adds to its neighbour's is always the same register.
template <int S>
__device__ inline Floats<S> inOrder(const Floats<S>& values, int order) {
  Floats<S> result = values;
#pragma unroll
  for (int bit = 1; bit < S; bit *= 2) {
    const Floats<S> before = result;
#pragma unroll
    for (int j = 0; j < S; j++) result.x[j] = order & bit ? before.x[j ^ bit] : before.x[j];
  }
  return result;
}

template <int N, int S>
struct GradientChunk {
  static constexpr int lanes = LaneLayout<N, S>::lanes, threads = LaneLayout<N, S>::threads;
  float4 steps[chunkTokens][blockChannels];  // delta, delta x, dy, x; at the end dx, ddelta
  Floats<S> inB[chunkTokens][S][lanes], outC[chunkTokens][S][lanes];  // in each order
  Floats<S> states[numStretches][threads];                            // before each stretch
  float shares[threads / 32][chunkTokens][2][N];                      // of dB and dC
  uint32_t starts[chunkTokens / 32];

  __device__ unsigned startsOf(int s) const {
    return starts[s * stretch / 32] >> (s * stretch % 32) & ((1u << stretch) - 1);
  }
};

/// A thread's part of a chunk, under way while the one after it is at work.
template <typename Element, int N, int S>
struct GradientInputs {
  using Pairs = ChannelPairs<Element, LaneLayout<N, S>::threads>;
  using Parts = VectorParts<Element, N, S>;
  Pairs x, delta, dy;
  Parts inB, outC;
  Floats<S> state;  // the kept one
  int32_t starts;

  __device__ void load(const LongscanSelectiveScan& call, const SelectiveGradient& gradient,
                       TokenOrder<false> order, int64_t channel0, int first) {
    x.load(call.x, call.D, channel0, order, first);
    delta.load(call.delta, call.D, channel0, order, first);
    dy.load(gradient.io.dy, call.D, channel0, order, first);
    inB.load(call.inB, order, first);
    outC.load(call.outC, order, first);
    starts = loadStart(call.resets, order, first);
    constexpr int lanes = LaneLayout<N, S>::lanes;
    const int64_t channel = channel0 + threadIdx.x / lanes;
    const int64_t chunksPerRow = (call.T + chunkTokens - 1) / chunkTokens;
    const int64_t number = order.sequenceRow / call.T * chunksPerRow + order.token(first) / chunkTokens;
    state = {};
    if (channel < call.D)
      state =
          loadPack<S>(gradient.io.checkpoints + (number * call.D + channel) * N + threadIdx.x % lanes * S);
  }
  __device__ void put(GradientChunk<N, S>& chunk) const {
#pragma unroll
    for (int k = 0; k < Pairs::count; k++)
#pragma unroll
      for (int i = 0; i < 2; i++)
        chunk.steps[Pairs::token(k)][Pairs::channel() + i] =
            make_float4(delta.get(k, i), delta.get(k, i) * x.get(k, i), dy.get(k, i), x.get(k, i));
#pragma unroll
    for (int k = 0; k < Parts::count; k++)
#pragma unroll
      for (int q = 0; q < S; q++) {
        chunk.inB[Parts::token(k)][q][Parts::part(k)] = inOrder(inB.get(k), q);
        chunk.outC[Parts::token(k)][q][Parts::part(k)] = inOrder(outC.get(k), q);
      }
    putStarts(chunk.starts, starts);
  }
};

/// The sum over the warp's channels of the number of state that the lane has in register 0.
template <int lanes, int S>
__device__ inline float sumOverChannels(const float (&values)[S]) {
  float sums[S];
#pragma unroll
  for (int j = 0; j < S; j++) sums[j] = values[j];
#pragma unroll
  for (int bit = 1; bit < S; bit *= 2)
#pragma unroll
    for (int j = 0; j < S; j += 2 * bit) sums[j] += __shfl_xor_sync(~0u, sums[j + bit], bit * lanes);
#pragma unroll
  for (int mask = S * lanes; mask < 32; mask *= 2) sums[0] += __shfl_xor_sync(~0u, sums[0], mask);
  return sums[0];
}

/// A lane's share of a channel: its numbers of state, in its order. It reads what it needs of some tokens at
/// once and writes at the end, so that latencies are met once for all of them.
template <typename Element, int N, int S>
struct GradientLane {
  static constexpr int lanes = LaneLayout<N, S>::lanes;
  static constexpr int batch = S == 2 ? 8 : 4, perLane = batch / lanes;
  GradientChunk<N, S>& chunk;
  int own, part, order, warp;
  bool sharesOut;  // the lanes whose sums over channels are taken
  Floats<S> A, rate, adjoint, sumA{};

  __device__ GradientLane(GradientChunk<N, S>& chunk, const Floats<S>& rates, const Floats<S>& incoming)
      : chunk(chunk),
        own(threadIdx.x / lanes),
        part(threadIdx.x % lanes),
        order(own % S),
        warp(threadIdx.x / 32),
        sharesOut(threadIdx.x % 32 < S * lanes),
        A(inOrder(rates, order)),
        adjoint(inOrder(incoming, order)) {
#pragma unroll
    for (int j = 0; j < S; j++) rate.x[j] = rateOf<Element>(A.x[j]);
  }

  __device__ void putShares(int first, int which, const float (&sums)[batch]) {
    if (!sharesOut) return;
#pragma unroll
    for (int l = 0; l < batch; l++) chunk.shares[warp][first + l][which][part * S + order] = sums[l];
  }

  /// Of some tokens, delta and delta x, and B_t.
  struct Loaded {
    float2 steps[batch];
    Floats<S> inB[batch];
  };
  __device__ Loaded load(int first) const {
    Loaded loaded;
#pragma unroll
    for (int l = 0; l < batch; l++) {
      loaded.steps[l] = *reinterpret_cast<const float2*>(&chunk.steps[first + l][own]);
      loaded.inB[l] = chunk.inB[first + l][order][part];
    }
    return loaded;
  }

  /// With time over the chunk: the states before each stretch.
  __device__ void findStates(Floats<S> state) {
    Loaded loaded = load(0);
    for (int first = 0; first < chunkTokens - stretch; first += batch) {
      if (first % stretch == 0) chunk.states[first / stretch][threadIdx.x] = state;
      const Loaded now = loaded;
      loaded = load(first + batch);
      const unsigned starts = chunk.starts[first / 32] >> first % 32 & ((1u << batch) - 1);
      float decay[batch][S];
#pragma unroll
      for (int l = 0; l < batch; l++)
#pragma unroll
        for (int j = 0; j < S; j++) decay[l][j] = decayOf<Element>(rate.x[j], now.steps[l].x);
      const auto sweep = [&](auto someStart) {
#pragma unroll
        for (int l = 0; l < batch; l++)
#pragma unroll
          for (int j = 0; j < S; j++) {
            const float input = now.steps[l].y * now.inB[l].x[j], next = fmaf(decay[l][j], state.x[j], input);
            state.x[j] = someStart.value && starts >> l & 1 ? input : next;
          }
      };
      if (starts)
        sweep(std::true_type());
      else
        sweep(std::false_type());
    }
    chunk.states[numStretches - 1][threadIdx.x] = state;
  }

  /// The adjoint back through a stretch.
  template <bool someStart>
  __device__ void sweepBack(int s, unsigned starts, Floats<S>& chunkSumA) {
    float decay[stretch][S], before[stretch][S];
    Floats<S> state = chunk.states[s][threadIdx.x];
#pragma unroll
    for (int b = 0; b < stretch; b += batch) {
      const int first = s * stretch + b;
      float4 steps[batch];
      Floats<S> inB[batch];
#pragma unroll
      for (int l = 0; l < batch; l++) {
        steps[l] = chunk.steps[first + l][own];
        inB[l] = chunk.inB[first + l][order][part];
      }
      float sums[batch];
#pragma unroll
      for (int l = 0; l < batch; l++) {
        float dC[S];
#pragma unroll
        for (int j = 0; j < S; j++) {
          const bool startsHere = someStart && starts >> (b + l) & 1;
          decay[b + l][j] = decayOf<Element>(rate.x[j], steps[l].x);
          before[b + l][j] = startsHere ? 0.0f : state.x[j];
          state.x[j] = fmaf(decay[b + l][j], before[b + l][j], steps[l].y * inB[l].x[j]);
          dC[j] = steps[l].z * state.x[j];
        }
        sums[l] = sumOverChannels<lanes>(dC);
      }
      putShares(first, 1, sums);
    }
#pragma unroll
    for (int b = stretch - batch; b >= 0; b -= batch) {
      const int first = s * stretch + b;
      float4 steps[batch];
      Floats<S> inB[batch], outC[batch];
#pragma unroll
      for (int l = 0; l < batch; l++) {
        steps[l] = chunk.steps[first + l][own];
        inB[l] = chunk.inB[first + l][order][part];
        outC[l] = chunk.outC[first + l][order][part];
      }
      float throughInput[batch] = {}, throughDecay[batch] = {}, sums[batch];
#pragma unroll
      for (int l = batch - 1; l >= 0; l--) {
        float dB[S];
#pragma unroll
        for (int j = 0; j < S; j++) {
          const float all = fmaf(outC[l].x[j], steps[l].z, adjoint.x[j]), decayed = decay[b + l][j] * all;
          const float atDecay = decayed * before[b + l][j];
          throughInput[l] = fmaf(inB[l].x[j], all, throughInput[l]);
          throughDecay[l] = fmaf(A.x[j], atDecay, throughDecay[l]);
          chunkSumA.x[j] = fmaf(steps[l].x, atDecay, chunkSumA.x[j]);
          dB[j] = steps[l].y * all;
          adjoint.x[j] = someStart && starts >> (b + l) & 1 ? 0.0f : decayed;
        }
        sums[l] = sumOverChannels<lanes>(dB);
      }
      sumOverParts<lanes>(throughInput, part);
      sumOverParts<lanes>(throughDecay, part);
      putShares(first, 0, sums);
#pragma unroll
      for (int i = 0; i < perLane; i++) {
        float4& step = chunk.steps[first + part * perLane + i][own];
        const float delta = step.x, x = step.w;
        __syncwarp();  // all lanes have read these tokens' steps
        step.x = delta * throughInput[i];
        step.y = fmaf(x, throughInput[i], throughDecay[i]);
      }
    }
  }

  __device__ void sweepChunk(const Floats<S>& kept) {
    findStates(inOrder(kept, order));
    Floats<S> chunkSumA{};
    for (int s = numStretches - 1; s >= 0; s--) {
      const unsigned starts = chunk.startsOf(s);
      if (starts)
        sweepBack<true>(s, starts, chunkSumA);
      else
        sweepBack<false>(s, 0, chunkSumA);
    }
#pragma unroll
    for (int j = 0; j < S; j++) sumA.x[j] += chunkSumA.x[j];
  }
};

/// The warps' shares of dB and dC, added up.
template <int N, int S>
__device__ void sumShares(const GradientChunk<N, S>& chunk, const LongscanSelectiveScan& call,
                          const SelectiveGradient& gradient, TokenOrder<false> order, int first) {
  constexpr int sums = chunkTokens * 2 * N, threads = LaneLayout<N, S>::threads;
#pragma unroll 4
  for (int i = threadIdx.x; i < sums; i += threads) {
    const int t = i / (2 * N), which = i / N % 2, n = i % N;
    float sum = chunk.shares[0][t][which][n];
#pragma unroll
    for (int w = 1; w < threads / 32; w++) sum += chunk.shares[w][t][which][n];
    const int64_t row = static_cast<int64_t>(blockIdx.x) * call.B * call.T + order.row(first + t);
    if (first + t < order.count) (which ? gradient.partsC : gradient.partsB)[row * N + n] = sum;
  }
}

template <typename Element, int N, int S>
__global__ void __launch_bounds__(LaneLayout<N, S>::threads, 1)
    gradientKernel(const LongscanSelectiveScan call, const SelectiveGradient gradient) {
  extern __shared__ __align__(16) char memory[];
  auto& chunk = *reinterpret_cast<GradientChunk<N, S>*>(memory);
  constexpr int lanes = LaneLayout<N, S>::lanes;
  const int64_t channel0 = static_cast<int64_t>(blockIdx.x) * blockChannels;
  const int64_t channel = channel0 + threadIdx.x / lanes;
  const int64_t b = blockIdx.y / gradient.numSegments, segment = blockIdx.y % gradient.numSegments;
  const int64_t begin = segment * gradient.segmentTokens;
  const TokenOrder<false> order{b * call.T, static_cast<int>(begin),
                                static_cast<int>(min(gradient.segmentTokens, call.T - begin))};
  const int firstState = threadIdx.x % lanes * S;
  const int64_t atState = (blockIdx.y * call.D + channel) * N + firstState;
  const bool there = channel < call.D;

  Floats<S> A{}, incoming{};
  if (there) A = loadPack<S>(call.A + channel * N + firstState);
  if (there && gradient.incoming) incoming = loadPack<S>(gradient.incoming + atState);
  GradientLane<Element, N, S> lane(chunk, A, incoming);
  GradientInputs<Element, N, S> inputs;
  const int last = (order.count - 1) / chunkTokens * chunkTokens;
  inputs.load(call, gradient, order, channel0, last);
  for (int first = last; first >= 0; first -= chunkTokens) {
    inputs.put(chunk);
    const Floats<S> kept = inputs.state;
    __syncthreads();
    if (first > 0) inputs.load(call, gradient, order, channel0, first - chunkTokens);
    lane.sweepChunk(kept);
    __syncthreads();
    using Pairs = ChannelPairs<Element, LaneLayout<N, S>::threads>;
    Pairs::store(gradient.io.dx, call.D, channel0, order, first,
                 [&](int t, int c) { return chunk.steps[t][c].x; });
    Pairs::store(gradient.io.dDelta, call.D, channel0, order, first,
                 [&](int t, int c) { return chunk.steps[t][c].y; });
    sumShares(chunk, call, gradient, order, first);
    __syncthreads();
  }

  if (!there) return;
  storePack<S>(gradient.partsA + atState, inOrder(lane.sumA, lane.order));
  if (gradient.outgoing) storePack<S>(gradient.outgoing + atState, inOrder(lane.adjoint, lane.order));
}

template <typename Element, int N, int S>
cudaError_t launch(const LongscanSelectiveScan& call, const SelectiveGradient& gradient,
                   cudaStream_t stream) {
  const auto kernel = gradientKernel<Element, N, S>;
  constexpr int bytes = sizeof(GradientChunk<N, S>);
  cudaError_t error = cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, bytes);
  if (error) return error;
  const int64_t blocks = (call.D + blockChannels - 1) / blockChannels;
  const dim3 grid(static_cast<unsigned>(blocks), static_cast<unsigned>(call.B * gradient.numSegments));
  kernel<<<grid, LaneLayout<N, S>::threads, bytes, stream>>>(call, gradient);
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
  return call.N == 8 ? launch<Element, 8, 2>(call, gradient, stream)
                     : launch<Element, 16, gradientStates>(call, gradient, stream);
}

}  // namespace

size_t gradientSharedBytes(const LongscanSelectiveScan& call) {
  return call.N == 8 ? sizeof(GradientChunk<8, 2>) : sizeof(GradientChunk<16, gradientStates>);
}

cudaError_t launchSelectiveGradient(const LongscanSelectiveScan& call, const SelectiveGradient& gradient,
                                    cudaStream_t stream) {
  return call.type == longscanElementBf16 ? launch<Bf16>(call, gradient, stream)
                                          : launch<float>(call, gradient, stream);
}

}  // namespace longscan
