#pragma once

#include <cuda_runtime.h>

#include <cstdint>

struct __nv_bfloat16;

namespace longscan {

/// Which decay a chunk has, seen from the state P [contracted, free] that a sweep keeps.
enum class SweepDecay : int {
  scalar,     // none, one number per head, or one per token and head
  contracted  // one per contracted channel; x and y come decayed already, and the products x . y too
              // (`scores`)
};

/// [B, T, heads, channels]; H / heads heads in succession share one. `data` may begin inside a row.
struct SweepRows {
  const __nv_bfloat16* data;
  int heads, channels;
  int pitch;  // elements from a token to the next: heads * channels, or more
};

/// One reading of the recurrence: out_t = scale * (e^{c_t} P^T x_t + sum over earlier s of the chunk, and t
/// itself, of e^{c_t - c_s} (x_t . y_s) z_s), and after the chunk P = gamma P + sum_s e^{c - c_s} y_s z_s^T.
/// With (x, y, z) = (q, k, v) that is o; (dO, v, k) gives dq; against time (v, dO, q) gives dk and (k, q, dO)
/// dv. "Earlier" and the log decay c follow the direction: with time c_t includes token t's own, against time
/// it does not.
struct SweepTask {
  SweepRows x;          // contracted channels
  SweepRows y;          // contracted channels
  SweepRows yRest;      // a summary's of kind `contracted`: what rounding has taken off y; data null: nothing
  SweepRows z;          // free channels
  __nv_bfloat16* out;   // [B, T, H, free]
  int outPitch;         // elements from a token of `out` to the next
  const float* states;  // [B, H, segments, .., V, K]: P (or its transpose) as it enters each segment; of a
                        // summary null: zero
  float* last;  // [B, H, V, K]: P after the last segment, times `lastScale`; or null. A summary: of each
                // segment, and null if nothing but `images` is wanted
  float lastScale;
  bool freeIsKey;  // the free axis is K: states are P itself, not its transpose
  bool backward;   // against time

  const __nv_bfloat16* scores;  // `contracted`: [terms, B, H, chunks, 64, 64], [key][query], in time's order
  int scoreTerms;               // 1 or 2: scores are the sums of as many bf16 numbers
  const float* gamma;           // `contracted`: [B, H, chunks, K], the chunk's decay up to its first reset

  unsigned char* images;  // of a summary and of kind `contracted`: P before every chunk in bf16, as products
                          // read it (see `imageOffset`); or null
  uint4* kept;            // other sweeps: the same as their threads hold it, or null
  const uint4*
      keptForward;  // of an earlier task with time, to be multiplied with this P after the chunk; or null
  /// What of the decay's gradient is the same for all tokens that go on to the chunk's end: P before the
  /// chunk times its adjoint after it, decayed by the chunk: [B, H, chunks, endParts(free)], shares, to which
  /// out . partner without the chunk's own part is added.
  float* ends;

  float*
      factor;  // a summary's M: [B, H, segments], or [B, H, segments, K] where channels decay each for itself
  int* reset;  // a summary's: [B, H, segments], 1 where a document starts in the segment

