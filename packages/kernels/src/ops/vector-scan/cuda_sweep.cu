#include "cuda_sweep.h"

#include "cuda/pack.cuh"

// A block has 16 channels of a segment and goes through its tokens 512 at a time, while the next 512 are on
// their way. Eight lanes side by side have two channels each, and eight tokens in succession of them. What
// the tokens of a lane do to the state is an affine map per channel; the maps of the lanes with the same
// channels are folded in a warp, then over the warps, and each lane goes through its tokens again from its
// own state. Against time: the same in the order of the sweep.

namespace longscan {

namespace {

using Bf16 = __nv_bfloat16;

constexpr int tokensPerLane = 8, lanesPerRow = scanChannels / 2, scanThreads = 512,
              numWarps = scanThreads / 32;
static_assert(scanThreads / lanesPerRow * tokensPerLane == scanStepTokens, "all threads have tokens");
static_assert(lanesPerRow == tokensPerLane,
              "a lane looks up the document start of one of its group's tokens");

/// state' = closed ? end : decay * state + end, for two channels: `closed` where a document starts on the
/// way.
struct Map2 {
  float decay[2], end[2];
  bool closed;

  __device__ void after(const Map2& first) {
#pragma unroll
    for (int c = 0; c < 2 && !closed; c++) {
      end[c] = fmaf(decay[c], first.end[c], end[c]);
      decay[c] *= first.decay[c];
    }
    closed = closed || first.closed;
  }
  __device__ float apply(int c, float state) const {
    return closed ? end[c] : fmaf(decay[c], state, end[c]);
  }
  __device__ Map2 fromLaneBefore(int distance) const {
    Map2 map;
#pragma unroll
    for (int c = 0; c < 2; c++) {
      map.decay[c] = __shfl_up_sync(~0u, decay[c], distance);
      map.end[c] = __shfl_up_sync(~0u, end[c], distance);
    }
    map.closed = __shfl_up_sync(~0u, static_cast<int>(closed), distance);
    return map;
  }
};

template <typename Element>
__device__ Pack<Element, 2> loadPair(const Element* from, bool aligned, bool both) {
  if (aligned) return loadPack<2>(from);
  return {from[0], both ? from[1] : from[0]};
}

template <typename Element>
__device__ void storePair(Element* to, bool aligned, bool both, const float (&value)[2]) {
  const Pack<Element, 2> pair{fromFloat<Element>(value[0]), fromFloat<Element>(value[1])};
  if (aligned) return storePack<2>(to, pair);
  to[0] = pair.x[0];
  if (both) to[1] = pair.x[1];
}

/// What a thread reads for a step.
template <typename Value, typename Gate, bool backward>
struct StepInputs {
  Pack<Value, 2> value[tokensPerLane], before[backward ? tokensPerLane : 1];
  Pack<Gate, 2> gate[tokensPerLane];
  int starts;
};

/// A thread's share of its segment. Places count in the order of the sweep.
template <typename Value, typename Gate, bool backward, bool outputs>
struct Share {
  const LongscanVectorScan& call;
  const ScanSweep& sweep;
  int64_t sequence, channel, origin, atState;  // origin: of the thread's channels at place 0
  int firstToken, numTokens, stride, group;    // of eight lanes with the same tokens
  bool there, both, aligned;

  __device__ Share(const LongscanVectorScan& call, const ScanSweep& sweep)
      : call(call),
        sweep(sweep),
        sequence(blockIdx.y / sweep.numSegments),
        channel(static_cast<int64_t>(blockIdx.x) * scanChannels + threadIdx.x % lanesPerRow * 2),
        stride(static_cast<int>(backward ? -call.C : call.C)),
        group(threadIdx.x / lanesPerRow),
        there(channel < call.C),
        both(channel + 1 < call.C),
        aligned(call.C % 2 == 0) {
    const int64_t segment = blockIdx.y % sweep.numSegments;
    const int64_t begin = segment * sweep.segmentTokens, end = min(begin + sweep.segmentTokens, call.T);
    numTokens = static_cast<int>(end - begin);
    firstToken = static_cast<int>(backward ? end - 1 : begin);
    origin = (sequence * call.T + firstToken) * call.C + channel;
    atState = (sequence * sweep.numSegments + segment) * call.C + channel;
  }

