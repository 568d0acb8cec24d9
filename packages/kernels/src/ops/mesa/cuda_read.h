#pragma once

#include <cuda_runtime.h>

#include "../mlstm/cuda_plan.h"

namespace longscan {

/// What rows read of a decayed sum of k_j (written_j)^T, [keys, values]: from the keys, out_i = sum_j w_ij
/// (read_i . k_j) written_j + the state before the chunk, or from the values, out_i = sum_j w_ij (read_i .
/// written_j) k_j +.
struct ReadCall {
  bool fromValues;
  int keys, values;
  const float* read;     // [B, T, H, keys or values], `readStride` numbers apart
  const float* k;        // [B, T, H, keys]
  const float* written;  // [B, T, H, values], `writtenStride` numbers apart
  int readStride, writtenStride;
  const float* states;  // [B * H, chunks, keys, values], rows `stateStride` numbers apart
  int stateStride;
  float* out;  // [B, T, H, values or keys]
};

/// `call`, `plan` and `gates`: of the recurrence, in f32.
cudaError_t launchRead(const LongscanMlstm& call, const MlstmPlan& plan, const MlstmGates& gates,
                       const ReadCall& read, cudaStream_t stream);

}  // namespace longscan
