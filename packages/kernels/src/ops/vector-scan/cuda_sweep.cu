#include <type_traits>

#include "cuda/async_copy.cuh"
#include "cuda/pack.cuh"
#include "cuda_sweep.h"

// A block has 8 or 16 channels of a segment and goes through its tokens 512 at a time, while the next ones
// are on their way. Eight lanes side by side have `width` channels each, and eight tokens in succession of
// them. What the tokens of a lane do to the state is an affine map per channel; the maps of the lanes with
// the same channels are folded in a warp, then over the warps, and each lane goes through its tokens again
// from its own state. Against time: the same in the order of the sweep.

namespace longscan {

namespace {

using Bf16 = __nv_bfloat16;

constexpr int tokensPerLane = 8, lanesPerRow = 8, scanThreads = 512, numWarps = scanThreads / 32;
static_assert(scanThreads / lanesPerRow * tokensPerLane == scanStepTokens, "all threads have tokens");
static_assert(lanesPerRow == tokensPerLane,
              "a lane looks up the document start of one of its group's tokens");

/// state' = closed ? end : decay * state + end, per channel: `closed` where a document starts on the way.
template <int width>
struct Map {
  float decay[width], end[width];
  bool closed;

  __device__ void after(const Map& first) {
#pragma unroll
    for (int c = 0; c < width; c++) {
      end[c] = closed ? end[c] : fmaf(decay[c], first.end[c], end[c]);
      decay[c] = decay[c] * first.decay[c];
    }
    closed = closed || first.closed;
  }
  __device__ float apply(int c, float state) const {
    return closed ? end[c] : fmaf(decay[c], state, end[c]);
  }
  __device__ Map fromLaneBefore(int distance) const {
    Map map;
#pragma unroll
    for (int c = 0; c < width; c++) {
      map.decay[c] = __shfl_up_sync(~0u, decay[c], distance);
      map.end[c] = __shfl_up_sync(~0u, end[c], distance);
    }
    map.closed = __shfl_up_sync(~0u, static_cast<int>(closed), distance);
    return map;
  }
};

/// What a thread reads for a step.
template <typename Value, typename Gate, int width, bool withBefore>
struct StepInputs {
  Pack<Value, width> value[tokensPerLane], before[withBefore ? tokensPerLane : 1];
  Pack<Gate, width> gate[tokensPerLane];
  int starts;
};

/// Where the next steps' inputs arrive; the packs of neighbouring threads lie side by side, and each thread
/// reads its own alone.
template <typename Value, typename Gate, int width, bool withBefore>
struct StepRing {
  struct Step {
    Pack<Value, width> value[tokensPerLane][scanThreads];
    Pack<Value, width> before[withBefore ? tokensPerLane : 1][withBefore ? scanThreads : 1];
    Pack<Gate, width> gate[tokensPerLane][scanThreads];
    int starts[scanThreads];
  };
  // Not three: the cache's lines, which copies pass through, want their part of the same memory.
  static constexpr int numSteps = 2;
  static constexpr int bytes = numSteps * static_cast<int>(sizeof(Step));
};

/// A thread's share of its segment. Places count in the order of the sweep.
template <typename Value, typename Gate, int width, bool backward, bool outputs>
struct Share {
  using Inputs = StepInputs<Value, Gate, width, backward && outputs>;
  using Ring = StepRing<Value, Gate, width, backward && outputs>;
  const LongscanVectorScan& call;
  const ScanSweep& sweep;
  int64_t sequence, channel, origin, atState;  // origin: of the thread's channels at place 0
  int firstToken, numTokens, stride, group;    // group: of eight lanes with the same tokens
  bool there, blockIsThere;