  SweepRows partner;  // free channels; data null, or out . partner is wanted
  float* dots;        // [B, H, T, dotParts(free)]: shares of it
};

struct SweepCall {
  int64_t B, T;
  int H, contracted, free;
  SweepDecay kind;
  float scale;
  const float* g;  // `scalar`: [B, T, H] if `gatePerToken`, else [H]; null: none
  bool gatePerToken;
  const int32_t* resets;  // [B, T] or null
  int numSegments, chunksPerSegment;
  int64_t stateStride;  // from state to state: K V, or more
  int freeTile;         // channels of the free axis that one block of threads works on, see `freeTile`
  // Set by launchSweep: stages of inputs in shared memory, and where there what says how far they are begins.
  int stages, stageBytes, controlAt, lateAt, latePlaces;
  int numTasks;
  SweepTask tasks[2];
};

constexpr int chunkTokens = 64;

/// Channels of the free axis that one block of threads works on: 64 for each warpgroup. Of more than 128
/// contracted ones, two warpgroups' states fit only with kind `contracted`, and if `wideSweepFits`.
__host__ __device__ constexpr int freeTile(int contracted, int free, bool fits = false) {
  return (contracted > 128 && !fits) || free <= 64 ? 64 : 128;
}
__host__ __device__ constexpr int freeTiles(int contracted, int free) {
  return (free + freeTile(contracted, free) - 1) / freeTile(contracted, free);
}
/// Blocks of one multiprocessor.
__host__ __device__ constexpr int residentBlocks(int contracted, int free) {
  return contracted <= 64 && free <= 64 ? 2 : 1;
}
/// Shares of a token's dot product: one for each warpgroup.
__host__ __device__ constexpr int dotParts(int contracted, int free) {
  return freeTiles(contracted, free) * freeTile(contracted, free) / 64;
}
/// Shares of a chunk's number: one for each warp.
__host__ __device__ constexpr int endParts(int contracted, int free) {
  return 4 * dotParts(contracted, free);
}
__host__ __device__ constexpr int paddedChannels(int channels) {
  return channels <= 64 ? 64 : channels <= 128 ? 128 : 256;
}

/// Bytes of `kept` for one chunk of one head.
__host__ __device__ constexpr int64_t keptBytes(int contracted, int free) {
  return int64_t{2} * paddedChannels(contracted) * freeTile(contracted, free) * freeTiles(contracted, free);
}
/// Bytes of `images` for the same, whichever way the free axis is cut.
__host__ __device__ constexpr int64_t imageBytes(int contracted, int free) {
  return int64_t{2} * paddedChannels(contracted) * (free <= 64 ? 64 : (free + 127) / 128 * 128);
}
/// Where the image of one chunk (`chunk` counts those of all heads) has its tile of 64 free channels from 64
/// `freeBlock` on and of 64 contracted channels: P^T, a Tile<64>.
__host__ __device__ constexpr int64_t imageOffset(int contracted, int free, int64_t chunk, int freeBlock,
                                                  int contractedBlock) {
  return chunk * imageBytes(contracted, free) +
         (int64_t{freeBlock} * (paddedChannels(contracted) / 64) + contractedBlock) * (2 * 64 * 64);
}

/// Whether the present device has blocks of two warpgroups with 256 contracted channels of kind `contracted`.
bool wideSweepFits();

/// Whether the device's blocks have the shared memory for sweeps over heads of K and V: those of more than
/// 128 channels take more than the 99 KB of compute capability 8.6 and 8.9.
bool sweepsFit(int K, int V);

/// `launchSweep` and `launchSummary` (kinds `scalar` and `contracted`) are compiled for each kind in a file
/// of its own.
template <SweepDecay kind>
cudaError_t launchSweepOf(const SweepCall& call, cudaStream_t stream);
template <SweepDecay kind>
cudaError_t launchSummaryOf(const SweepCall& call, cudaStream_t stream);

template <>
cudaError_t launchSweepOf<SweepDecay::scalar>(const SweepCall& call, cudaStream_t stream);
template <>
cudaError_t launchSweepOf<SweepDecay::contracted>(const SweepCall& call, cudaStream_t stream);
template <>
cudaError_t launchSummaryOf<SweepDecay::scalar>(const SweepCall& call, cudaStream_t stream);
template <>
cudaError_t launchSummaryOf<SweepDecay::contracted>(const SweepCall& call, cudaStream_t stream);

inline cudaError_t launchSweep(const SweepCall& call, cudaStream_t stream) {
  return call.kind == SweepDecay::scalar ? launchSweepOf<SweepDecay::scalar>(call, stream)
                                         : launchSweepOf<SweepDecay::contracted>(call, stream);
}

inline cudaError_t launchSummary(const SweepCall& call, cudaStream_t stream) {
  return call.kind == SweepDecay::scalar ? launchSummaryOf<SweepDecay::scalar>(call, stream)
                                         : launchSummaryOf<SweepDecay::contracted>(call, stream);
}

}  // namespace longscan
