#pragma once

#include <cuda_runtime.h>

#include "cuda.h"

namespace longscan {

/// A block a head, token by token: the gates read the h before.
cudaError_t launchSlstmForward(const LongscanSlstm& call, const LongscanSlstmForward& io,
                               cudaStream_t stream);

/// dGates and dh0, and the gradients of the sums unrounded, [B, T, H, 4, N].
cudaError_t launchSlstmBackward(const LongscanSlstm& call, const LongscanSlstmBackward& io, float* dSums,
                                cudaStream_t stream);

/// dRecurrent of every batch row, a product over all tokens. `previous` [B, T, H, N]: room for the h that
/// each found. `parts`: recurrentParts() times the size of dRecurrent.
int recurrentParts(const LongscanSlstm& call);
cudaError_t launchRecurrentGradient(const LongscanSlstm& call, const LongscanSlstmBackward& io,
                                    const float* dSums, float* previous, float* parts, cudaStream_t stream);

}  // namespace longscan
