#pragma once

#include <cuda_runtime.h>

#include <cstdint>

#include "../chunkwise/cut.h"
#include "cuda/tile.cuh"

namespace longscan {

static_assert(deltaChunkTokens == tileTokens, "a chunk is a tile");

/// What a slice's chunks of 64 tokens are prepared to, so that a sweep over them only multiplies. Rows are
/// numbered by token, `rows` of them for each head: T rounded up to whole chunks.
struct DeltaChunks {
  __nv_bfloat16* inverse;  // [B, H, rows, 64]: Y = (I + A)^-1 of the row's piece of a chunk
  __nv_bfloat16* scores;   // [B, H, rows, 64]: P, scale * q_i . k_j decayed, times beta_j, j <= i
  float* into;             // [B, H, rows]: decay from the piece's start up to and with the row
  float* outOf;            // [B, H, rows]: beta times the decay from the row to the piece's end
  int32_t* prepared;  // [B, H, chunks]: 1 when the rest of a chunk is there; one number more for those who
                      // prepare; [B, H], how far a head's blocks of the sweep are. Null: all is there from
                      // the start

  // Of a diagonal gate, which leaves `into` unused and no decay in `outOf`.
  __nv_bfloat16* queries;    // [B, T, H, K]: scale * q_t decayed from the piece's start up to and with t
  __nv_bfloat16* writeKeys;  // [B, T, H, K]: k_t decayed from t to the piece's end
  float* gamma;              // [B, H, chunks, K]: the decay of the chunk's first piece

  // What the sweeps read instead of Y.
  __nv_bfloat16* w;  // [B, H, rows, K]: Y times the keys decayed as queries are
  __nv_bfloat16* u;  // [B, H, rows, V]: Y V; in its place the forward sweep leaves N
};

/// The sizes and the scale with which the calls of most kernels begin.
struct DeltaSlice {
  int64_t B, T;
  int H, K, V;
  float scale;
};

/// The two recurrences over chunks, for one slice.
///
/// With time: N = U - W S = Y (V - into K S), o = into Q S + P N, S = gamma S + K^T (outOf N).
/// Against time: dN = P^T dO + outOf K D, D = gamma D + Q^T (into dO) - W^T dN, dv = Y^T dN.
///
/// The chunks may be cut into segments of `segmentChunks`, the last of which may have fewer. Each has blocks
/// of its own and a state of its own to begin with; those from `firstSegment` on are swept.
struct DeltaSweepCall : DeltaSlice {
  bool diagonal;           // a gate per channel
  bool decays;             // any gate
  const __nv_bfloat16* q;  // [B, T, H, K]
  const __nv_bfloat16* k;  // [B, T, H, K]
  const __nv_bfloat16* v;  // [B, T, H, V]
  const int32_t* resets;   // [B, T] or null
  DeltaChunks chunks;
  int segmentChunks, firstSegment, numSegments;

  const float* h0;        // [segments, B, H, V, K] or null: S before each segment
  __nv_bfloat16* o;       // [B, T, H, V]
  float* ht;              // [B, H, V, K] or null
  __nv_bfloat16* states;  // [B, H, chunks, V, K]: S before each chunk

  const __nv_bfloat16* dO;  // [B, T, H, V]
  const float* dht;         // [segments, B, H, V, K] or null: D behind each segment
  float* leaving;           // [segments, B, H, V, K]: D before each segment; or null
  __nv_bfloat16* adjoints;  // [B, H, chunks, V, K]: D after each chunk
  __nv_bfloat16* dv;        // [B, T, H, V]
  float* dh0;               // [B, H, V, K] or null
  int32_t* finished;  // [B, H, chunks]: counts `deltaPartsOfChunk(V)` when adjoints and dv are there; or null
};

/// How often a chunk is counted as `finished` in all: by each of four warps for each 32 channels of V.
__host__ __device__ constexpr int deltaPartsOfChunk(int V) {
  return 4 * ((V + 31) / 32);
}

/// How many blocks share the channels of a head.
__host__ __device__ constexpr int sweepTiles(int channels, int width) {
  return (channels + width - 1) / width;
}

/// What a launch has to know of the device.
struct DeltaDevice {
  int multiprocessors, sharedBytes;
  /// Kernels can begin beside the one before them.
  bool sharesTime;
};

cudaError_t deltaDevice(DeltaDevice& device);

/// Blocks of a sweep, or of each of its segments.
int64_t deltaForwardBlocks(const DeltaDevice& device, int64_t heads, int K, int V);
int64_t deltaBackwardBlocks(const DeltaDevice& device, int64_t heads, int K, int V);

/// How many multiprocessors a sweep leaves to a kernel beside it; 0 where it is to run alone.
int deltaSweepLeaves(const DeltaDevice& device, int64_t heads, int K, int V);

/// Before kernels that run side by side: nothing is there. `counts` may be null.
inline cudaError_t clearDeltaCounts(int32_t* counts, int64_t heads, int64_t T, cudaStream_t stream) {
  if (counts == nullptr) return cudaSuccess;
  return cudaMemsetAsync(counts, 0, sizeof(int32_t) * numDeltaCounts(heads, T), stream);
}

/// Whether a block's memory on this device is enough for heads of so many key channels.
bool deltaSweepsFit(int K);

/// o and ht, and for the backward pass states and N.
cudaError_t launchDeltaForwardSweep(const DeltaSweepCall& call, cudaStream_t stream);
/// Adjoints, dv and dh0.
cudaError_t launchDeltaBackwardSweep(const DeltaSweepCall& call, cudaStream_t stream);
/// D before each segment and nothing else. On Hopper.
cudaError_t launchDeltaLeavingSweep(const DeltaSweepCall& call, cudaStream_t stream);

}  // namespace longscan