  __device__ int token(int i) const { return backward ? firstToken - i : firstToken + i; }
  __device__ int64_t at(int i) const { return origin + static_cast<int64_t>(i) * stride; }
  __device__ int first(int step) const { return step * scanStepTokens + group * tokensPerLane; }

  __device__ StepInputs<Value, Gate, backward && outputs> load(int step) const {
    StepInputs<Value, Gate, backward && outputs> inputs{};
#pragma unroll
    for (int l = 0; l < tokensPerLane; l++) {
      const int i = first(step) + l;
      if (i >= numTokens || !there) continue;
      inputs.value[l] = loadPair(static_cast<const Value*>(sweep.values) + at(i), aligned, both);
      inputs.gate[l] = loadPair(static_cast<const Gate*>(call.g) + at(i), aligned, both);
      if (backward && outputs && token(i) > 0)
        inputs.before[l] = loadPair(static_cast<const Value*>(sweep.h) + at(i + 1), aligned, both);
    }
    const int own = first(step) + threadIdx.x % lanesPerRow;
    if (call.resets && own < numTokens) inputs.starts = call.resets[sequence * call.T + token(own)];
    return inputs;
  }

  /// The state before the sequence's first token.
  __device__ float initial(int c) const {
    return sweep.h0 && channel + c < call.C ? sweep.h0[sequence * call.C + channel + c] : 0.0f;
  }
};

template <bool backward>
__device__ float advance(float state, float decay, float value, bool starts) {
  if (backward) return starts ? 0.0f : decay * (state + value);
  return starts ? value : fmaf(decay, state, value);
}

template <typename Value, typename Gate, bool backward, bool outputs>
__global__ void __launch_bounds__(scanThreads)
    sweepKernel(const LongscanVectorScan call, const ScanSweep sweep) {
  __shared__ float4 warpMaps[2][numWarps][lanesPerRow];
  __shared__ bool warpClosed[2][numWarps];
  __shared__ double warpLogSums[numWarps][scanChannels];
  const Share<Value, Gate, backward, outputs> share(call, sweep);
  const int lane = threadIdx.x % 32, warp = threadIdx.x / 32, pair = threadIdx.x % lanesPerRow;
  const int numSteps = (share.numTokens + scanStepTokens - 1) / scanStepTokens;

  float carried[2] = {};
  if (sweep.incoming && share.there) {
    carried[0] = sweep.incoming[share.atState];
    if (share.both) carried[1] = sweep.incoming[share.atState + 1];
  }
  double logSum[2] = {};
  bool anyStart = false;
  auto next = share.load(0);
  for (int step = 0; step < numSteps; step++) {
    const auto inputs = next;
    if (step + 1 < numSteps) next = share.load(step + 1);
    const unsigned starts = __ballot_sync(~0u, inputs.starts != 0) >> (lane & ~(lanesPerRow - 1)) & 0xff;

    float decay[tokensPerLane][2];
    Map2 map{{1.0f, 1.0f}, {0.0f, 0.0f}, starts != 0};
    float gates[2] = {};
#pragma unroll
    for (int l = 0; l < tokensPerLane; l++)
#pragma unroll
      for (int c = 0; c < 2; c++) {
        const float gate = toFloat(inputs.gate[l].x[c]);
        if (!outputs) gates[c] += gate;
        decay[l][c] = expf(gate);
        map.decay[c] *= decay[l][c];
        map.end[c] =
            advance<backward>(map.end[c], decay[l][c], toFloat(inputs.value[l].x[c]), starts >> l & 1);
      }
    if (!outputs) {
      logSum[0] += gates[0];
      logSum[1] += gates[1];
      anyStart = anyStart || starts;
    }

    // Over the four groups of the warp, then what came before this group in it.
#pragma unroll
    for (int distance = lanesPerRow; distance < 32; distance *= 2) {
      const Map2 earlier = map.fromLaneBefore(distance);
      if (lane >= distance) map.after(earlier);
    }
    const Map2 inWarp = map.fromLaneBefore(lanesPerRow);
    const int buffer = step % 2;  // one barrier a step: the last step's is still being read
    if (lane >= 32 - lanesPerRow)
      warpMaps[buffer][warp][pair] = make_float4(map.decay[0], map.end[0], map.decay[1], map.end[1]);
    if (lane == 31) warpClosed[buffer][warp] = map.closed;
    __syncthreads();
    float entering[2];
#pragma unroll
    for (int w = 0; w < numWarps; w++) {
      const float4 of = warpMaps[buffer][w][pair];
      const Map2 earlier{{of.x, of.z}, {of.y, of.w}, warpClosed[buffer][w]};
#pragma unroll
      for (int c = 0; c < 2; c++) {
        if (w == warp) entering[c] = carried[c];
        carried[c] = earlier.apply(c, carried[c]);
      }
    }
    if (!outputs) continue;

    if (lane >= lanesPerRow)
#pragma unroll
      for (int c = 0; c < 2; c++) entering[c] = inWarp.apply(c, entering[c]);
#pragma unroll
    for (int l = 0; l < tokensPerLane; l++) {
      const int i = share.first(step) + l;
      const bool startsHere = starts >> l & 1;
      float out[2], dg[2];
#pragma unroll
      for (int c = 0; c < 2; c++) {
        const float value = toFloat(inputs.value[l].x[c]);
        out[c] = entering[c] + value;
        entering[c] = advance<backward>(entering[c], decay[l][c], value, startsHere);
        if (!backward) {
          out[c] = entering[c];
          continue;
        }
        float before = toFloat(inputs.before[backward ? l : 0].x[c]);
        if (share.token(i) == 0) before = share.initial(c);
        dg[c] = startsHere ? 0.0f : entering[c] * before;
      }
      if (i >= share.numTokens || !share.there) continue;
      storePair(static_cast<Value*>(sweep.out) + share.at(i), share.aligned, share.both, out);
      if (backward) storePair(static_cast<Gate*>(sweep.dg) + share.at(i), share.aligned, share.both, dg);
    }
  }

  if (threadIdx.x < lanesPerRow && sweep.outgoing && share.there) {
    sweep.outgoing[share.atState] = carried[0];
    if (share.both) sweep.outgoing[share.atState + 1] = carried[1];
  }
  if (outputs) return;
  if (sweep.reset) {
    const bool resets = __syncthreads_or(anyStart);
    if (threadIdx.x == 0 && blockIdx.x == 0) sweep.reset[blockIdx.y] = resets;
  }
  if (!sweep.factor) return;
#pragma unroll
  for (int c = 0; c < 2; c++) {
    for (int distance = lanesPerRow; distance < 32; distance *= 2)
      logSum[c] += __shfl_xor_sync(~0u, logSum[c], distance);
    if (lane < lanesPerRow) warpLogSums[warp][2 * pair + c] = logSum[c];
  }
  __syncthreads();
  if (threadIdx.x >= lanesPerRow || !share.there) return;
  for (int c = 0; c < (share.both ? 2 : 1); c++) {
    double sum = 0;
    for (int w = 0; w < numWarps; w++) sum += warpLogSums[w][2 * pair + c];
    sweep.factor[share.atState + c] = static_cast<float>(exp(sum));
  }
}

template <typename Value, typename Gate>
cudaError_t launch(const LongscanVectorScan& call, const ScanSweep& sweep, cudaStream_t stream) {
  const auto kernel = sweep.pass == ScanPass::forward    ? sweepKernel<Value, Gate, false, true>
                      : sweep.pass == ScanPass::summary  ? sweepKernel<Value, Gate, false, false>
                      : sweep.pass == ScanPass::backward ? sweepKernel<Value, Gate, true, true>
                                                         : sweepKernel<Value, Gate, true, false>;
  const dim3 grid(static_cast<unsigned>((call.C + scanChannels - 1) / scanChannels),
                  static_cast<unsigned>(call.B * sweep.numSegments));
  kernel<<<grid, scanThreads, 0, stream>>>(call, sweep);
  return cudaGetLastError();
}

}  // namespace

cudaError_t launchScanSweep(const LongscanVectorScan& call, const ScanSweep& sweep, cudaStream_t stream) {
  if (call.type == longscanElementF32) return launch<float, float>(call, sweep, stream);
  return call.gateType == longscanElementF32 ? launch<Bf16, float>(call, sweep, stream)
                                             : launch<Bf16, Bf16>(call, sweep, stream);
}

}  // namespace longscan
