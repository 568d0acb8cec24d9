#include <type_traits>

#include "cuda/sum_parts.cuh"
#include "cuda_gradient.h"
#include "cuda_lanes.cuh"
#include "cuda_sweep.h"
#include "cuda_tile.cuh"

// Backward, 256 tokens at a time from the end: a warp scans its channel's states of these tokens from the
// kept one and the adjoints from those of the tokens after them, so that a lane has both for its eight
// tokens. What is summed over channels (dB, dC) is added up over the block's 16, and left in memory as the
// block's share.

namespace longscan {

namespace {

using Bf16 = __nv_bfloat16;

constexpr int L = 8, stepTokens = 32 * L;
static_assert(stepTokens == checkpointTokens, "a step begins at a kept state");

template <typename Element>
struct GradientTiles {
  using Channels = TokenTile<Element, L>;
  using Vectors = TokenTile<float, L>;
  static constexpr int sharesBytes = scanWarps * stepTokens * 2 * 4,
                       sumsBytes = scanWarps * mostStates * 32 * 4;
  Channels x, delta, dy;
  Vectors inB, outC;
  float4*
      shares;  // [2, warps, dB and dC, halves, lanes]: of a number of state, while the next one is at work
  float* dA;   // [warps, numbers of state, lanes]
  uint32_t* starts;

  __device__ explicit GradientTiles(char* memory)
      : x{memory},
        delta{x.base + Channels::bytes},
        dy{delta.base + Channels::bytes},
        inB{dy.base + Channels::bytes},
        outC{inB.base + Vectors::bytes},
        shares(reinterpret_cast<float4*>(outC.base + Vectors::bytes)),
        dA(reinterpret_cast<float*>(outC.base + Vectors::bytes + 2 * sharesBytes)),
        starts(reinterpret_cast<uint32_t*>(outC.base + Vectors::bytes + 2 * sharesBytes + sumsBytes)) {}
  static constexpr int bytes = 3 * Channels::bytes + 2 * Vectors::bytes + 2 * sharesBytes + sumsBytes + 4 * L;
};

/// A thread's part of a step, under way while the step before is at work; B_t and C_t come from the cache,
/// when they are wanted.
template <typename Element>
struct GradientInputs {
  TilePart<Element, L> x, delta, dy;
  float kept;
  bool starts;

  static __device__ const Element* of(const void* data) { return static_cast<const Element*>(data); }

