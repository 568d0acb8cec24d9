#include <vector>

#include "../../addon/gpu_args.h"
#include "cuda.h"
#include "rotary.h"

namespace longscan {

size_t rotaryScratchBytes(int64_t K) {
  // Frequencies, 32 fine turns and a coarse one as (cos, sin), and one row's (cos, sin).
  return sizeof(double) * static_cast<size_t>(K / 2) * (1 + 2 * 32 + 2 + 2);
}

namespace {

Napi::Value bindRotary(Args& args) {
  args.stream();
  const double theta = args.number("theta");
  const int64_t step = args.integer("step");
  const bool inverse = args.flag("inverse");
  const TensorRef positions = args.tensor("positions", DType::i32);
  const TensorRef x = args.tensor("x");
  const TensorRef y = args.sizedTensor("y", x, x.numElements);
  args.check(x.numDims == 4 && x.dim(3) % 2 == 0, "x is not [B, T, H, K] with an even K");
  args.check(positions.numElements == x.dim(0) * x.dim(1), "positions is not [B, T]");
  args.check(theta > 0 && step >= 1, "theta and step are not above zero");
  const int64_t rows = x.dim(0) * x.dim(1), H = x.dim(2), K = x.dim(3);
  if (args.onGpu()) {
    const LongscanRotary call{rows, H, K, theta, inverse ? -1.0 : 1.0, step, positions.as<int32_t>()};
    void* const workspace = args.workspace(LONGSCAN_CUDA_FUNCTION(args, longscanRotaryWorkspaceBytes)(&call));
    const auto kernel = LONGSCAN_CUDA_FUNCTION(args, longscanRotary);
    const LongscanArray from = gpuArray(args, x), to = gpuArray(args, y);
    args.enqueueLaunch([=](CUstream_st* stream) { return kernel(&call, from, to, workspace, stream); });
    return args.env().Undefined();
  }
  args.enqueueRanges(x.dtype, rows, H * K, [=](auto zero, int64_t begin, int64_t end) {
    using Real = decltype(zero);
    std::vector<double> scratch(rotaryScratchBytes(K) / sizeof(double));
    const double sign = inverse ? -1 : 1;
    rotary(Rotary<Real>{H, K, theta, sign, step, positions.as<int32_t>(), x.as<Real>(), y.as<Real>()}, begin,
           end, scratch.data());
  });
  return args.env().Undefined();
}

}  // namespace

void register_rotary(Registry& registry) {
  registry.add("rotary", 7, bindRotary);
}

}  // namespace longscan
