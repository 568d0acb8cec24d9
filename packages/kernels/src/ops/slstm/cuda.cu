#include "cuda.h"

#include "cuda/workspace_parts.h"
#include "cuda_sweeps.h"

namespace longscan {

namespace {

using Call = LongscanSlstm;

bool supported(const Call& call) {
  return call.B > 0 && call.T > 0 && call.H > 0 && call.N > 0 && call.N <= 256 &&
         (call.type == longscanElementBf16 || call.type == longscanElementF32) && call.B * call.H < (1 << 20);
}

struct BackwardWork {
  WorkspaceParts parts;
  float *dSums, *previous, *shares;

  BackwardWork(const Call& call, void* base) : parts(base) {
    const int64_t units = call.B * call.T * call.H * call.N;
    dSums = parts.take<float>(4 * units);
    previous = parts.take<float>(units);
    shares = parts.take<float>(int64_t{recurrentParts(call)} * call.B * call.H * call.N * 4 * call.N);
  }
};

}  // namespace

}  // namespace longscan

using namespace longscan;

size_t longscanSlstmBackwardWorkspaceBytes(const LongscanSlstm* call) {
  return supported(*call) ? BackwardWork(*call, nullptr).parts.used() : 0;
}

int longscanSlstmForward(const LongscanSlstm* call, const LongscanSlstmForward* io, CUstream_st* stream) {
  return supported(*call) ? launchSlstmForward(*call, *io, stream) : cudaErrorInvalidValue;
}

int longscanSlstmBackward(const LongscanSlstm* call, const LongscanSlstmBackward* io, CUstream_st* stream) {
  if (!supported(*call)) return cudaErrorInvalidValue;
  const BackwardWork work(*call, io->workspace);
  const cudaError_t error = launchSlstmBackward(*call, *io, work.dSums, stream);
  return error ? error : launchRecurrentGradient(*call, *io, work.dSums, work.previous, work.shares, stream);
}
