#pragma once

#include <cuda_runtime.h>

#include <cstdint>

#include "general.h"

// The sweeps over a slice that the general kernels are made of. A state has rows that M maps each by itself
// (values) and rows that it mixes (keys). Where M acts on what is read, values are the free axis and their
// numbers, along K, are contracted: those sweeps come first, and write down what was read. With that known, a
// state is a gated sum of products, and sweeps with keys as the free axis contract values, for everything
// that is a sum over V.

namespace longscan {

/// Rows [B, T, H, pitch] in f32. The pitch is a multiple of 4; what of it is no channel is zero.
struct DeltaRows {
  const float* data = nullptr;
  int pitch = 0;
};

/// Where results go, [B, T, H, pitch]: those of channels below `width`, times `factor`.
struct DeltaOutput {
  void* data = nullptr;
  int pitch = 0, width = 0;
  float factor = 1.0f;
  bool isBf16 = false;
};

/// What sweeps have in common.
struct DeltaShape {
  int64_t B, T;
  int H, K, V;
  int erase;                 // LongscanDeltaErase
  const float* beta;         // [B, T, H] or null
  const float* scalarDecay;  // [B, T, H] or null
  DeltaRows decay;           // of K channels, or null
  const int32_t* resets;     // [B, T] or null
};

/// With time, from values: o = S^T q, and y = v - x (dplr: x) of each row.
struct DeltaValuesCall {
  DeltaShape shape;
  DeltaRows k, b, e, q, v;  // without q no outputs
  const float* h0;          // [B, H, V, K] or null
  float* ht;                // [B, H, V, K] or null
  float* factor;            // [B, H, K, K] or null: M^T, as K more rows that begin as the identity
  DeltaOutput o, kept;
};

/// Against time, from values: D, with dy = beta * D^T k = dv, and where something else writes dx = D^T e.
struct DeltaValueAdjointsCall {
  DeltaShape shape;
  DeltaRows k, b, e, keyReads, valueReads;  // D += keyReads valueReads^T where a token reads
  float scale;                              // of that product
  const float* dht;                         // [B, H, V, K] or null
  float* dh0;                               // [B, H, V, K] or null
  DeltaOutput dv, dx;                       // dx: dplr only, else it is -dv
};

/// With time, from keys: S again, with what tokens read of it by value and what dx reads of it before each
/// row.
struct DeltaKeysCall {
  DeltaShape shape;
  DeltaRows k, e, y, x;  // S += beta k y^T (dplr: y is v, and + e x^T)
  DeltaRows reads, dx;   // of values; without dx nothing reads before a row
  float dxFactor;
  const float* h0;         // [B, H, V, K] or null
  DeltaOutput outputs[2];  // after a token, and before a row; the latter of the decayed S where keys erase
  float* kept;             // S before every 64 tokens, as its threads hold it; or null
};

/// Against time, from keys: D again, with the gradients of what is written.
struct DeltaKeyAdjointsCall {
  DeltaShape shape;
  DeltaRows k, b, y, x, dx, keyReads, valueReads;
  float scale, dxFactor;
  const float* dht;        // [B, H, V, K] or null
  DeltaOutput outputs[2];  // of beta k, and of e
  const float* kept;       // of DeltaKeysCall, or null
  float* meets;            // [B, H, ceil(T / 64), K]: S * D before every 64 tokens, summed over V
};

constexpr int deltaGateTokens = 64;

/// Numbers of `kept`.
int64_t deltaKeptNumbers(const DeltaShape& shape);

cudaError_t launchDeltaValues(const DeltaValuesCall& call, cudaStream_t stream);
cudaError_t launchDeltaValueAdjoints(const DeltaValueAdjointsCall& call, cudaStream_t stream);
cudaError_t launchDeltaKeys(const DeltaKeysCall& call, cudaStream_t stream);
cudaError_t launchDeltaKeyAdjoints(const DeltaKeyAdjointsCall& call, cudaStream_t stream);

}  // namespace longscan