  __device__ Share(const LongscanVectorScan& call, const ScanSweep& sweep)
      : call(call),
        sweep(sweep),
        sequence(blockIdx.y / sweep.numSegments),
        channel((static_cast<int64_t>(blockIdx.x) * lanesPerRow + threadIdx.x % lanesPerRow) * width),
        stride(static_cast<int>(backward ? -call.C : call.C)),
        group(threadIdx.x / lanesPerRow),
        there(channel < call.C),
        blockIsThere((static_cast<int64_t>(blockIdx.x) + 1) * lanesPerRow * width <= call.C) {
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
  /// No thread of the block is without tokens or channels: its accesses need no conditions.
  __device__ bool whole(int step) const { return blockIsThere && (step + 1) * scanStepTokens <= numTokens; }

  /// Into the ring.
  __device__ void fetch(int step, typename Ring::Step* ring) const {
    typename Ring::Step& to = ring[step % Ring::numSteps];
    if (whole(step))
      fetchRows<true>(step, to);
    else
      fetchRows<false>(step, to);
    if (!call.resets) return;
    const int own = first(step) + threadIdx.x % lanesPerRow;
    const bool isThere = own < numTokens;
    copyAsync(&to.starts[threadIdx.x], call.resets + (isThere ? sequence * call.T + token(own) : 0), isThere);
  }
  template <bool all>
  __device__ void fetchRows(int step, typename Ring::Step& to) const {
    const int thread = threadIdx.x;
    const auto* const values = static_cast<const Value*>(sweep.values);
    const auto* const states = static_cast<const Value*>(sweep.h);
    int64_t from = at(first(step));
#pragma unroll
    for (int l = 0; l < tokensPerLane; l++, from += stride) {
      const int i = first(step) + l;
      const bool isThere = all || (i < numTokens && there);
      const int64_t place = isThere ? from : 0;
      copyAsync(&to.value[l][thread], values + place, isThere);
      copyAsync(&to.gate[l][thread], static_cast<const Gate*>(call.g) + place, isThere);
      if constexpr (backward && outputs)  // of the first token: any row, for it is not used
        copyAsync(&to.before[l][thread], states + (isThere && token(i) > 0 ? place + stride : place),
                  isThere);
    }
  }
  /// Out of it.
  __device__ Inputs take(int step, const typename Ring::Step* ring) const {
    const typename Ring::Step& from = ring[step % Ring::numSteps];
    Inputs inputs{};
#pragma unroll
    for (int l = 0; l < tokensPerLane; l++) {
      inputs.value[l] = from.value[l][threadIdx.x];
      inputs.gate[l] = from.gate[l][threadIdx.x];
      if constexpr (backward && outputs) inputs.before[l] = from.before[l][threadIdx.x];
    }
    if (call.resets) inputs.starts = from.starts[threadIdx.x];
    return inputs;
  }

  /// The state before the sequence's first token.
  __device__ float initial(int c) const {
    return sweep.h0 && there ? sweep.h0[sequence * call.C + channel + c] : 0.0f;
  }
};

template <bool backward>
__device__ float advance(float state, float decay, float value, bool starts) {
  if (backward) return starts ? 0.0f : decay * (state + value);
  return starts ? value : fmaf(decay, state, value);
}

template <typename Element, int width>
__device__ void storeFloats(void* to, int64_t at, const float (&value)[width]) {
  Pack<Element, width> pack;
#pragma unroll
  for (int c = 0; c < width; c++) pack.x[c] = fromFloat<Element>(value[c]);
  storePack<width>(static_cast<Element*>(to) + at, pack);
}

template <typename Value, typename Gate, int width, bool backward, bool outputs>
__global__ void __launch_bounds__(scanThreads, 1)
    sweepKernel(const LongscanVectorScan call, const ScanSweep sweep) {
  __shared__ Map<width> warpMaps[2][numWarps][lanesPerRow];
  __shared__ float carried[2][lanesPerRow][width];  // the state before a step
  __shared__ double warpLogSums[numWarps][lanesPerRow * width];
  const Share<Value, Gate, width, backward, outputs> share(call, sweep);
  const int lane = threadIdx.x % 32, warp = threadIdx.x / 32, column = threadIdx.x % lanesPerRow;
  const int numSteps = (share.numTokens + scanStepTokens - 1) / scanStepTokens;
  // The lanes with the block's last tokens.
  const bool isLast = threadIdx.x >= scanThreads - lanesPerRow;

  if (isLast)
#pragma unroll
    for (int c = 0; c < width; c++)
      carried[0][column][c] = sweep.incoming && share.there ? sweep.incoming[share.atState + c] : 0.0f;
  double logSum[width] = {};
  bool anyStart = false;
  using Ring = typename decltype(share)::Ring;
  extern __shared__ __align__(16) char memory[];
  auto* const ring = reinterpret_cast<typename Ring::Step*>(memory);
  constexpr int ahead = Ring::numSteps - 1;
#pragma unroll
  for (int step = 0; step < ahead; step++) {
    if (step < numSteps) share.fetch(step, ring);
    commitCopies();
  }
  for (int step = 0; step < numSteps; step++) {
    awaitCopies<ahead - 1>();
    const auto inputs = share.take(step, ring);
    if (step + ahead < numSteps) share.fetch(step + ahead, ring);
    commitCopies();
    const unsigned startsOfWarp = __ballot_sync(~0u, inputs.starts != 0);
    const unsigned starts = startsOfWarp >> (lane & ~(lanesPerRow - 1)) & 0xff;

    float decay[tokensPerLane][width];
    Map<width> map;
    map.closed = starts != 0;
#pragma unroll
    for (int c = 0; c < width; c++) map.decay[c] = 1.0f, map.end[c] = 0.0f;
    const auto summarize = [&](auto someStart) {
#pragma unroll
      for (int l = 0; l < tokensPerLane; l++)
#pragma unroll
        for (int c = 0; c < width; c++) {
          decay[l][c] = expf(toFloat(inputs.gate[l].x[c]));
          map.decay[c] *= decay[l][c];
          map.end[c] = advance<backward>(map.end[c], decay[l][c], toFloat(inputs.value[l].x[c]),
                                         someStart.value && starts >> l & 1);
        }
    };
    if (startsOfWarp)
      summarize(std::true_type());
    else
      summarize(std::false_type());
    if (!outputs) {
      anyStart = anyStart || starts;
#pragma unroll
      for (int c = 0; c < width; c++) {
        float sum = 0.0f;
#pragma unroll
        for (int l = 0; l < tokensPerLane; l++) sum += toFloat(inputs.gate[l].x[c]);
        logSum[c] += sum;
      }
    }

    // Over the four groups of the warp, then what came before this group in it.
#pragma unroll
    for (int distance = lanesPerRow; distance < 32; distance *= 2) {
      const Map<width> earlier = map.fromLaneBefore(distance);
      if (lane >= distance) map.after(earlier);
    }
    const Map<width> inWarp = map.fromLaneBefore(lanesPerRow);
    const int buffer = step % 2;  // one barrier a step: the last step's maps are still being read
    if (lane >= 32 - lanesPerRow) warpMaps[buffer][warp][column] = map;
    __syncthreads();
    float entering[width];
#pragma unroll
    for (int c = 0; c < width; c++) entering[c] = carried[buffer][column][c];
#pragma unroll 4
    for (int w = 0; w < warp; w++) {
      const Map<width> earlier = warpMaps[buffer][w][column];
#pragma unroll
      for (int c = 0; c < width; c++) entering[c] = earlier.apply(c, entering[c]);
    }
    if (isLast)
#pragma unroll
      for (int c = 0; c < width; c++) carried[1 - buffer][column][c] = map.apply(c, entering[c]);
    if (!outputs) continue;

    if (lane >= lanesPerRow)
#pragma unroll
      for (int c = 0; c < width; c++) entering[c] = inWarp.apply(c, entering[c]);
    const auto finish = [&](auto someStart, auto all) {
#pragma unroll
      for (int l = 0; l < tokensPerLane; l++) {
        const int i = share.first(step) + l;
        const bool startsHere = someStart.value && starts >> l & 1;
        float out[width], dg[width];
#pragma unroll
        for (int c = 0; c < width; c++) {
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
        if (!all.value && (i >= share.numTokens || !share.there)) continue;
        storeFloats<Value>(sweep.out, share.at(i), out);
        if (backward) storeFloats<Gate>(sweep.dg, share.at(i), dg);
      }
    };
    if (startsOfWarp || !share.whole(step))
      finish(std::true_type(), std::false_type());
    else
      finish(std::false_type(), std::true_type());
  }

  if (isLast && sweep.outgoing && share.there)
#pragma unroll
    for (int c = 0; c < width; c++) sweep.outgoing[share.atState + c] = carried[numSteps % 2][column][c];
  if (outputs) return;
  if (sweep.reset) {
    const bool resets = __syncthreads_or(anyStart);
    if (threadIdx.x == 0 && blockIdx.x == 0) sweep.reset[blockIdx.y] = resets;
  }
  if (!sweep.factor && !sweep.logFactor) return;
#pragma unroll
  for (int c = 0; c < width; c++) {
    for (int distance = lanesPerRow; distance < 32; distance *= 2)
      logSum[c] += __shfl_xor_sync(~0u, logSum[c], distance);
    if (lane < lanesPerRow) warpLogSums[warp][column * width + c] = logSum[c];
  }
  __syncthreads();
  if (threadIdx.x >= lanesPerRow || !share.there) return;
  for (int c = 0; c < width; c++) {
    double sum = 0;
    for (int w = 0; w < numWarps; w++) sum += warpLogSums[w][column * width + c];
    if (sweep.factor) sweep.factor[share.atState + c] = static_cast<float>(exp(sum));
    if (sweep.logFactor) sweep.logFactor[share.atState + c] = sum;
  }
}

template <typename Value, typename Gate, int width>
cudaError_t launchWidth(const LongscanVectorScan& call, const ScanSweep& sweep, cudaStream_t stream) {
  const auto kernel = sweep.pass == ScanPass::forward    ? sweepKernel<Value, Gate, width, false, true>
                      : sweep.pass == ScanPass::summary  ? sweepKernel<Value, Gate, width, false, false>
                      : sweep.pass == ScanPass::backward ? sweepKernel<Value, Gate, width, true, true>
                                                         : sweepKernel<Value, Gate, width, true, false>;
  const bool withBefore = sweep.pass == ScanPass::backward;
  const int bytes =
      withBefore ? StepRing<Value, Gate, width, true>::bytes : StepRing<Value, Gate, width, false>::bytes;
  const cudaError_t error = cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, bytes);
  if (error) return error;
  constexpr int channels = lanesPerRow * width;
  const dim3 grid(static_cast<unsigned>((call.C + channels - 1) / channels),
                  static_cast<unsigned>(call.B * sweep.numSegments));
  kernel<<<grid, scanThreads, bytes, stream>>>(call, sweep);
  return cudaGetLastError();
}

template <typename Value, typename Gate>
cudaError_t launch(const LongscanVectorScan& call, const ScanSweep& sweep, cudaStream_t stream) {
  constexpr bool narrow =
      sizeof(Value) == 4;  // f32 fills memory's units, and shared memory, with half the channels
  if (!narrow && call.C % 2 == 0) return launchWidth < Value, Gate, narrow ? 1 : 2 > (call, sweep, stream);
  return launchWidth<Value, Gate, 1>(call, sweep, stream);
}

}  // namespace

cudaError_t launchScanSweep(const LongscanVectorScan& call, const ScanSweep& sweep, cudaStream_t stream) {
  if (call.type == longscanElementF32) return launch<float, float>(call, sweep, stream);
  return call.gateType == longscanElementF32 ? launch<Bf16, float>(call, sweep, stream)
                                             : launch<Bf16, Bf16>(call, sweep, stream);
}

}  // namespace longscan
