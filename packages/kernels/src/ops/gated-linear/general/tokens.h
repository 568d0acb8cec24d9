#pragma once

#include <cuda_runtime.h>

#include "../slice.h"

namespace longscan {

/// Where a token's decay acts, seen from the state P [contracted, free] that a sweep keeps.
enum class TokenDecay : int { none, fixed, scalar, contracted, free };

/// When a token reads P, decays it and writes to it.
enum class TokenOrder : int {
  decayWriteRead,  // with time
  writeReadDecay,  // against time
  readDecayWrite   // either way, of a recurrence that reads before it writes
};

/// [B, T, heads, channels]; H / heads heads in succession share one.
struct TokenRows {
  const void* data;
  int heads;
};

/// A sweep in f32, token by token: out_t = outScale * (P^T x_t + sum_c x_t y_t weight_c * z_t), P = a_t P +
/// zScale * y_t z_t^T. As in SweepTask, (x, y, z) = (q, k, v) gives o, and so on.
struct TokensCall {
  int64_t B, T;
  int H, contracted, free;
  bool f32;  // the type of x, y, z and out, else bf16
  TokenDecay decay;
  TokenOrder order;
  bool backward;  // against time
  TokenRows x;    // null: only the states are wanted
  TokenRows y, z;
  float outScale, zScale;
  const float* g;         // log decays
  const float* weight;    // [H, contracted] or null
  const int32_t* resets;  // [B, T] or null
  int numSegments;
  int64_t segmentTokens;  // a multiple of 64

  void* out;
  bool f32Out;          // whatever `f32` says
  bool freeIsKey;       // states are P itself, not its transpose
  const float* states;  // [B, H, segments, V, K], as they enter; null: zero
  float* last;          // [B, H, segments or 1, V, K]: after each segment, or the last; or null
  bool lastOfEach;
  float* kept;               // P at the end of every 64 tokens, as its threads hold it; or null
  const float* keptForward;  // of an earlier call with time, to be multiplied with this P there; or null
  float* ends;               // [B, H, ceil(T / 64), free]: that product, summed over the contracted channels
};

/// Numbers of `kept`.
int64_t keptTokenNumbers(int64_t B, int64_t T, int H, int contracted, int free);

cudaError_t launchTokens(const TokensCall& call, cudaStream_t stream);

/// M of every segment, and whether a document starts in it.
struct TokenFactorsCall {
  int64_t B, T;
  int H, K;
  TokenDecay decay;
  const float* g;
  const int32_t* resets;
  int numSegments;
  int64_t segmentTokens;
  float* factor;  // [B, H, segments], or [B, H, segments, K] if the decay has channels
  int* reset;     // [B, H, segments]
};

cudaError_t launchTokenFactors(const TokenFactorsCall& call, cudaStream_t stream);

/// From the sweeps' dq and dk, which leave a bonus out: those gradients, the decay's and the bonus's.
struct TokenGradientCall : SliceSizes {
  bool f32, fromZero, diagonal;
  float scale;
  const void *q, *k;        // [B, T, G, K]
  const void *v, *dO;       // [B, T, H, V]
  const float* weight;      // the bonus, [H, K] or null
  const int32_t* resets;    // [B, T] or null
  const float* sweptQuery;  // [B, T, H, K]
  const float* sweptKey;    // [B, T, H, K]
  const float* ends;        // [B, H, ceil(T / 64), K]
  void *dq, *dk;            // [B, T, H, K]
  float* dg;                // [B, T, H] or [B, T, H, K]; null: the decay has no gradient
  float* weightShares;      // [ceil(T / 64), B, H, K] if there is a bonus
};

cudaError_t launchTokenGradient(const TokenGradientCall& call, cudaStream_t stream);

}  // namespace longscan
