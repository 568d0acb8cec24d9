#include "launch.cuh"

namespace longscan {

template <>
cudaError_t launchSweepOf<SweepDecay::scalar>(const SweepCall& call, cudaStream_t stream) {
  return launchSweepBySize<SweepDecay::scalar, false>(call, stream);
}

template <>
cudaError_t launchSummaryOf<SweepDecay::scalar>(const SweepCall& call, cudaStream_t stream) {
  return launchSweepBySize<SweepDecay::scalar, true>(call, stream);
}

}  // namespace longscan
