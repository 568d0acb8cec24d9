#include "cuda_sweep_launch.cuh"

namespace longscan {

template <>
cudaError_t launchSweepOf<SweepDecay::free>(const SweepCall& call, cudaStream_t stream) {
  return launchSweepBySize<SweepDecay::free, false>(call, stream);
}

}  // namespace longscan
