#include "cuda.h"

#include "../../cuda/elements.cuh"
#include "../../cuda/pack.cuh"

namespace longscan {

namespace {

constexpr float log2e = 1.44269504088896340736f;
constexpr unsigned allLanes = 0xffffffffu;

/// Σ exp(x - top) of some numbers, top being the largest of them.
struct ExpSum {
  float top, sum;

  template <int count>
  __device__ void add(const Pack<float, count>& some) {
    float larger = some.x[0];
#pragma unroll
    for (int j = 1; j < count; j++) larger = fmaxf(larger, some.x[j]);
    if (larger > top) {
      sum *= exp2f((top - larger) * log2e);
      top = larger;
    }
#pragma unroll
    for (int j = 0; j < count; j++) sum += exp2f((some.x[j] - top) * log2e);
  }
  __device__ void add(const ExpSum& other) {
    const float larger = fmaxf(top, other.top);
    // An empty sum has -inf as its top, and inf - inf is no number.
    const float factor = top == larger ? 1.0f : exp2f((top - larger) * log2e);
    const float otherFactor = other.top == larger ? 1.0f : exp2f((other.top - larger) * log2e);
    sum = sum * factor + other.sum * otherFactor;
    top = larger;
  }
};

__device__ ExpSum ofOtherLane(const ExpSum& own, int step) {
  return {__shfl_xor_sync(allLanes, own.top, step), __shfl_xor_sync(allLanes, own.sum, step)};
}

/// Of all threads of the block, the same in each; in a fixed order.
template <int threads>
__device__ ExpSum sumOfBlock(ExpSum own) {
  constexpr int warps = threads / 32;
  __shared__ ExpSum shares[warps];
#pragma unroll
  for (int step = 16; step > 0; step /= 2) {
    own.add(ofOtherLane(own, step));
  }
  if (threadIdx.x % 32 == 0) shares[threadIdx.x / 32] = own;
  __syncthreads();
  own = shares[threadIdx.x % warps];
#pragma unroll
  for (int step = warps / 2; step > 0; step /= 2) {
    own.add(ofOtherLane(own, step));
  }
  return own;
}

/// One block a row, which is read twice, the second time as a rule from the L2 cache. `width` neighbours are
/// read at once. Gradients of bf16 lie in front of the logits that are still to be read: 2 bytes of each 4.
template <int threads, int width, typename Gradient>
__global__ void __launch_bounds__(threads) softmaxLossKernel(const LongscanSoftmaxLoss call) {
  const int64_t vocab = call.vocab;
  float* logits = call.logits + blockIdx.x * vocab;
  auto* gradient = reinterpret_cast<Gradient*>(logits);
  const int32_t label = call.labels[blockIdx.x];
  const bool isIgnored = label == -1, isKnown = label >= 0 && label < vocab;

  ExpSum own{-INFINITY, 0.0f};
  if (!isIgnored) {
    for (int64_t i = threadIdx.x * width; i < vocab; i += threads * width) {
      own.add(loadPack<width>(logits + i));
    }
  }
  const ExpSum all = sumOfBlock<threads>(own);
  if (threadIdx.x == 0) {
    const double logSum = log(static_cast<double>(all.sum)) + all.top;
    call.rowLoss[blockIdx.x] = isIgnored ? 0.0 : isKnown ? logSum - logits[label] : NAN;
  }
  if (call.gradient == 0) return;
  const auto scale = static_cast<float>(call.scale[0]);
  // The gradient of a loss that is not a number is none either: no step is taken with it.
  const float factor = isKnown ? scale / all.sum : NAN;
  for (int64_t first = 0; first < vocab; first += threads * width) {
    const int64_t i = first + threadIdx.x * width;
    Pack<float, width> some{};
    if (i < vocab && !isIgnored) some = loadPack<width>(logits + i);
    // What follows overwrites only what every thread has read.
    __syncthreads();
    if (i >= vocab) continue;
    Pack<Gradient, width> result;
#pragma unroll
    for (int j = 0; j < width; j++) {
      float value = isIgnored ? 0.0f : factor * exp2f((some.x[j] - all.top) * log2e);
      if (i + j == label) value -= scale;
      result.x[j] = fromFloat<Gradient>(value);
    }
    storePack(gradient + i, result);
  }
}

template <int threads, int width>
cudaError_t launchSoftmaxLoss(const LongscanSoftmaxLoss& call, cudaStream_t stream) {
  const auto rows = static_cast<unsigned>(call.rows);
  if (call.gradientIsBf16) {
    softmaxLossKernel<threads, width, __nv_bfloat16><<<rows, threads, 0, stream>>>(call);
  } else {
    softmaxLossKernel<threads, width, float><<<rows, threads, 0, stream>>>(call);
  }
  return cudaGetLastError();
}

/// Bytes and characters are small vocabularies.
template <int width>
cudaError_t launchSoftmaxLoss(const LongscanSoftmaxLoss& call, cudaStream_t stream) {
  return call.vocab <= 2048 ? launchSoftmaxLoss<128, width>(call, stream)
                            : launchSoftmaxLoss<1024, width>(call, stream);
}

constexpr int sumThreads = 1024;

/// One block: a thread adds every 1024th, then those of all threads are added up.
__global__ void __launch_bounds__(sumThreads)
    sumLossKernel(const double* rowLoss, int64_t count, const double* scale, float* loss) {
  __shared__ double shares[sumThreads];
  double sum = 0.0;
#pragma unroll 4
  for (int64_t i = threadIdx.x; i < count; i += sumThreads) sum += rowLoss[i];
  shares[threadIdx.x] = sum;
  for (int half = sumThreads / 2; half > 0; half /= 2) {
    __syncthreads();
    if (threadIdx.x < half) shares[threadIdx.x] += shares[threadIdx.x + half];
  }
  if (threadIdx.x == 0) loss[0] = static_cast<float>(scale[0] * shares[0]);
}

template <typename Unit, typename Target>
struct ScaleBySeed {
  const float* seed;
  const Unit* unit;
  Target* target;
  bool accumulate, isInPlace;
  __device__ void operator()(int64_t i) const {
    const float factor = seed[0];
    if (isInPlace && factor == 1.0f) return;
    const float value = factor * load(unit, i);
    store(target, i, accumulate ? load(target, i) + value : value);
  }
};

}  // namespace

}  // namespace longscan

