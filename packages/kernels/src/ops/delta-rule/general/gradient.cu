#include "gradient.h"

#include "cuda/pack.cuh"

namespace longscan {

namespace {

__device__ float sumOfWarp(float value) {
#pragma unroll
  for (int distance = 16; distance > 0; distance /= 2) value += __shfl_xor_sync(~0u, value, distance);
  return value;
}

/// A warp: 64 tokens of a head, in order; lane l has the channels l + 32 j. dlog a is S * (a D), summed over
/// V, and S * D is followed from token to token by what is read and written of it.
template <int numOwn>
class GradientTokens {
  const DeltaGeneralGradientCall& call;
  const DeltaShape& shape;
  int64_t b, bh;
  int h, lane;
  float product[numOwn];

 public:
  __device__ explicit GradientTokens(const DeltaGeneralGradientCall& call) : call(call), shape(call.shape) {}

  __device__ void run(int64_t warp) {
    const int64_t chunks = (shape.T + deltaGateTokens - 1) / deltaGateTokens;
    const int64_t first = warp % chunks * deltaGateTokens;
    bh = warp / chunks;
    if (bh >= shape.B * shape.H) return;
    b = bh / shape.H;
    h = static_cast<int>(bh % shape.H);
    lane = threadIdx.x % 32;
    each([&](int j, int c) { product[j] = call.decay ? call.meets[warp * shape.K + c] : 0.0f; });
    for (int64_t t = first; t < min(first + deltaGateTokens, shape.T); t++) token(t);
  }

 private:
  template <typename Visit>
  __device__ void each(Visit&& visit) {
#pragma unroll
    for (int j = 0; j < numOwn; j++)
      if (lane + 32 * j < shape.K) visit(j, lane + 32 * j);
  }

  __device__ void put(void* to, int64_t place, float value) const {
    if (to == nullptr) return;
    if (call.isBf16)
      static_cast<__nv_bfloat16*>(to)[place] = fromFloat<__nv_bfloat16>(value);
    else
      static_cast<float*>(to)[place] = value;
  }

  __device__ void token(int64_t t) {
    const int64_t token = (b * shape.T + t) * shape.H + h;
    if (shape.resets && shape.resets[b * shape.T + t] != 0) each([&](int j, int) { product[j] = 0.0f; });
    write(token);
    each([&](int j, int c) {
      const float after = call.after ? call.after[token * shape.K + c] : 0.0f;
      put(call.dq, token * shape.K + c, after);
      if (call.decay) product[j] -= call.keyReads.data[token * call.keyReads.pitch + c] * after;
    });
  }

  /// Gradients of what a token erases and writes.
  __device__ void write(int64_t token) {
    const bool byKey = shape.erase == longscanDeltaEraseKey;
    const float beta = shape.beta ? shape.beta[token] : 1.0f;
    float dbeta = 0.0f, dg = 0.0f;
    each([&](int j, int c) {
      const int64_t place = token * shape.K + c;
      const float before = call.before[place], dWrite = call.dWrite[place];
      const float k = call.k.data[token * call.k.pitch + c];
      put(call.dk, place, beta * dWrite + (byKey ? before : 0.0f));
      put(call.db, place, before);
      dbeta += k * dWrite;
      if (shape.erase == longscanDeltaEraseDplr) put(call.de, place, call.dExtra[place]);
      if (call.decay) {
        const float erased = before * (byKey ? k : call.b.data[token * call.b.pitch + c]);
        // The erase key a * k holds the decay once more.
        const float own = byKey ? product[j] : product[j] - erased;
        if (call.decay == longscanDeltaDecayDiagonal) call.dg[place] = own;
        dg += own;
        product[j] += beta * k * dWrite - erased;
        if (shape.erase == longscanDeltaEraseDplr)
          product[j] += call.e.data[token * call.e.pitch + c] * call.dExtra[place];
      }
    });
    if (call.dbeta) {
      dbeta = sumOfWarp(dbeta);
      if (lane == 0) call.dbeta[token] = dbeta;
    }
    if (call.decay == longscanDeltaDecayScalar) {
      dg = sumOfWarp(dg);
      if (lane == 0) call.dg[token] = dg;
    }
  }
};

constexpr int gradientWarps = 4;

template <int numOwn>
__global__ void __launch_bounds__(32 * gradientWarps)
    gradientTokensKernel(const __grid_constant__ DeltaGeneralGradientCall call) {
  GradientTokens<numOwn>(call).run(int64_t{blockIdx.x} * gradientWarps + threadIdx.x / 32);
}

}  // namespace

cudaError_t launchDeltaGeneralGradient(const DeltaGeneralGradientCall& call, cudaStream_t stream) {
  const DeltaShape& shape = call.shape;
  const int64_t warps = shape.B * shape.H * ((shape.T + deltaGateTokens - 1) / deltaGateTokens);
  const auto blocks = static_cast<unsigned>((warps + gradientWarps - 1) / gradientWarps);
  const auto kernel = shape.K <= 32    ? gradientTokensKernel<1>
                      : shape.K <= 64  ? gradientTokensKernel<2>
                      : shape.K <= 128 ? gradientTokensKernel<4>
                                       : gradientTokensKernel<8>;
  kernel<<<blocks, 32 * gradientWarps, 0, stream>>>(call);
  return cudaGetLastError();
}

}  // namespace longscan
