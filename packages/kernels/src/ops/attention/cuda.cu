#include "cuda.h"

#include "cuda_backward.h"
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

/// Of the backward pass without tensor cores.
RowTerms plainTerms(const LongscanAttention& call, WorkspaceParts& parts) {
  return {parts.take<float>(call.B * call.H * call.T), parts.take<float>(call.B * call.H * call.T), call.T};
}

#define LONGSCAN_TRY(expression) \
  if (const cudaError_t error = (expression)) return error

cudaError_t backward(const LongscanAttention& call, const LongscanAttentionBackward& io,
                     cudaStream_t stream) {
  WorkspaceParts parts(io.workspace);
  if (!backwardIsFast(call)) {
    const RowTerms terms = plainTerms(call, parts);
    LONGSCAN_TRY(launchRowTerms(call, io, terms, stream));
    return launchPlainBackward(call, io, terms, stream);
  }
  const BackwardMemory memory(call, parts);
  LONGSCAN_TRY(memory.clear(stream));
  LONGSCAN_TRY(launchQueryBlocks(call, memory.blocks, stream));
  LONGSCAN_TRY(launchRowTerms(call, io, memory.terms, stream));
  LONGSCAN_TRY(launchBackward(call, io, memory, stream));
  return launchQueryGradient(call, io, memory, stream);
}

#undef LONGSCAN_TRY

}  // namespace

}  // namespace longscan

using namespace longscan;

size_t longscanAttentionSharedBytes(const LongscanAttention* call) {
  return plainSharedBytes(*call);
}

size_t longscanAttentionBackwardWorkspaceBytes(const LongscanAttention* call) {
  if (!supported(*call)) return 0;
  WorkspaceParts parts(nullptr);
  if (backwardIsFast(*call))
    BackwardMemory(*call, parts);
  else
    plainTerms(*call, parts);
  return parts.used();
}

int longscanAttentionForward(const LongscanAttention* call, const LongscanAttentionForward* io,
                             CUstream_st* stream) {
  if (!supported(*call)) return cudaErrorInvalidValue;
  return forwardIsFast(*call) ? launchForward(*call, *io, stream) : launchPlainForward(*call, *io, stream);
}

int longscanAttentionBackward(const LongscanAttention* call, const LongscanAttentionBackward* io,
                              CUstream_st* stream) {
  if (!supported(*call) || (call->type == longscanElementF32 && io->oType != longscanElementF32))
    return cudaErrorInvalidValue;
  return backward(*call, *io, stream);
}
