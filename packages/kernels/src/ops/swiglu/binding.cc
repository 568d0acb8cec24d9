#include <initializer_list>

#include "../../addon/gpu_args.h"
#include "cuda.h"
#include "swiglu.h"

namespace longscan {

namespace {

/// An exponential and a division cost about this many additions.
constexpr int64_t workPerElement = 8;

void checkAlike(Args& args, const TensorRef& first, std::initializer_list<TensorRef> others) {
  for (const TensorRef& other : others) {
    args.checkSameType(first, other);
    args.check(first.numElements == other.numElements, "tensors differ in size");
  }
}

Napi::Value bindSwigluForward(Args& args) {
  args.stream();
  const TensorRef gate = args.tensor("gate");
  const TensorRef up = args.tensor("up");
  const TensorRef y = args.tensor("y");
  checkAlike(args, gate, {up, y});
  if (args.onGpu()) {
    for (const TensorRef& tensor : {gate, up, y}) checkAligned(args, tensor);
    const LongscanSwiglu call{y.numElements, isBf16(args, y), gate.data, up.data};
    const auto kernel = LONGSCAN_CUDA_FUNCTION(args, longscanSwigluForward);
    args.enqueueLaunch([=](CUstream_st* stream) { return kernel(&call, y.data, stream); });
    return args.env().Undefined();
  }
  args.enqueueRanges(gate.dtype, y.numElements, workPerElement, [=](auto zero, int64_t begin, int64_t end) {
    using T = decltype(zero);
    swigluForward(gate.as<T>(), up.as<T>(), y.as<T>(), begin, end);
  });
  return args.env().Undefined();
}

Napi::Value bindSwigluBackward(Args& args) {
  args.stream();
  const TensorRef dy = args.tensor("dy");
  const TensorRef gate = args.tensor("gate");
  const TensorRef up = args.tensor("up");
  const TensorRef dgate = args.tensor("dgate");
  const TensorRef dup = args.tensor("dup");
  checkAlike(args, dy, {gate, up, dgate, dup});
  if (args.onGpu()) {
    for (const TensorRef& tensor : {dy, gate, up, dgate, dup}) checkAligned(args, tensor);
    const LongscanSwiglu call{dy.numElements, isBf16(args, dy), gate.data, up.data};
    const auto kernel = LONGSCAN_CUDA_FUNCTION(args, longscanSwigluBackward);
    args.enqueueLaunch(
        [=](CUstream_st* stream) { return kernel(&call, dy.data, dgate.data, dup.data, stream); });
    return args.env().Undefined();
  }
  args.enqueueRanges(dy.dtype, dy.numElements, workPerElement, [=](auto zero, int64_t begin, int64_t end) {
    using T = decltype(zero);
    swigluBackward(dy.as<T>(), gate.as<T>(), up.as<T>(), dgate.as<T>(), dup.as<T>(), begin, end);
  });
  return args.env().Undefined();
}

}  // namespace

void register_swiglu(Registry& registry) {
  registry.add("swigluForward", 4, bindSwigluForward);
  registry.add("swigluBackward", 6, bindSwigluBackward);
}

}  // namespace longscan
