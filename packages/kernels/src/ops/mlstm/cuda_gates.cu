#include "cuda_gates.h"

#include "cuda/pack.cuh"

namespace longscan {

namespace {

constexpr int gateThreads = 128;
constexpr float empty = -INFINITY;

__device__ inline double larger(double a, double b) {
  return a > b ? a : b;
}

/// The state that a slice goes on from.
__device__ inline float maximumOf(const float* h0, const LongscanMlstm& call, int64_t bh) {
  return h0 == nullptr ? empty : h0[bh * (call.V + 1) * (call.K + 1) + call.K];
}

/// Without input gates every token weighs 1, and the maximum is 0 throughout.
__device__ inline float inputOf(const LongscanMlstm& call, int64_t at) {
  return call.logInput ? call.logInput[at] : 0.0f;
}

/// A thread's chunk of a head; heads lie side by side.
struct ThreadChunk {
  int64_t b, h, bh, chunk, first;
  int count;
  bool exists;

  __device__ ThreadChunk(const LongscanMlstm& call, int numChunks) {
    const int64_t at = static_cast<int64_t>(blockIdx.x) * gateThreads + threadIdx.x;
    exists = at < call.B * call.H * numChunks;
    h = at % call.H;
    chunk = at / call.H % numChunks;
    b = at / call.H / numChunks;
    bh = b * call.H + h;
    first = chunk * mlstmTokens;
    count = static_cast<int>(min(int64_t{mlstmTokens}, call.T - first));
  }
  __device__ int64_t token(const LongscanMlstm& call, int i) const {
    return (b * call.T + first + i) * call.H + h;
  }
  __device__ bool starts(const LongscanMlstm& call, int i) const {
    return call.resets != nullptr && call.resets[b * call.T + first + i] != 0;
  }
};

/// What a chunk's gates do to a running maximum, and where documents start in it.
__global__ void __launch_bounds__(gateThreads)
    chunksKernel(const LongscanMlstm call, int numChunks, const MlstmGates gates) {
  const ThreadChunk own(call, numChunks);
  if (!own.exists) return;
  double all = 0, since = 0, most = empty;
  ChunkStarts starts{mlstmTokens, -1};
#pragma unroll 8
  for (int i = 0; i < own.count; i++) {
    const int64_t at = own.token(call, i);
    if (own.starts(call, i)) {
      since = 0, most = empty;
      if (starts.last < 0) starts.first = i;
      starts.last = i;
    }
    const double forget = call.logForget[at];
    all += forget;
    since += forget;
    most = larger(most + forget, inputOf(call, at));
  }
  const int64_t at = own.bh * numChunks + own.chunk;
  gates.chunkForget[at] = all;
  gates.sinceStart[at] = since;
  gates.most[at] = most;
  if (own.h == 0) gates.starts[own.b * numChunks + own.chunk] = starts;
}

/// A warp a head: the running maximum at the borders of chunks, 32 of them at a time.
__global__ void __launch_bounds__(32)
    bordersKernel(const LongscanMlstm call, int numChunks, const MlstmGates gates, const float* h0) {
  const int64_t bh = blockIdx.x, b = bh / call.H;
  const int lane = threadIdx.x;
  float* border = gates.border + bh * (numChunks + 1);
  double carried = maximumOf(h0, call, bh);
  if (lane == 0) border[0] = static_cast<float>(carried);
  for (int first = 0; first < numChunks; first += 32) {
    const int chunk = first + lane;
    const bool exists = chunk < numChunks;
    double forget = exists ? gates.sinceStart[bh * numChunks + chunk] : 0.0;
    double most = exists ? gates.most[bh * numChunks + chunk] : empty;
    bool fresh = exists && gates.starts[b * numChunks + chunk].last >= 0;
#pragma unroll
    for (int distance = 1; distance < 32; distance *= 2) {
      const double otherForget = __shfl_up_sync(~0u, forget, distance);
      const double otherMost = __shfl_up_sync(~0u, most, distance);
      const bool otherFresh = __shfl_up_sync(~0u, static_cast<int>(fresh), distance) != 0;
      if (lane < distance || fresh) continue;
      most = larger(otherMost + forget, most);
      forget += otherForget;
      fresh = otherFresh;
    }
    const double reached = fresh ? most : larger(carried + forget, most);
    if (exists) border[chunk + 1] = static_cast<float>(reached);
    carried = __shfl_sync(~0u, reached, 31);
  }
}

/// The same from maxima that are known.
__global__ void __launch_bounds__(gateThreads)
    knownBordersKernel(const LongscanMlstm call, int numChunks, const MlstmGates gates, const float* h0,
                       const float* m) {
  const ThreadChunk own(call, numChunks);
  if (!own.exists) return;
  float* border = gates.border + own.bh * (numChunks + 1) + own.chunk;
  if (own.chunk == 0) border[0] = m ? maximumOf(h0, call, own.bh) : 0.0f;
  border[1] = m ? m[own.token(call, own.count - 1)] : 0.0f;
}

__device__ inline float weight(double logarithm) {
  return expf(static_cast<float>(logarithm));
}

/// Running maxima and weights of a chunk's tokens. A maximum need not be exact, for outputs do not depend on
/// it, but weights must fit the ones that are stored: the last token's is the border's.
__global__ void __launch_bounds__(gateThreads)
    weightsKernel(const LongscanMlstm call, int numChunks, const MlstmGates gates, float* maxima,
                  bool known) {
  const ThreadChunk own(call, numChunks);
  if (!own.exists) return;
  const float* border = gates.border + own.bh * (numChunks + 1) + own.chunk;
  const float before = border[0], after = border[1];
  bool connected = before != empty;
  double sum = 0;
  float m = before;
#pragma unroll 4
  for (int i = 0; i < own.count; i++) {
    const int64_t at = own.token(call, i);
    const float forget = call.logForget[at], input = inputOf(call, at);
    if (own.starts(call, i)) sum = 0, connected = false, m = empty;
    sum += forget;
    m = known                ? (maxima ? maxima[at] : 0.0f)
        : i == own.count - 1 ? after
                             : static_cast<float>(larger(m + forget, input));
    if (!known && maxima) maxima[at] = m;
    // Where nothing has been stored yet every log is -infinity, and 0 keeps it so.
    const double base = m == empty ? 0.0 : m;
    gates.queryTerm[at] = sum - base;
    gates.keyTerm[at] = input - sum;
    gates.fromStart[at] = connected ? weight(sum + before - base) : 0.0f;
  }
  const double base = after == empty ? 0.0 : after;
  double behind = 0;
  connected = true;
#pragma unroll 4
  for (int i = own.count - 1; i >= 0; i--) {
    const int64_t at = own.token(call, i);
    gates.toEnd[at] = connected ? weight(inputOf(call, at) + behind - base) : 0.0f;
    behind += call.logForget[at];
    if (own.starts(call, i)) connected = false;
  }
}

/// exp(F + m_in - m_out) over chunks [first, end) of a head; 0 from an empty state.
__device__ inline float carriedOver(const MlstmGates& gates, int64_t bh, int numChunks, int first, int end) {
  const float* border = gates.border + bh * (numChunks + 1);
  if (border[first] == empty) return 0.0f;
  double sum = 0;
  for (int chunk = first; chunk < end; chunk++) sum += gates.chunkForget[bh * numChunks + chunk];
  return weight(sum + border[first] - border[end]);
}

__device__ inline bool anyStart(const MlstmGates& gates, int64_t b, int numChunks, int first, int end) {
  bool any = false;
  for (int chunk = first; chunk < end; chunk++) any = any || gates.starts[b * numChunks + chunk].last >= 0;
  return any;
}

__global__ void __launch_bounds__(gateThreads)
    segmentsKernel(const MlstmPlan plan, int H, const MlstmGates gates) {
  const int64_t at = static_cast<int64_t>(blockIdx.x) * gateThreads + threadIdx.x;
  if (at >= plan.heads * plan.numSegments) return;
  const int64_t bh = at / plan.numSegments;
  const int first = static_cast<int>(at % plan.numSegments) * plan.chunksPerSegment;
  const int end = min(first + plan.chunksPerSegment, plan.numChunks);
  gates.segmentFactor[at] = carriedOver(gates, bh, plan.numChunks, first, end);
  gates.segmentReset[at] = anyStart(gates, bh / H, plan.numChunks, first, end);
}

__global__ void __launch_bounds__(gateThreads)
    sliceFactorKernel(const MlstmPlan plan, int H, const MlstmGates gates, bool carried, float* factor) {
  const int64_t bh = static_cast<int64_t>(blockIdx.x) * gateThreads + threadIdx.x;
  if (bh >= plan.heads) return;
  if (carried) {
    const bool fresh = anyStart(gates, bh / H, plan.numChunks, 0, plan.numChunks);
    factor[bh] = fresh ? 0.0f : carriedOver(gates, bh, plan.numChunks, 0, plan.numChunks);
    return;
  }
  double sum = 0;
  for (int chunk = 0; chunk < plan.numChunks; chunk++) sum += gates.chunkForget[bh * plan.numChunks + chunk];
  factor[bh] = static_cast<float>(sum);
}

/// A warp a token of a head.
template <typename Element>
__global__ void __launch_bounds__(gateThreads)
    sumGradientsKernel(const LongscanMlstm call, const LongscanMlstmTokens tokens, const Element* dH,
                       float* inverse, float* sumGradient) {
  const int64_t at = static_cast<int64_t>(blockIdx.x) * (gateThreads / 32) + threadIdx.x / 32;
  if (at >= call.B * call.T * call.H) return;
  const int lane = threadIdx.x % 32;
  const Element* h = static_cast<const Element*>(tokens.h);
  float dot = 0.0f;
  for (int y = lane; y < call.V; y += 32) dot += toFloat(dH[at * call.V + y]) * toFloat(h[at * call.V + y]);
#pragma unroll
  for (int distance = 16; distance > 0; distance /= 2) dot += __shfl_xor_sync(~0u, dot, distance);
  if (lane != 0) return;
  // h = y / max(|sum|, exp(-m)), in which m has no part.
  const float sum = tokens.normalizer[at], size = fabsf(sum), least = expf(-tokens.m[at]);
  const float perUnit = 1.0f / (size > least ? size : least);
  inverse[at] = perUnit;
  sumGradient[at] = size > least ? (sum < 0.0f ? dot : -dot) * perUnit : 0.0f;
}

/// visit(head, its numbers of a stored state, of a state in a workspace; a maximum's second is -1)
template <typename Visit>
__device__ void eachOfState(const LongscanMlstm& call, Visit&& visit) {
  const int64_t stored = int64_t{call.V + 1} * (call.K + 1), size = int64_t{call.K} * (call.V + 1);
  const int64_t at = static_cast<int64_t>(blockIdx.x) * gateThreads + threadIdx.x;
  if (at >= call.B * call.H * stored) return;
  const int64_t bh = at / stored;
  const int r = static_cast<int>(at % stored / (call.K + 1)),
            x = static_cast<int>(at % stored % (call.K + 1));
  const int64_t place = r < call.V ? int64_t{x} * call.V + r : int64_t{call.K} * call.V + x;
  visit(bh, at, x == call.K ? -1 : bh * size + place);
}

__global__ void __launch_bounds__(gateThreads)
    unpackKernel(const LongscanMlstm call, const float* stored, float* state) {
  eachOfState(call, [&](int64_t, int64_t from, int64_t to) {
    if (to >= 0) state[to] = stored[from];
  });
}

__global__ void __launch_bounds__(gateThreads)
    packKernel(const LongscanMlstm call, const float* state, const float* m, int64_t mStride, float* stored) {
  eachOfState(call, [&](int64_t bh, int64_t to, int64_t from) {
    stored[to] = from >= 0 ? state[from] : m ? m[bh * mStride] : 0.0f;
  });
}

unsigned blocksFor(int64_t threads) {
  return static_cast<unsigned>((threads + gateThreads - 1) / gateThreads);
}

}  // namespace

cudaError_t launchGates(const GatesCall& to, cudaStream_t stream) {
  const LongscanMlstm& call = to.call;
  const MlstmPlan& plan = to.plan;
  const unsigned blocks = blocksFor(plan.heads * plan.numChunks);
  chunksKernel<<<blocks, gateThreads, 0, stream>>>(call, plan.numChunks, to.gates);
  if (to.known)
    knownBordersKernel<<<blocks, gateThreads, 0, stream>>>(call, plan.numChunks, to.gates, to.h0, to.m);
  else
    bordersKernel<<<static_cast<unsigned>(plan.heads), 32, 0, stream>>>(call, plan.numChunks, to.gates,
                                                                        to.h0);
  weightsKernel<<<blocks, gateThreads, 0, stream>>>(call, plan.numChunks, to.gates, to.m, to.known);
  segmentsKernel<<<blocksFor(plan.heads * plan.numSegments), gateThreads, 0, stream>>>(plan, call.H,
                                                                                       to.gates);
  return cudaGetLastError();
}

cudaError_t launchSliceFactor(const GatesCall& of, bool carried, float* factor, cudaStream_t stream) {
  sliceFactorKernel<<<blocksFor(of.plan.heads), gateThreads, 0, stream>>>(of.plan, of.call.H, of.gates,
                                                                          carried, factor);
  return cudaGetLastError();
}

cudaError_t launchSumGradients(const LongscanMlstm& call, const LongscanMlstmTokens& tokens, const void* dH,
                               float* inverse, float* sumGradient, cudaStream_t stream) {
  const unsigned blocks = blocksFor(32 * call.B * call.T * call.H);
  if (call.type == longscanElementBf16)
    sumGradientsKernel<<<blocks, gateThreads, 0, stream>>>(
        call, tokens, static_cast<const __nv_bfloat16*>(dH), inverse, sumGradient);
  else
    sumGradientsKernel<<<blocks, gateThreads, 0, stream>>>(call, tokens, static_cast<const float*>(dH),
                                                           inverse, sumGradient);
  return cudaGetLastError();
}

cudaError_t launchUnpackState(const LongscanMlstm& call, const float* stored, float* state,
                              cudaStream_t stream) {
  const unsigned blocks = blocksFor(call.B * call.H * (call.V + 1) * (call.K + 1));
  unpackKernel<<<blocks, gateThreads, 0, stream>>>(call, stored, state);
  return cudaGetLastError();
}

cudaError_t launchPackState(const LongscanMlstm& call, const float* state, const float* m, int64_t mStride,
                            float* stored, cudaStream_t stream) {
  const unsigned blocks = blocksFor(call.B * call.H * (call.V + 1) * (call.K + 1));
  packKernel<<<blocks, gateThreads, 0, stream>>>(call, state, m, mStride, stored);
  return cudaGetLastError();
}

}  // namespace longscan