  __device__ void load(const LongscanSelectiveScan& call, const SelectiveGradient& gradient,
                       TokenOrder<false> order, int64_t channel0, int first) {
    x.load(of(call.x), call.D, channel0, order, first);
    delta.load(of(call.delta), call.D, channel0, order, first);
    dy.load(of(gradient.io.dy), call.D, channel0, order, first);
    const int own = first + threadIdx.x;
    starts = call.resets && threadIdx.x < stepTokens && own < order.count && call.resets[order.row(own)];
    const int64_t channel = channel0 + threadIdx.x / 32, lane = threadIdx.x % 32;
    const int64_t chunksPerRow = (call.T + checkpointTokens - 1) / checkpointTokens;
    const int64_t chunk = order.sequenceRow / call.T * chunksPerRow + order.token(first) / checkpointTokens;
    kept = channel < call.D && lane < call.N
               ? gradient.io.checkpoints[(chunk * call.D + channel) * call.N + lane]
               : 0.0f;
  }
  __device__ void put(const LongscanSelectiveScan& call, TokenOrder<false> order, int first,
                      const GradientTiles<Element>& tiles) const {
    TilePart<Element, L> inB, outC;
    inB.load(of(call.inB), call.N, 0, order, first);
    outC.load(of(call.outC), call.N, 0, order, first);
    x.put(tiles.x);
    delta.put(tiles.delta);
    dy.put(tiles.dy);
    inB.put(tiles.inB);
    outC.put(tiles.outC);
    putStarts<L>(tiles.starts, starts);
  }
};

/// Adds the warps' shares of dB and dC of one number of state, one sum a thread.
__device__ inline void sumShares(const float4* shares, int numChannels, int64_t at, TokenOrder<false> order,
                                 int first, const SelectiveGradient& gradient) {
  const int which = threadIdx.x / stepTokens, place = threadIdx.x % stepTokens;
  const float* share = reinterpret_cast<const float*>(shares) + threadIdx.x;
  float sum = 0.0f;
#pragma unroll
  for (int w = 0; w < scanWarps; w++)
    if (w < numChannels) sum += share[w * 2 * stepTokens];
  // A lane's eight tokens lie in two halves of four.
  const int token = first + place % 128 / 4 * L + place / 128 * 4 + place % 4;
  if (token < order.count) (which ? gradient.partsC : gradient.partsB)[at + order.token(token)] = sum;
}

template <typename Element>
__global__ void __launch_bounds__(scanThreads, 1)
    gradientKernel(const LongscanSelectiveScan call, const SelectiveGradient gradient) {
  extern __shared__ char memory[];
  const GradientTiles<Element> tiles(memory);
  const int lane = threadIdx.x % 32, warp = threadIdx.x / 32;
  const int64_t channel0 = static_cast<int64_t>(blockIdx.x) * scanChannels, channel = channel0 + warp;
  const int numChannels = static_cast<int>(min(static_cast<int64_t>(scanChannels), call.D - channel0));
  const int64_t b = blockIdx.y / gradient.numSegments, segment = blockIdx.y % gradient.numSegments;
  const int64_t begin = segment * gradient.segmentTokens;
  const TokenOrder<false> order{b * call.T, static_cast<int>(begin),
                                static_cast<int>(min(gradient.segmentTokens, call.T - begin))};
  const int64_t atState = (blockIdx.y * call.D + channel) * call.N + lane;
  const bool hasState = channel < call.D && lane < call.N;

  const float A = hasState ? call.A[channel * call.N + lane] : 0.0f, rates = rateOf<Element>(A);
  float adjoints = hasState && gradient.incoming ? gradient.incoming[atState] : 0.0f;
  float* const dA = tiles.dA + warp * mostStates * 32 + lane;
  for (int n = 0; n < mostStates; n++) dA[n * 32] = 0.0f;
  GradientInputs<Element> inputs;
  const int last = (order.count - 1) / stepTokens * stepTokens;
  inputs.load(call, gradient, order, channel0, last);
  for (int first = last; first >= 0; first -= stepTokens) {
    inputs.put(call, order, first, tiles);
    const float keptStates = inputs.kept;
    __syncthreads();
    if (first > 0) inputs.load(call, gradient, order, channel0, first - stepTokens);

    float delta[L], x[L], dy[L], throughInput[L] = {}, throughDecay[L] = {}, total = 0.0f;
    tiles.delta.read(warp, lane, delta);
    tiles.x.read(warp, lane, x);
    tiles.dy.read(warp, lane, dy);
#pragma unroll
    for (int l = 0; l < L; l++) {
      total += delta[l];
      x[l] *= delta[l];
    }
    const uint32_t starts = startsOfLane<L>(tiles.starts, lane);
    const LaneScan<false> scan(lane, starts != 0);
    const LaneScan<true> scanBack(lane, starts != 0);
    const auto sweepState = [&](int n, auto someStart) {
      const float rate = __shfl_sync(~0u, rates, n), rateGradient = __shfl_sync(~0u, A, n);
      float kept = __shfl_sync(~0u, keptStates, n), carried = __shfl_sync(~0u, adjoints, n);
      float decay[L], inB[L], outC[L], end = 0.0f, endBack = 0.0f;
      tiles.inB.read(n, lane, inB);
      tiles.outC.read(n, lane, outC);
#pragma unroll
      for (int l = 0; l < L; l++) {
        decay[l] = decayOf<Element>(rate, delta[l]);
        const float input = x[l] * inB[l];
        end = someStart.value && starts >> l & 1 ? input : fmaf(decay[l], end, input);
        outC[l] *= dy[l];
      }
#pragma unroll
      for (int l = L - 1; l >= 0; l--)
        endBack = someStart.value && starts >> l & 1 ? 0.0f : decay[l] * (endBack + outC[l]);
      const float decayOfAll = decayOf<Element>(rate, total);
      float state = scan(decayOfAll, end, kept), adjoint = scanBack(decayOfAll, endBack, carried);
      if (lane == n) adjoints = carried;

      float before[L], dB[L], dC[L], sumA = 0.0f;
#pragma unroll
      for (int l = 0; l < L; l++) {
        before[l] = someStart.value && starts >> l & 1 ? 0.0f : state;
        state = fmaf(decay[l], before[l], x[l] * inB[l]);
        if (someStart.value && (starts >> l & 1)) state = x[l] * inB[l];
        dC[l] = dy[l] * state;
      }
#pragma unroll
      for (int l = L - 1; l >= 0; l--) {
        const float all = adjoint + outC[l], decayed = decay[l] * all, atDecay = decayed * before[l];
        throughInput[l] = fmaf(inB[l], all, throughInput[l]);
        throughDecay[l] = fmaf(rateGradient, atDecay, throughDecay[l]);
        sumA = fmaf(delta[l], atDecay, sumA);
        dB[l] = x[l] * all;
        adjoint = someStart.value && starts >> l & 1 ? 0.0f : decayed;
      }
      dA[n * 32] += sumA;
      float4* const share = tiles.shares + (n % 2 * scanWarps + warp) * 2 * (stepTokens / 4) + lane;
#pragma unroll
      for (int half = 0; half < 2; half++) {
        share[half * 32] = make_float4(dB[half * 4], dB[half * 4 + 1], dB[half * 4 + 2], dB[half * 4 + 3]);
        share[64 + half * 32] =
            make_float4(dC[half * 4], dC[half * 4 + 1], dC[half * 4 + 2], dC[half * 4 + 3]);
      }
    };
    const bool anyStart = __any_sync(~0u, starts != 0);
    for (int n = 0; n < call.N; n++) {
      if (anyStart)
        sweepState(n, std::true_type());
      else
        sweepState(n, std::false_type());
      __syncthreads();  // the shares of the number before last have been added up by now
      const int64_t at = ((blockIdx.x * call.B + b) * call.N + n) * call.T;
      sumShares(tiles.shares + n % 2 * scanWarps * 2 * (stepTokens / 4), numChannels, at, order, first,
                gradient);
    }
    // x holds delta x here: read again.
    float dx[L], dDelta[L];
    tiles.x.read(warp, lane, x);
#pragma unroll
    for (int l = 0; l < L; l++) {
      dx[l] = delta[l] * throughInput[l];
      dDelta[l] = fmaf(x[l], throughInput[l], throughDecay[l]);
    }
    tiles.x.write(warp, lane, dx);
    tiles.delta.write(warp, lane, dDelta);
    __syncthreads();
    using Part = TilePart<Element, L>;
    Part::store(tiles.x, static_cast<Element*>(gradient.io.dx), call.D, channel0, order, first);
    Part::store(tiles.delta, static_cast<Element*>(gradient.io.dDelta), call.D, channel0, order, first);
    __syncthreads();
  }

  if (hasState && gradient.outgoing) gradient.outgoing[atState] = adjoints;
  float ownSum = 0.0f;
  for (int n = 0; n < call.N; n++) {
    float sum = dA[n * 32];
    for (int distance = 16; distance > 0; distance /= 2) sum += __shfl_xor_sync(~0u, sum, distance);
    if (lane == n) ownSum = sum;
  }
  if (hasState) gradient.partsA[atState] = ownSum;
}

template <typename Element>
cudaError_t launch(const LongscanSelectiveScan& call, const SelectiveGradient& gradient,
                   cudaStream_t stream) {
  const auto kernel = gradientKernel<Element>;
  constexpr int bytes = GradientTiles<Element>::bytes;
  cudaError_t error = cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, bytes);
  if (error) return error;
  const int64_t blocks = (call.D + scanChannels - 1) / scanChannels;
  const dim3 grid(static_cast<unsigned>(blocks), static_cast<unsigned>(call.B * gradient.numSegments));
  kernel<<<grid, scanThreads, bytes, stream>>>(call, gradient);
  error = cudaGetLastError();
  if (error) return error;
  error = launchSumParts({gradient.partsA, call.B * gradient.numSegments, 1, call.D * call.N, 1},
                         gradient.io.dA, stream);
  if (error) return error;
  const SumPartsCall sumB{gradient.partsB, blocks, call.B * call.N, call.T, call.N};
  error = launchSumParts(sumB, static_cast<Element*>(gradient.io.dB), stream);
  if (error) return error;
  SumPartsCall sumC = sumB;
  sumC.parts = gradient.partsC;
  return launchSumParts(sumC, static_cast<Element*>(gradient.io.dC), stream);
}

}  // namespace

cudaError_t launchSelectiveGradient(const LongscanSelectiveScan& call, const SelectiveGradient& gradient,
                                    cudaStream_t stream) {
  return call.type == longscanElementBf16 ? launch<Bf16>(call, gradient, stream)
                                          : launch<float>(call, gradient, stream);
}

}  // namespace longscan
