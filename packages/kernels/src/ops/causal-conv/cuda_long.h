#pragma once

#include <cuda_runtime.h>

#include "cuda.h"
#include "cuda/workspace_parts.h"
#include "cuda_gradient.h"

// Convolutions of more taps than a thread has registers for: up to `causalConvMostTaps`, plainly.

namespace longscan {

constexpr int causalConvMostTaps = 256;

/// Tokens of a run, whose share of the gradients of taps and bias is summed by itself.
constexpr int longConvRunTokens = 256;

struct LongConvWorkspace {
  WorkspaceParts parts;
  float* taps;     // [W + 1, D]: the taps, then the bias
  int32_t* reach;  // [B, T], so many tokens before each are of its document
  float* dz;       // [B, T, D], of the sum before the activation
  ConvShares shares;

  explicit LongConvWorkspace(const LongscanCausalConv& call)
      : parts(call.workspace),
        taps(parts.take<float>((call.W + 1) * call.D)),
        reach(parts.take<int32_t>(call.B * call.T)),
        dz(parts.take<float>(call.B * call.T * call.D)),
        shares{} {
    shares.runs = call.B * ((call.T + longConvRunTokens - 1) / longConvRunTokens);
    shares.taps = parts.take<float>(shares.runs * call.W * call.D);
    shares.bias = parts.take<float>(shares.runs * call.D);
  }
};

/// The taps are in the workspace.
cudaError_t launchLongConv(const LongscanCausalConv& call, const LongConvWorkspace& work, void* y,
                           cudaStream_t stream);
/// All but the sums of the shares.
cudaError_t launchLongConvGradient(const LongscanCausalConv& call, const LongConvWorkspace& work,
                                   const LongscanCausalConvBackward& io, cudaStream_t stream);

}  // namespace longscan
