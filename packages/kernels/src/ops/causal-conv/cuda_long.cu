#include "cuda_long.h"

#include "cuda_taps.cuh"

namespace longscan {

namespace {

using Bf16 = __nv_bfloat16;

/// A block has 32 channels and eight threads for each, a thread so many neighbouring tokens.
constexpr int channelsOfBlock = 32, threadsOfChannel = 8, tokensOfThread = 8;
constexpr int tokensOfBlock = threadsOfChannel * tokensOfThread;

__global__ void __launch_bounds__(256) reachKernel(const LongscanCausalConv call, int32_t* reach) {
  const int64_t at = static_cast<int64_t>(blockIdx.x) * 256 + threadIdx.x;
  if (at >= call.B * call.T) return;
  const int64_t t = at % call.T;
  int tokens = 0;
  for (; tokens < call.W - 1; tokens++) {
    const bool starts = t - tokens >= 0 && call.resets && call.resets[at - tokens];
    if (starts || (t - tokens <= 0 && !call.halo)) break;
  }
  reach[at] = tokens;
}

/// What a thread needs of a sequence.
template <typename Element>
struct Sequence {
  int64_t T, D, channel;
  int W;
  const Element *x, *halo;  // at the channel
  const int32_t* reach;

  __device__ Sequence(const LongscanCausalConv& call, const int32_t* reach, int64_t b, int64_t channel)
      : T(call.T),
        D(call.D),
        channel(channel),
        W(call.W),
        x(static_cast<const Element*>(call.x) + b * T * D + channel),
        halo(call.halo ? static_cast<const Element*>(call.halo) + b * (W - 1) * D + channel : nullptr),
        reach(reach + b * T) {}

