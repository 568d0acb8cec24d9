#pragma once

#include <cuda_runtime.h>

#include "cuda.h"

namespace longscan {

/// Head sizes rounded up to multiples of 8, and what a row of both sides has: that of Hkk's before Hkv's.
struct MesaSizes {
  int keys, values, both;
  explicit MesaSizes(const LongscanMesa& call)
      : keys((call.K + 7) / 8 * 8), values((call.V + 7) / 8 * 8), both(keys + values) {}
};

/// Rows in f32, zeros where they are padded: k [.., keys]; written = beta [k; v] [.., both]; and of those
/// that are not null q [.., keys], gradients = [-u; dO] [.., both] (with u null its part is left to others).
struct MesaRows {
  float *k, *written;
  float* q;
  float* gradients;
  const void* dO;
  const float* u;  // [B, T, H, keys]
};
cudaError_t launchMesaRows(const LongscanMesa& call, const MesaRows& rows, cudaStream_t stream);

/// o in the call's type from rows of [.., values].
cudaError_t launchMesaOutput(const LongscanMesa& call, const float* rows, void* o, cudaStream_t stream);

/// dk, dv and dBeta from those of the key side, [.., keys], and of what was written, [.., both].
cudaError_t launchMesaGradients(const LongscanMesa& call, const float* ofKey, const float* ofWritten,
                                const LongscanMesaKeyValueGradient& to, cudaStream_t stream);

/// A stored state [B, H, K + V, K] to [B * H, keys, both] and a vector [keys] of zeros; and back.
cudaError_t launchMesaUnpack(const LongscanMesa& call, const float* stored, float* state,
                             cudaStream_t stream);
cudaError_t launchMesaPack(const LongscanMesa& call, const float* state, float* stored, cudaStream_t stream);

}  // namespace longscan
