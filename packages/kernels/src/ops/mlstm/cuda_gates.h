#pragma once

#include <cuda_runtime.h>

#include "cuda_plan.h"

namespace longscan {

/// All of `gates`, and the running maxima [B, T, H], which are written (null: not wanted), or read if `known`
/// (null: all 0, where there are no input gates). `h0`: the state whose maximum the slice goes on from, or
/// null.
struct GatesCall {
  const LongscanMlstm& call;
  const MlstmPlan& plan;
  const MlstmGates& gates;
  const float* h0;
  float* m;
  bool known;
};
cudaError_t launchGates(const GatesCall& call, cudaStream_t stream);

/// The slice's sum of log forget gates, or if `carried` exp(F + m_in - m_out), 0 where a document starts in
/// it; [B, H].
cudaError_t launchSliceFactor(const GatesCall& call, bool carried, float* factor, cudaStream_t stream);

/// From the output's gradient that of the sums that it is the quotient of: dH / divisor, of which `inverse`
/// is one factor, and d(n . q).
cudaError_t launchSumGradients(const LongscanMlstm& call, const LongscanMlstmTokens& tokens, const void* dH,
                               float* inverse, float* sumGradient, cudaStream_t stream);

/// Stored states [B, H, V + 1, K + 1] to [B * H, stateSize], without their maxima; and back, `m` [B * H]
/// every `mStride` numbers, or null: zeros.
cudaError_t launchUnpackState(const LongscanMlstm& call, const float* stored, float* state,
                              cudaStream_t stream);
cudaError_t launchPackState(const LongscanMlstm& call, const float* state, const float* m, int64_t mStride,
                            float* stored, cudaStream_t stream);

}  // namespace longscan
