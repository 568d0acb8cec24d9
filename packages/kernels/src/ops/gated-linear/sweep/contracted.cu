#include "launch.cuh"

namespace longscan {

bool wideSweepFits() {
  constexpr bool summary = false;
  using Layout = SweepLayout<256, 128, SweepDecay::contracted, summary>;
  int device = 0, major = 0, perBlock = 0;
  return cudaGetDevice(&device) == cudaSuccess &&
         cudaDeviceGetAttribute(&major, cudaDevAttrComputeCapabilityMajor, device) == cudaSuccess &&
         cudaDeviceGetAttribute(&perBlock, cudaDevAttrMaxSharedMemoryPerBlockOptin, device) == cudaSuccess &&
         major >= 9 && perBlock >= Layout::bytes(2, Layout::stage(true), true);
}

bool sweepsFit(int K, int V) {
  if (K <= 128 && V <= 128) return true;
  // The largest of those with 64 free channels, one chunk at a time.
  using Layout = SweepLayout<256, 64, SweepDecay::contracted, false>;
  int device = 0, perBlock = 0;
  return cudaGetDevice(&device) == cudaSuccess &&
         cudaDeviceGetAttribute(&perBlock, cudaDevAttrMaxSharedMemoryPerBlockOptin, device) == cudaSuccess &&
         perBlock >= Layout::bytes(1, Layout::stage(true), true);
}

template <>
cudaError_t launchSweepOf<SweepDecay::contracted>(const SweepCall& call, cudaStream_t stream) {
  return launchSweepBySize<SweepDecay::contracted, false>(call, stream);
}

template <>
cudaError_t launchSummaryOf<SweepDecay::contracted>(const SweepCall& call, cudaStream_t stream) {
  return launchSweepBySize<SweepDecay::contracted, true>(call, stream);
}

}  // namespace longscan