  /// x of a token, or of one of the W - 1 before the first.
  __device__ float at(int64_t t) const {
    if (t >= 0) return t < T ? toFloat(x[t * D]) : 0.0f;
    return halo && t > -W ? toFloat(halo[(t + W - 1) * D]) : 0.0f;
  }
};

/// The block's taps, the one for j tokens before at [j][channel].
__device__ inline void loadTaps(const LongscanCausalConv& call, const float* taps, int64_t first,
                                float* memory) {
  for (int i = threadIdx.x; i < call.W * channelsOfBlock; i += blockDim.x) {
    const int64_t channel = first + i % channelsOfBlock;
    const int j = i / channelsOfBlock;
    memory[i] = channel < call.D ? taps[(call.W - 1 - j) * call.D + channel] : 0.0f;
  }
  __syncthreads();
}

/// Of a thread's tokens from `first` on, the sums before the activation.
template <typename Element>
__device__ void sumsOf(const Sequence<Element>& sequence, const float* taps, float bias, int64_t first,
                       float (&sums)[tokensOfThread]) {
  int reach[tokensOfThread];
#pragma unroll
  for (int i = 0; i < tokensOfThread; i++) {
    sums[i] = bias;
    reach[i] = first + i < sequence.T ? sequence.reach[first + i] : -1;
  }
  for (int64_t p = first - (sequence.W - 1); p < first + tokensOfThread; p++) {
    const float x = sequence.at(p);
#pragma unroll
    for (int i = 0; i < tokensOfThread; i++) {
      const int64_t j = first + i - p;
      if (j >= 0 && j <= reach[i]) sums[i] = fmaf(taps[j * channelsOfBlock], x, sums[i]);
    }
  }
}

/// y, or with `dy` its gradient before the activation, dz.
template <bool backward, typename Element>
__global__ void __launch_bounds__(channelsOfBlock* threadsOfChannel)
    sumsKernel(const LongscanCausalConv call, const float* taps, const int32_t* reach, const Element* dy,
               Element* y, float* dz) {
  extern __shared__ float memory[];
  const int64_t firstChannel = static_cast<int64_t>(blockIdx.y) * channelsOfBlock;
  loadTaps(call, taps, firstChannel, memory);
  const int lane = threadIdx.x % channelsOfBlock;
  const int64_t channel = firstChannel + lane, b = blockIdx.z;
  const int64_t first = static_cast<int64_t>(blockIdx.x) * tokensOfBlock +
                        static_cast<int64_t>(threadIdx.x / channelsOfBlock) * tokensOfThread;
  if (channel >= call.D || first >= call.T) return;
  float sums[tokensOfThread] = {};
  if (!backward || call.silu)
    sumsOf(Sequence<Element>(call, reach, b, channel), memory + lane, taps[call.W * call.D + channel], first,
           sums);
#pragma unroll
  for (int i = 0; i < tokensOfThread; i++) {
    if (first + i >= call.T) break;
    const int64_t at = (b * call.T + first + i) * call.D + channel;
    const float s = call.silu ? sigmoid(sums[i]) : 1.0f;
    if (backward)
      dz[at] = toFloat(dy[at]) * (call.silu ? s * (1.0f + sums[i] * (1.0f - s)) : 1.0f);
    else
      y[at] = fromFloat<Element>(sums[i] * s);
  }
}

/// dx of tokens, and of the W - 1 before the first ones.
template <typename Element>
__global__ void __launch_bounds__(channelsOfBlock* threadsOfChannel)
    inputGradientKernel(const LongscanCausalConv call, const float* taps, const int32_t* reach,
                        const float* dz, Element* dx, Element* dHalo) {
  extern __shared__ float memory[];
  const int64_t firstChannel = static_cast<int64_t>(blockIdx.y) * channelsOfBlock;
  loadTaps(call, taps, firstChannel, memory);
  const int lane = threadIdx.x % channelsOfBlock;
  const int64_t channel = firstChannel + lane, b = blockIdx.z;
  const int64_t before = dHalo ? call.W - 1 : 0;
  const int64_t first = static_cast<int64_t>(blockIdx.x) * tokensOfBlock +
                        static_cast<int64_t>(threadIdx.x / channelsOfBlock) * tokensOfThread - before;
  if (channel >= call.D || first >= call.T) return;
  float sums[tokensOfThread] = {};
  const int64_t last = min(first + tokensOfThread - 1 + call.W - 1, call.T - 1);
  for (int64_t t = max(first, int64_t{0}); t <= last; t++) {
    const float gradient = dz[(b * call.T + t) * call.D + channel];
    const int seen = reach[b * call.T + t];
#pragma unroll
    for (int i = 0; i < tokensOfThread; i++) {
      const int64_t j = t - first - i;
      if (j >= 0 && j <= seen) sums[i] = fmaf(memory[j * channelsOfBlock + lane], gradient, sums[i]);
    }
  }
#pragma unroll
  for (int i = 0; i < tokensOfThread; i++) {
    const int64_t p = first + i;
    if (p >= call.T) break;
    Element* const row =
        p >= 0 ? dx + (b * call.T + p) * call.D : dHalo + (b * (call.W - 1) + p + call.W - 1) * call.D;
    row[channel] = fromFloat<Element>(sums[i]);
  }
}

/// Taps of a thread in the pass over a run of tokens.
constexpr int tapsOfThread = 8;

template <typename Element>
__global__ void __launch_bounds__(256) tapSharesKernel(const LongscanCausalConv call, const int32_t* reach,
                                                       const float* dz, const ConvShares to) {
  const int64_t channel = static_cast<int64_t>(blockIdx.x) * 256 + threadIdx.x;
  const int firstTap = static_cast<int>(blockIdx.y) * tapsOfThread;  // tokens before
  const int64_t run = blockIdx.z, runs = (call.T + longConvRunTokens - 1) / longConvRunTokens, b = run / runs;
  if (channel >= call.D) return;
  const Sequence<Element> sequence(call, reach, b, channel);
  const int64_t begin = run % runs * longConvRunTokens, end = min(begin + longConvRunTokens, call.T);
  float window[tapsOfThread];  // x, so many tokens before the first tap's
#pragma unroll
  for (int i = 0; i < tapsOfThread; i++) window[i] = sequence.at(begin - 1 - firstTap - i);
  float shares[tapsOfThread] = {}, bias = 0.0f;
  for (int64_t t = begin; t < end; t++) {
#pragma unroll
    for (int i = tapsOfThread - 1; i > 0; i--) window[i] = window[i - 1];
    window[0] = sequence.at(t - firstTap);
    const float gradient = dz[(b * call.T + t) * call.D + channel];
    const int seen = sequence.reach[t];
    bias += gradient;
#pragma unroll
    for (int i = 0; i < tapsOfThread; i++)
      if (firstTap + i <= seen) shares[i] = fmaf(gradient, window[i], shares[i]);
  }
#pragma unroll
  for (int i = 0; i < tapsOfThread; i++) {
    const int j = firstTap + i;
    if (j < call.W) to.taps[(run * call.W + call.W - 1 - j) * call.D + channel] = shares[i];
  }
  if (firstTap == 0) to.bias[run * call.D + channel] = bias;
}

cudaError_t launchReach(const LongscanCausalConv& call, int32_t* reach, cudaStream_t stream) {
  reachKernel<<<static_cast<unsigned>((call.B * call.T + 255) / 256), 256, 0, stream>>>(call, reach);
  return cudaGetLastError();
}

dim3 gridFor(const LongscanCausalConv& call, int64_t tokens) {
  return dim3(static_cast<unsigned>((tokens + tokensOfBlock - 1) / tokensOfBlock),
              static_cast<unsigned>((call.D + channelsOfBlock - 1) / channelsOfBlock),
              static_cast<unsigned>(call.B));
}

template <typename Element>
cudaError_t gradient(const LongscanCausalConv& call, const LongConvWorkspace& work,
                     const LongscanCausalConvBackward& io, cudaStream_t stream) {
  constexpr int threads = channelsOfBlock * threadsOfChannel;
  const size_t bytes = sizeof(float) * static_cast<size_t>(call.W * channelsOfBlock);
  auto* const dHalo = static_cast<Element*>(call.halo ? io.dHalo : nullptr);
  sumsKernel<true, Element><<<gridFor(call, call.T), threads, bytes, stream>>>(
      call, work.taps, work.reach, static_cast<const Element*>(io.dy), nullptr, work.dz);
  inputGradientKernel<Element><<<gridFor(call, call.T + (dHalo ? call.W - 1 : 0)), threads, bytes, stream>>>(
      call, work.taps, work.reach, work.dz, static_cast<Element*>(io.dx), dHalo);
  const dim3 grid(static_cast<unsigned>((call.D + 255) / 256),
                  static_cast<unsigned>((call.W + tapsOfThread - 1) / tapsOfThread),
                  static_cast<unsigned>(work.shares.runs));
  tapSharesKernel<Element><<<grid, 256, 0, stream>>>(call, work.reach, work.dz, work.shares);
  return cudaGetLastError();
}

template <typename Element>
cudaError_t forward(const LongscanCausalConv& call, const LongConvWorkspace& work, void* y,
                    cudaStream_t stream) {
  const size_t bytes = sizeof(float) * static_cast<size_t>(call.W * channelsOfBlock);
  sumsKernel<false, Element><<<gridFor(call, call.T), channelsOfBlock * threadsOfChannel, bytes, stream>>>(
      call, work.taps, work.reach, nullptr, static_cast<Element*>(y), nullptr);
  return cudaGetLastError();
}

}  // namespace

cudaError_t launchLongConv(const LongscanCausalConv& call, const LongConvWorkspace& work, void* y,
                           cudaStream_t stream) {
  const cudaError_t error = launchReach(call, work.reach, stream);
  if (error) return error;
  return call.type == longscanElementBf16 ? forward<Bf16>(call, work, y, stream)
                                          : forward<float>(call, work, y, stream);
}

cudaError_t launchLongConvGradient(const LongscanCausalConv& call, const LongConvWorkspace& work,
                                   const LongscanCausalConvBackward& io, cudaStream_t stream) {
  const cudaError_t error = launchReach(call, work.reach, stream);
  if (error) return error;
  return call.type == longscanElementBf16 ? gradient<Bf16>(call, work, io, stream)
                                          : gradient<float>(call, work, io, stream);
}

}  // namespace longscan
