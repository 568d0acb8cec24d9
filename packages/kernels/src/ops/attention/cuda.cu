#include "cuda.h"

#include "../../cuda/workspace_parts.h"
#include "cuda_forward.h"
#include "cuda_plain.h"
#include "cuda_row_terms.h"

namespace longscan {

namespace {

bool supported(const LongscanAttention& call) {
  const auto headSize = [](int size) { return size > 0 && size <= 256 && size % 8 == 0; };
  const auto element = [](int type) { return type == longscanElementBf16 || type == longscanElementF32; };
  constexpr int64_t most = int64_t{1} << 30;
  return call.B > 0 && call.T > 0 && call.T < most && call.S > 0 && call.S < most && call.G > 0 &&
         call.H % call.G == 0 && call.B * call.H < 65536 && headSize(call.K) && headSize(call.V) &&
         element(call.type) && element(call.resultType) &&
         (call.type == longscanElementBf16 || call.resultType == longscanElementF32);
}

struct BackwardWorkspace {
  WorkspaceParts parts;
  RowTerms terms;

  BackwardWorkspace(const LongscanAttention& call, void* base) : parts(base) {
    terms.pitch = (call.T + 127) / 128 * 128;
    terms.lse = parts.take<float>(call.B * call.H * terms.pitch);
    terms.delta = parts.take<float>(call.B * call.H * terms.pitch);
  }
};

}  // namespace

}  // namespace longscan

using namespace longscan;

size_t longscanAttentionBackwardWorkspaceBytes(const LongscanAttention* call) {
  return supported(*call) ? BackwardWorkspace(*call, nullptr).parts.used() : 0;
}

int longscanAttentionForward(const LongscanAttention* call, const LongscanAttentionForward* io,
                             CUstream_st* stream) {
  if (!supported(*call)) return cudaErrorInvalidValue;
  return forwardIsFast(*call) ? launchForward(*call, *io, stream) : launchPlainForward(*call, *io, stream);
}

int longscanAttentionBackward(const LongscanAttention* call, const LongscanAttentionBackward* io,
                              CUstream_st* stream) {
  if (!supported(*call)) return cudaErrorInvalidValue;
  const BackwardWorkspace work(*call, io->workspace);
  const cudaError_t error = launchRowTerms(*call, *io, work.terms, stream);
  return error == cudaSuccess ? launchPlainBackward(*call, *io, work.terms, stream) : error;
}
