#include "backward.h"

namespace longscan {

namespace {

using Bf16 = __nv_bfloat16;

cudaError_t backward(const LongscanDplr& call, const LongscanDplrBackward& io, cudaStream_t stream) {
  const DplrKept<Bf16> kept(call, io.kept);
  const DplrBackwardMemory memory(call, io.workspace);
  const auto* dO = static_cast<const Bf16*>(io.dO);
  cudaError_t error = launchDplrAdjoint({call, kept, dO, io.dht, io.dh0, memory.dX, memory.adjoints}, stream);
  if (error == cudaSuccess)
    error = launchDplrValues({call, kept, memory, dO, static_cast<Bf16*>(io.dv)}, stream);
  if (error == cudaSuccess) error = launchDplrGradient({call, kept, memory, io}, stream);
  return error;
}

}  // namespace

}  // namespace longscan

using namespace longscan;

size_t longscanDplrWorkspaceBytes(const LongscanDplr* call) {
  return longscanDplrTakes(call) ? DplrBackwardMemory(*call, nullptr).arena.used() : 0;
}

int longscanDplrBackward(const LongscanDplr* call, const LongscanDplrBackward* io, CUstream_st* stream) {
  return longscanDplrTakes(call) ? backward(*call, *io, stream) : cudaErrorInvalidValue;
}
