#include "tokens.h"

#include "cuda/pack.cuh"

namespace longscan {

namespace {

constexpr int tokenThreads = 256;
constexpr int channelLanes = 4;                           // lanes that share a free channel
constexpr int freeOfBlock = tokenThreads / channelLanes;  // free channels of a block
constexpr int stageTokens = 16, chunk = 64;

/// Inputs of some tokens in shared memory.
template <int DC>
struct TokenStage {
  float x[stageTokens][DC], y[stageTokens][DC], decay[stageTokens][DC];
  float z[stageTokens][freeOfBlock], freeDecay[stageTokens][freeOfBlock];
  float scalarDecay[stageTokens];
  int fresh[stageTokens];
  float weight[DC];
};

/// One block: a segment of a head, 64 of its free channels. Lane l of four has the contracted channels 16 j +
/// 4 l + i of one.
template <int DC, TokenDecay decay, TokenOrder order>
class TokenSweep {
  static constexpr int groups = DC / 16;
  const TokensCall& call;
  TokenStage<DC>& stage;
  int tiles, tile, segment, h;
  int64_t bh, b;
  float P[groups][4];

 public:
  __device__ TokenSweep(const TokensCall& call, TokenStage<DC>& stage) : call(call), stage(stage) {
    tiles = (call.free + freeOfBlock - 1) / freeOfBlock;
    tile = blockIdx.x % tiles;
    segment = blockIdx.x / tiles % call.numSegments;
    bh = blockIdx.x / tiles / call.numSegments;
    b = bh / call.H;
    h = static_cast<int>(bh % call.H);
  }

  __device__ void run() {
    const int64_t begin = segment * call.segmentTokens, end = min(begin + call.segmentTokens, call.T);
    enter();
    for (int i = threadIdx.x; i < DC; i += tokenThreads)
      stage.weight[i] = call.weight && i < call.contracted ? call.weight[h * call.contracted + i] : 0.0f;
    const int64_t numStages = (end - begin + stageTokens - 1) / stageTokens;
    for (int64_t i = 0; i < numStages; i++) {
      const int64_t first = begin + (call.backward ? numStages - 1 - i : i) * stageTokens;
      const int count = static_cast<int>(min(static_cast<int64_t>(stageTokens), end - first));
      const bool closesChunk = (first + stageTokens) % chunk == 0 || first + count == end;
      __syncthreads();
      fill(first, count);
      __syncthreads();
      if (closesChunk && call.keptForward) meetKept(first / chunk);
      for (int step = 0; step < count; step++) advance(first, call.backward ? count - 1 - step : step);
      if (closesChunk && call.kept) keep(first / chunk);
    }
    leave();
  }

 private:
  __device__ int channel() const { return tile * freeOfBlock + threadIdx.x / channelLanes; }
  __device__ int lane() const { return threadIdx.x % channelLanes; }
  __device__ int64_t stateSize() const { return int64_t{call.contracted} * call.free; }

  /// visit(element, its place in a stored state) for those that exist
  template <typename Visit>
  __device__ void eachStored(Visit&& visit) {
    if (channel() >= call.free) return;
#pragma unroll
    for (int j = 0; j < groups; j++)
#pragma unroll
      for (int i = 0; i < 4; i++) {
        const int c = 16 * j + 4 * lane() + i;
        if (c < call.contracted)
          visit(P[j][i], call.freeIsKey ? c * call.free + channel() : channel() * call.contracted + c);
      }
  }

  __device__ void clear() {
#pragma unroll
    for (int j = 0; j < groups; j++)
#pragma unroll
      for (int i = 0; i < 4; i++) P[j][i] = 0.0f;
  }

  __device__ void enter() {
    clear();
    if (call.states == nullptr) return;
    const float* from = call.states + (bh * call.numSegments + segment) * stateSize();
    eachStored([&](float& value, int place) { value = from[place]; });
  }

  __device__ void leave() {
    const bool isLast = segment == (call.backward ? 0 : call.numSegments - 1);
    if (call.last == nullptr || !(call.lastOfEach || isLast)) return;
    float* to = call.last + (call.lastOfEach ? bh * call.numSegments + segment : bh) * stateSize();
    eachStored([&](float& value, int place) { to[place] = value; });
  }

  __device__ int64_t placeOf(int64_t token, int heads, int channels) const {
    return ((b * call.T + token) * heads + h / (call.H / heads)) * channels;
  }

