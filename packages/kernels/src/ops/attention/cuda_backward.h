#pragma once

#include <cuda_runtime.h>

#include "../../cuda/workspace_parts.h"
#include "cuda.h"
#include "cuda_query_blocks.h"
#include "cuda_row_terms.h"

namespace longscan {

/// Memory of the backward pass on Hopper.
struct BackwardMemory {
  RowTerms terms;
  QueryBlocks blocks;
  /// [B * H][query block][2][4096]: dq / scale, as the two warpgroups hold it.
  float* dq;
  /// [B * H][query block][2]: how many blocks of keys have added their part; then `nextBlock` and `mostKeys`.
  int* turns;
  int64_t numTurns;
  int* nextBlock;  // numbers blocks of keys in the order in which they start

  /// Queries of a block by head size: its q, dO and dq take as many bytes for each.
  static int queries(const LongscanAttention& call) { return call.K <= 64 && call.V <= 64 ? 128 : 64; }

  BackwardMemory(const LongscanAttention& call, WorkspaceParts& parts);

  /// Counters to zero, before all kernels.
  cudaError_t clear(cudaStream_t stream) const;
};

/// Whether `launchBackward` knows the call.
bool backwardIsFast(const LongscanAttention& call);
cudaError_t launchBackward(const LongscanAttention& call, const LongscanAttentionBackward& io,
                           const BackwardMemory& memory, cudaStream_t stream);
/// dq as it is asked for from `memory.dq`.
cudaError_t launchQueryGradient(const LongscanAttention& call, const LongscanAttentionBackward& io,
                                const BackwardMemory& memory, cudaStream_t stream);

}  // namespace longscan
