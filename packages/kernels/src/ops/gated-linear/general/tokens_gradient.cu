#include "cuda/pack.cuh"
#include "tokens.h"

namespace longscan {

namespace {

constexpr int chunk = 64;
constexpr int gradientThreads = 256;  // at least K

/// One thread a channel that decays by itself, of one segment.
__global__ void factorsKernel(const TokenFactorsCall call) {
  const bool ofChannels = call.decay == TokenDecay::contracted;
  const int channels = ofChannels ? call.K : 1, segment = blockIdx.x % call.numSegments;
  const int64_t bh = blockIdx.x / call.numSegments, b = bh / call.H, h = bh % call.H;
  const int64_t begin = segment * call.segmentTokens, end = min(begin + call.segmentTokens, call.T);
  for (int i = threadIdx.x; i < channels; i += blockDim.x) {
    float sum = 0.0f;
    bool starts = false;
    for (int64_t t = begin; t < end; t++) {
      const int64_t token = b * call.T + t;
      if (call.decay == TokenDecay::fixed) sum += call.g[h];
      if (call.decay == TokenDecay::scalar) sum += call.g[token * call.H + h];
      if (ofChannels) sum += call.g[(token * call.H + h) * call.K + i];
      starts = starts || (call.resets && call.resets[token] != 0);
    }
    call.factor[blockIdx.x * int64_t{channels} + i] = expf(sum);
    if (i == 0) call.reset[blockIdx.x] = starts;
  }
}

/// One block a chunk and head, one thread a key channel; sums over channels are always made in the same
/// order.
class TokenGradient {
  const TokenGradientCall& call;
  int64_t chunkNumber, numChunks, bh, b, h, first;
  int count, channel;

 public:
  __device__ explicit TokenGradient(const TokenGradientCall& call) : call(call) {
    numChunks = (call.T + chunk - 1) / chunk;
    chunkNumber = blockIdx.x % numChunks;
    bh = blockIdx.x / numChunks;
    b = bh / call.H;
    h = bh % call.H;
    first = chunkNumber * chunk;
    count = static_cast<int>(min(static_cast<int64_t>(chunk), call.T - first));
    channel = threadIdx.x;
  }

  /// `values`: dO . v of each token; `sums`: one number a warp.
  __device__ void run(float (&values)[chunk], float (&sums)[gradientThreads / 32]) {
    if (call.weight) multiplyValues(values);
    __syncthreads();
    const bool own = channel < call.K, exclusive = call.weight != nullptr;
    const float weight = exclusive && own ? call.weight[h * call.K + channel] : 0.0f;
    float behind = 0.0f, share = 0.0f;
    if (call.dg && own) behind = call.ends[(bh * numChunks + chunkNumber) * call.K + channel];
    for (int i = count - 1; i >= 0; i--) {
      const int64_t token = b * call.T + first + i;
      const bool fresh = call.resets && call.resets[token] != 0;
      float queryTerm = 0.0f, keyTerm = 0.0f;
      if (own) {
        const int64_t place = (token * call.H + h) * call.K + channel;
        const int64_t sharedPlace = (token * call.G + h / (call.H / call.G)) * call.K + channel;
        const float q = load(call.q, sharedPlace), k = load(call.k, sharedPlace);
        const float dq = call.sweptQuery[place], dk = call.sweptKey[place];
        const float itself = exclusive ? values[i] * weight : 0.0f;
        store(call.dq, place, dq + itself * k);
        store(call.dk, place, dk + itself * q);
        if (exclusive) share += values[i] * q * k;
        queryTerm = q * dq;
        keyTerm = k * dk;
      }
      // A token's read meets its own decay only where it comes after it.
      const float gradient = behind + (exclusive ? 0.0f : queryTerm) - keyTerm;
      if (call.dg) storeDecay(token, fresh || (call.fromZero && first + i == 0) ? 0.0f : gradient, sums);
      behind = fresh ? 0.0f : behind + queryTerm - keyTerm;
    }
    if (exclusive && own) call.weightShares[(chunkNumber * call.B * call.H + bh) * call.K + channel] = share;
  }

 private:
  __device__ float load(const void* from, int64_t place) const {
    return call.f32 ? static_cast<const float*>(from)[place]
                    : toFloat(static_cast<const __nv_bfloat16*>(from)[place]);
  }
  __device__ void store(void* to, int64_t place, float value) const {
    if (call.f32)
      static_cast<float*>(to)[place] = value;
    else
      static_cast<__nv_bfloat16*>(to)[place] = fromFloat<__nv_bfloat16>(value);
  }

  __device__ static float sumOverWarp(float x) {
#pragma unroll
    for (int distance = 16; distance > 0; distance /= 2) x += __shfl_xor_sync(~0u, x, distance);
    return x;
  }

  __device__ void multiplyValues(float (&values)[chunk]) const {
    for (int i = threadIdx.x / 32; i < count; i += gradientThreads / 32) {
      const int64_t row = ((b * call.T + first + i) * call.H + h) * call.V;
      float sum = 0.0f;
      for (int c = threadIdx.x & 31; c < call.V; c += 32)
        sum += load(call.v, row + c) * load(call.dO, row + c);
      sum = sumOverWarp(sum);
      if ((threadIdx.x & 31) == 0) values[i] = call.scale * sum;
    }
  }

  __device__ void storeDecay(int64_t token, float gradient, float (&sums)[gradientThreads / 32]) const {
    if (call.diagonal) {
      if (channel < call.K) call.dg[(token * call.H + h) * call.K + channel] = gradient;
      return;
    }
    const float sum = sumOverWarp(channel < call.K ? gradient : 0.0f);
    if ((threadIdx.x & 31) == 0) sums[threadIdx.x / 32] = sum;
    __syncthreads();
    if (threadIdx.x == 0) {
      float all = 0.0f;
#pragma unroll
      for (int i = 0; i < gradientThreads / 32; i++) all += sums[i];
      call.dg[token * call.H + h] = all;
    }
    __syncthreads();
  }
};

__global__ void __launch_bounds__(gradientThreads)
    tokenGradientKernel(const __grid_constant__ TokenGradientCall call) {
  __shared__ float values[chunk], sums[gradientThreads / 32];
  TokenGradient(call).run(values, sums);
}

}  // namespace

cudaError_t launchTokenFactors(const TokenFactorsCall& call, cudaStream_t stream) {
  const auto blocks = static_cast<unsigned>(call.B * call.H * call.numSegments);
  factorsKernel<<<blocks, call.decay == TokenDecay::contracted ? 256 : 32, 0, stream>>>(call);
  return cudaGetLastError();
}

cudaError_t launchTokenGradient(const TokenGradientCall& call, cudaStream_t stream) {
  const int64_t blocks = call.B * call.H * ((call.T + chunk - 1) / chunk);
  tokenGradientKernel<<<static_cast<unsigned>(blocks), gradientThreads, 0, stream>>>(call);
  return cudaGetLastError();
}

}  // namespace longscan
