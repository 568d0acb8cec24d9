#pragma once

#include "../sweep/sweep.h"

namespace longscan {

/// The tokens of a slice, as the kernels of gradients read them, whatever the gate.
struct DeltaGradientTokens : DeltaSlice {
  const __nv_bfloat16* q;  // [B, T, H, K]
  const __nv_bfloat16* k;  // [B, T, H, K]
  const float* beta;       // [B, T, H] or null
  const float* g;          // [B, T, H], of a gate per channel [B, T, H, K]; or null
  const __nv_bfloat16* b;  // [B, T, H, K], not with a gate per channel; or null: keys erase
  const int32_t* resets;   // [B, T] or null
};

/// What the sweeps have left of them, Z = dv, and the gradients that there are with every gate.
struct DeltaGradientTensors {
  const __nv_bfloat16* dO;           // [B, T, H, V]
  const __nv_bfloat16* dv;           // [B, T, H, V]
  const __nv_bfloat16* corrections;  // [B, H, chunks * 64, V]: N
  const __nv_bfloat16* states;       // [B, H, chunks, V, K]: S before each chunk
  const __nv_bfloat16* adjoints;     // [B, H, chunks, V, K]: D after each chunk
  const int32_t* finished;  // by the sweep beside: `deltaPartsOfChunk(V)` when a chunk is there; or null

  __nv_bfloat16* dq;  // [B, T, H, K]
  __nv_bfloat16* dk;  // [B, T, H, K]
  __nv_bfloat16* db;  // [B, T, H, K]; not written where keys erase
  float* dbeta;       // [shares, B, T, H] or null
};

/// Gradients of the chunks' own tokens, after the sweeps. `dbeta`: in deltaBetaShares(K) shares.
struct DeltaGradientCall : DeltaGradientTokens, DeltaGradientTensors {
  int32_t* drawn;  // how many chunks blocks have drawn, zero at first; or null: each has its own
  // With a gate, for `launchDeltaGateGradient`.
  float* risingDots;  // [B, H, T, deltaDotParts(K)]: shares of what grows with the log decays up to the token
  float* fallingDots;  // the same, of what falls with them
  float* eraseDots;    // of what has grown with those before the token alone; null where keys erase
  float* ends;         // [B, H, chunks, deltaDotParts(K)]: shares of state times adjoint after the chunk
};

/// Shares of a token's dot products: one for each 64 channels of K.
__host__ __device__ constexpr int deltaDotParts(int K) {
  return (K + 63) / 64;
}

/// Channels of K that a block has: as many shares of dbeta there are as blocks to a chunk.
__host__ __device__ constexpr int deltaBetaShares(int K) {
  return (K + 127) / 128;
}

/// Tiles of so many panels of 64 channels of K.
__host__ __device__ constexpr int deltaGradientTiles(int K, int panels) {
  return (K + 64 * panels - 1) / (64 * panels);
}

cudaError_t launchDeltaGradient(const DeltaGradientCall& call, cudaStream_t stream);

/// Whether the device's blocks have the shared memory for so many keys.
bool deltaGradientFits(const DeltaDevice& device, int K, bool hasEraseKeys);

/// sums [count]: of `shares` of so many numbers each, [shares, count].
cudaError_t launchDeltaBetaSum(const float* from, int shares, int64_t count, float* sums,
                               cudaStream_t stream);

/// dlog a_t: rising minus falling dots, summed from t to the end of its document or chunk, there plus the
/// product of the state with its adjoint.
struct DeltaGateGradientCall {
  int64_t B, T;
  int H, parts;
  const float* risingDots;   // [B, H, T, parts]
  const float* fallingDots;  // [B, H, T, parts]
  const float* eraseDots;    // [B, H, T, parts] or null: of the rising ones, what the token's decay is not in
  const float* ends;         // [B, H, chunks, parts]
  const int32_t* resets;     // [B, T] or null
  bool begins;               // while the kernel before is still at work
  bool fromZero;             // no state entered the slice: the first token's decay meets nothing
  float* dg;                 // [B, T, H]
};

cudaError_t launchDeltaGateGradient(const DeltaGateGradientCall& call, cudaStream_t stream);

}  // namespace longscan