using namespace longscan;

int longscanSoftmaxLoss(const LongscanSoftmaxLoss* call, CUstream_st* stream) {
  if (call->rows == 0) return cudaSuccess;
  return call->vocab % 4 == 0 ? launchSoftmaxLoss<4>(*call, stream) : launchSoftmaxLoss<1>(*call, stream);
}

int longscanSumLoss(const double* rowLoss, int64_t count, const double* scale, float* loss,
                    CUstream_st* stream) {
  sumLossKernel<<<1, sumThreads, 0, stream>>>(rowLoss, count, scale, loss);
  return cudaGetLastError();
}

int longscanScaleBySeed(const LongscanScaleBySeed* call, CUstream_st* stream) {
  return withElement(call->unitIsBf16, [=](auto* noneOfUnit) {
    return withElement(call->targetIsBf16, [=](auto* noneOfTarget) {
      using Unit = std::remove_pointer_t<decltype(noneOfUnit)>;
      using Target = std::remove_pointer_t<decltype(noneOfTarget)>;
      const bool isInPlace = call->unit == call->target && !call->accumulate;
      const ScaleBySeed<Unit, Target> body{call->seed, static_cast<const Unit*>(call->unit),
                                           static_cast<Target*>(call->target), call->accumulate != 0,
                                           isInPlace};
      return forEachElement(call->count, body, stream);
    });
  });
}
