#pragma once

#include <cuda_runtime.h>

#include "../cuda.h"

namespace longscan {

/// The recurrence token by token in f32: for calls that the chunkwise kernels do not know (f32 inputs, a
/// bonus without a diagonal decay, more than 256 values with a scalar decay). Functions as in cuda.h.
size_t generalStatesBytes(const LongscanGatedLinear& call);
size_t generalWorkspaceBytes(const LongscanGatedLinear& call);
size_t generalBackwardWorkspaceBytes(const LongscanGatedLinear& call);
cudaError_t generalForward(const LongscanGatedLinear& call, const LongscanGatedLinearForward& io,
                           cudaStream_t stream);
/// As generalForward, but the output is a read by `by`: along the keys by queries, or along the values by
/// what is like dO, as dq is.
cudaError_t generalForwardBy(const LongscanGatedLinear& call, const void* by, bool alongValues,
                             const LongscanGatedLinearForward& io, cudaStream_t stream);
/// o from the states that a forward pass has kept.
cudaError_t generalOutput(const LongscanGatedLinear& call, const float* states, void* out,
                          cudaStream_t stream);
cudaError_t generalBackward(const LongscanGatedLinear& call, const LongscanGatedLinearBackward& io,
                            cudaStream_t stream);
cudaError_t generalSummarize(const LongscanGatedLinear& call, const LongscanGatedLinearSummary& io,
                             cudaStream_t stream);
cudaError_t generalSummarizeBackward(const LongscanGatedLinear& call,
                                     const LongscanGatedLinearSummaryBackward& io, cudaStream_t stream);

}  // namespace longscan