  __device__ Pack<float, 4> loadFour(const void* data, int64_t place) const {
    if (call.f32) return loadPack<4>(static_cast<const float*>(data) + place);
    const Pack<__nv_bfloat16, 4> from = loadPack<4>(static_cast<const __nv_bfloat16*>(data) + place);
    return {{toFloat(from.x[0]), toFloat(from.x[1]), toFloat(from.x[2]), toFloat(from.x[3])}};
  }

  /// Columns [first, first + width) of rows of `channels`, zeros where there are none.
  template <int width>
  __device__ void fillRows(float (*to)[width], TokenRows rows, int channels, int first, int64_t token,
                           int count, float factor) {
    for (int i = threadIdx.x; i < count * (width / 4); i += tokenThreads) {
      const int row = i / (width / 4), column = i % (width / 4) * 4;
      const int64_t place = placeOf(token + row, rows.heads, channels) + first + column;
      const bool exists = first + column < channels;
      const Pack<float, 4> from = exists ? loadFour(rows.data, place) : Pack<float, 4>{};
#pragma unroll
      for (int e = 0; e < 4; e++) to[row][column + e] = factor * from.x[e];
    }
  }

  template <int width>
  __device__ void fillDecays(float (*to)[width], int channels, int first, int64_t token, int count) {
    for (int i = threadIdx.x; i < count * width; i += tokenThreads) {
      const int row = i / width, column = first + i % width;
      to[row][i % width] =
          column < channels ? expf(call.g[placeOf(token + row, call.H, channels) + column]) : 1.0f;
    }
  }

  __device__ void fill(int64_t token, int count) {
    const int firstFree = tile * freeOfBlock;
    if (call.x.data) fillRows<DC>(stage.x, call.x, call.contracted, 0, token, count, 1.0f);
    fillRows<DC>(stage.y, call.y, call.contracted, 0, token, count, 1.0f);
    fillRows<freeOfBlock>(stage.z, call.z, call.free, firstFree, token, count, call.zScale);
    if (decay == TokenDecay::contracted) fillDecays<DC>(stage.decay, call.contracted, 0, token, count);
    if (decay == TokenDecay::free)
      fillDecays<freeOfBlock>(stage.freeDecay, call.free, firstFree, token, count);
    if (threadIdx.x >= count) return;
    const int row = threadIdx.x;
    const float gate = call.decay == TokenDecay::fixed    ? call.g[h]
                       : call.decay == TokenDecay::scalar ? call.g[placeOf(token + row, call.H, 1)]
                                                          : 0.0f;
    stage.scalarDecay[row] = expf(gate);
    stage.fresh[row] = call.resets && call.resets[b * call.T + token + row] != 0;
  }

  __device__ void advance(int64_t first, int row) {
    const bool fresh = stage.fresh[row] != 0;
    if (fresh && !call.backward) clear();
    const int own = threadIdx.x / channelLanes;
    const float z = stage.z[row][own];
    const float a = decay == TokenDecay::free ? stage.freeDecay[row][own] : stage.scalarDecay[row];
    float read = 0.0f, self = 0.0f;
#pragma unroll
    for (int j = 0; j < groups; j++) {
      const int c = 16 * j + 4 * lane();
      const Pack<float, 4> x = loadPack<4>(&stage.x[row][c]), y = loadPack<4>(&stage.y[row][c]);
      Pack<float, 4> decays, weight;
      if (decay == TokenDecay::contracted) decays = loadPack<4>(&stage.decay[row][c]);
      if (order == TokenOrder::readDecayWrite) weight = loadPack<4>(&stage.weight[c]);
#pragma unroll
      for (int i = 0; i < 4; i++) {
        const float factor = decay == TokenDecay::contracted ? decays.x[i] : a;
        float& p = P[j][i];
        if (order == TokenOrder::readDecayWrite) {
          read += x.x[i] * p;
          self += x.x[i] * y.x[i] * weight.x[i];
        }
        if (order == TokenOrder::writeReadDecay) {
          p += y.x[i] * z;
          read += x.x[i] * p;
          p *= factor;
        } else {
          p = factor * p + y.x[i] * z;
        }
        if (order == TokenOrder::decayWriteRead) read += x.x[i] * p;
      }
    }
    if (fresh && call.backward) clear();
    if (call.x.data) store(first + row, read + self * z);
  }

  __device__ void store(int64_t token, float value) const {
#pragma unroll
    for (int distance = 1; distance < channelLanes; distance *= 2)
      value += __shfl_xor_sync(~0u, value, distance);
    if (lane() != 0 || channel() >= call.free) return;
    const int64_t place = placeOf(token, call.H, call.free) + channel();
    if (call.f32 || call.f32Out)
      static_cast<float*>(call.out)[place] = call.outScale * value;
    else
      static_cast<__nv_bfloat16*>(call.out)[place] = fromFloat<__nv_bfloat16>(call.outScale * value);
  }

