#pragma once

#include <cuda_runtime.h>

#include "../cuda.h"

namespace longscan {

/// The recurrence whose decay acts on the values, S_t = S_{t-1} diag(a_t) + k_t v_t^T. It is the usual one
/// with keys and values exchanged, read along the other axis: o is to it what dq is, its queries are dO, and
/// dq is what o is. Functions as in cuda.h.
size_t valuesStatesBytes(const LongscanGatedLinear& call);
size_t valuesWorkspaceBytes(const LongscanGatedLinear& call);
size_t valuesBackwardWorkspaceBytes(const LongscanGatedLinear& call);
cudaError_t valuesForward(const LongscanGatedLinear& call, const LongscanGatedLinearForward& io,
                          cudaStream_t stream);
cudaError_t valuesBackward(const LongscanGatedLinear& call, const LongscanGatedLinearBackward& io,
                           cudaStream_t stream);
cudaError_t valuesSummarize(const LongscanGatedLinear& call, const LongscanGatedLinearSummary& io,
                            cudaStream_t stream);
cudaError_t valuesSummarizeBackward(const LongscanGatedLinear& call,
                                    const LongscanGatedLinearSummaryBackward& io, cudaStream_t stream);

}  // namespace longscan
