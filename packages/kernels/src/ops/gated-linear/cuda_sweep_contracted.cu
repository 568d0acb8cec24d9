#include "cuda_sweep_launch.cuh"

namespace longscan {

template <>
cudaError_t launchSweepOf<SweepDecay::contracted>(const SweepCall& call, cudaStream_t stream) {
  return launchSweepBySize<SweepDecay::contracted, false>(call, stream);
}

template <>
cudaError_t launchSummaryOf<SweepDecay::contracted>(const SweepCall& call, cudaStream_t stream) {
  return launchSweepBySize<SweepDecay::contracted, true>(call, stream);
}

}  // namespace longscan
