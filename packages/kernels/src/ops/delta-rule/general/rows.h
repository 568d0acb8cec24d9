#pragma once

#include <cuda_runtime.h>

#include "cuda/types.h"
#include "cuda/workspace_parts.h"
#include "sweep.h"

namespace longscan {

/// Numbers of a row that sweeps can copy 16 bytes at a time.
inline int deltaPitch(int width) {
  return (width + 3) / 4 * 4;
}

/// The tensors of a call as rows that sweeps stage: where they are not, as copies in the workspace.
class DeltaRowCopies {
 public:
  /// Without a base the workspace is only counted.
  DeltaRowCopies(const LongscanDeltaGeneral& call, WorkspaceParts& arena) : call_(call), arena_(arena) {}

  /// A tensor of the call's type [B, T, H, width]; null has no rows.
  DeltaRows take(const void* data, int width) {
    return taken(data, width, call_.type == longscanElementBf16, false);
  }
  /// exp of the gate: rows of a diagonal one, or [B, T, H] of a scalar one.
  DeltaRows takeDecay() {
    const bool diagonal = call_.decay == longscanDeltaDecayDiagonal;
    return taken(diagonal ? call_.g : nullptr, call_.K, false, true);
  }
  const float* takeScalarDecay() {
    if (call_.decay != longscanDeltaDecayScalar) return nullptr;
    scalarDecay_ = arena_.take<float>(numScalars());
    return scalarDecay_;
  }

  cudaError_t launch(cudaStream_t stream) const;

 private:
  struct Copy {
    const void* from;
    float* to;
    int64_t numRows;
    int width;
    bool isBf16, isLog;
  };

  DeltaRows taken(const void* data, int width, bool isBf16, bool isLog) {
    if (data == nullptr) return {};
    if (!isBf16 && !isLog && width % 4 == 0) return {static_cast<const float*>(data), width};
    const int64_t numRows = numScalars();
    float* to = arena_.take<float>(numRows * deltaPitch(width));
    copies_[numCopies_++] = {data, to, numRows, width, isBf16, isLog};
    return {to, deltaPitch(width)};
  }

  int64_t numScalars() const { return call_.B * call_.T * call_.H; }

  const LongscanDeltaGeneral& call_;
  WorkspaceParts& arena_;
  float* scalarDecay_ = nullptr;
  Copy copies_[8];
  int numCopies_ = 0;
};

/// 1 for batch rows [B] with a document start, else 0.
cudaError_t launchDeltaReset(const int32_t* resets, int64_t B, int64_t T, float* reset, cudaStream_t stream);

}  // namespace longscan
