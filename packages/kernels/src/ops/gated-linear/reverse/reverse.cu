#include "reverse.cuh"

#include "../segments/launch.cuh"
#include "load.cuh"

namespace longscan {

namespace {

template <int DK, int DV>
constexpr int reverseThreads = ReverseFrame<DK, DV>::threads + ReverseFrame<DK, DV>::loaders;

/// For devices with bulk copies: Hopper and newer.
template <int DK, int DV>
__global__ void __launch_bounds__(reverseThreads<DK, DV>, residentBlocks(DK, DV))
    reverseKernel(const __grid_constant__ ReverseCall call) {
#if __CUDA_ARCH__ >= 900
  extern __shared__ __align__(1024) unsigned char shared[];
  using Frame = ReverseFrame<DK, DV>;
  // The loading warps give registers to those that compute, where there are not enough for all.
  constexpr bool gives = DV == 128 || DK == 64;
  Frame::initBarriers(shared);
  __syncthreads();
  const Frame frame(call, shared);
  if (threadIdx.x >= Frame::threads) {
    if (gives) shrinkRegisters<72>();
    ReverseLoader<DK, DV>(frame).load();
  } else {
    if (gives) growRegisters<DV == 128 ? 216 : 184>();
    Reverse<DK, DV>(frame).compute();
  }
#endif
}

template <int DK, int DV>
cudaError_t launch(const ReverseCall& call, cudaStream_t stream) {
  const dim3 grid(static_cast<unsigned>(call.B * call.H * call.numSegments));
  return launchWithMemory(reverseKernel<DK, DV>, grid, reverseThreads<DK, DV>, ReverseLayout<DK, DV>::bytes,
                          stream, call);
}

}  // namespace

bool reverseSweepFits(int K, int V) {
  const DeviceSupport device;
  return K <= 128 && V <= 128 && device.major >= 9 && device.sharedBytes >= ReverseLayout<128, 128>::bytes;
}

cudaError_t launchReverse(const ReverseCall& call, cudaStream_t stream) {
  if (call.K <= 64) return call.V <= 64 ? launch<64, 64>(call, stream) : launch<64, 128>(call, stream);
  return call.V <= 64 ? launch<128, 64>(call, stream) : launch<128, 128>(call, stream);
}

}  // namespace longscan