  __device__ int64_t keptPlace(int64_t chunkNumber) const {
    const int64_t chunks = (call.T + chunk - 1) / chunk;
    return ((bh * chunks + chunkNumber) * tiles + tile) * (4 * groups * tokenThreads) + 4 * threadIdx.x;
  }

  __device__ void keep(int64_t chunkNumber) const {
    float* to = call.kept + keptPlace(chunkNumber);
#pragma unroll
    for (int j = 0; j < groups; j++)
      storePack(to + j * 4 * tokenThreads, Pack<float, 4>{{P[j][0], P[j][1], P[j][2], P[j][3]}});
  }

  __device__ void meetKept(int64_t chunkNumber) const {
    const float* from = call.keptForward + keptPlace(chunkNumber);
    float sum = 0.0f;
#pragma unroll
    for (int j = 0; j < groups; j++) {
      const Pack<float, 4> kept = loadPack<4>(from + j * 4 * tokenThreads);
#pragma unroll
      for (int i = 0; i < 4; i++) sum += kept.x[i] * P[j][i];
    }
#pragma unroll
    for (int distance = 1; distance < channelLanes; distance *= 2) sum += __shfl_xor_sync(~0u, sum, distance);
    const int64_t chunks = (call.T + chunk - 1) / chunk;
    if (lane() == 0 && channel() < call.free)
      call.ends[(bh * chunks + chunkNumber) * call.free + channel()] = sum;
  }
};

template <int DC, TokenDecay decay, TokenOrder order>
__global__ void __launch_bounds__(tokenThreads) tokensKernel(const __grid_constant__ TokensCall call) {
  extern __shared__ __align__(16) unsigned char shared[];
  TokenSweep<DC, decay, order>(call, *reinterpret_cast<TokenStage<DC>*>(shared)).run();
}

template <int DC, TokenDecay decay, TokenOrder order>
cudaError_t launchKernel(const TokensCall& call, cudaStream_t stream) {
  constexpr int bytes = sizeof(TokenStage<DC>);
  const auto kernel = tokensKernel<DC, decay, order>;
  const cudaError_t error = cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, bytes);
  if (error != cudaSuccess) return error;
  const int64_t blocks = call.B * call.H * call.numSegments * ((call.free + freeOfBlock - 1) / freeOfBlock);
  kernel<<<static_cast<unsigned>(blocks), tokenThreads, bytes, stream>>>(call);
  return cudaGetLastError();
}

template <int DC, TokenDecay decay>
cudaError_t launchOfDecay(const TokensCall& call, cudaStream_t stream) {
  switch (call.order) {
    case TokenOrder::decayWriteRead:
      return launchKernel<DC, decay, TokenOrder::decayWriteRead>(call, stream);
    case TokenOrder::writeReadDecay:
      return launchKernel<DC, decay, TokenOrder::writeReadDecay>(call, stream);
    case TokenOrder::readDecayWrite:
      return launchKernel<DC, decay, TokenOrder::readDecayWrite>(call, stream);
  }
  return cudaErrorInvalidValue;
}

/// Decays that are not of channels are one number a token: `scalar` stands for all of them.
template <int DC>
cudaError_t launchOfSize(const TokensCall& call, cudaStream_t stream) {
  if (call.decay == TokenDecay::free) return launchOfDecay<DC, TokenDecay::free>(call, stream);
  if constexpr (DC <= 256)
    if (call.decay == TokenDecay::contracted) return launchOfDecay<DC, TokenDecay::contracted>(call, stream);
  return launchOfDecay<DC, TokenDecay::scalar>(call, stream);
}

int paddedTokenChannels(int channels) {
  return channels <= 128 ? 128 : channels <= 256 ? 256 : 512;
}

}  // namespace

int64_t keptTokenNumbers(int64_t B, int64_t T, int H, int contracted, int free) {
  const int64_t tiles = (free + freeOfBlock - 1) / freeOfBlock, chunks = (T + chunk - 1) / chunk;
  return B * H * chunks * tiles * freeOfBlock * paddedTokenChannels(contracted);
}

cudaError_t launchTokens(const TokensCall& call, cudaStream_t stream) {
  switch (paddedTokenChannels(call.contracted)) {
    case 128:
      return launchOfSize<128>(call, stream);
    case 256:
      return launchOfSize<256>(call, stream);
    default:
      return launchOfSize<512>(call, stream);
  }
}

}  // namespace longscan
