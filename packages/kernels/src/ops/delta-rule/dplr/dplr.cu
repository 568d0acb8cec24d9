#include "dplr.h"

#include <algorithm>

#include "backward.h"
#include "cuda/library.h"
#include "kept.h"
#include "stages.h"

namespace longscan {

namespace {

bool supported(const LongscanDplr& call) {
  const auto isHeadSize = [](int size, int most) { return size > 0 && size % 8 == 0 && size <= most; };
  return call.B > 0 && call.T > 0 && call.H > 0 && isHeadSize(call.K, 128) && isHeadSize(call.V, 256) &&
         DplrSizes(call).count <= INT32_MAX && call.scale != 0.0f && call.b != nullptr &&
         (call.e != nullptr || (call.g != nullptr && call.hasGateOfChannels));
}

/// Both passes, so that what has gone forward can go backward.
bool takes(const LongscanDplr& call) {
  if (!supported(call)) return false;
  const int keys = DplrSizes(call).keys;
  return std::max({dplrPrepareSharedBytes(keys), dplrChainSharedBytes(keys), dplrAdjointSharedBytes(keys),
                   dplrGradientSharedBytes(keys)}) <= longscanCudaSharedBytesOfBlock();
}

}  // namespace

}  // namespace longscan

using namespace longscan;

int longscanDplrTakes(const LongscanDplr* call) {
  return takes(*call) ? 1 : 0;
}

size_t longscanDplrKeptBytes(const LongscanDplr* call) {
  return supported(*call) ? DplrKept<uint16_t>(*call, nullptr).arena.used() : 0;
}

int longscanDplrForward(const LongscanDplr* call, const LongscanDplrForward* io, CUstream_st* stream) {
  if (!takes(*call)) return cudaErrorInvalidValue;
  cudaError_t error = launchDplrPrepare(*call, io->kept, stream);
  if (error == cudaSuccess) error = launchDplrChain(*call, *io, stream);
  if (error == cudaSuccess) error = launchDplrOutput(*call, *io, stream);
  return error;
}
