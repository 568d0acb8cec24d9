#include <initializer_list>

#include "../../addon/gpu_args.h"
#include "bind_projected.h"
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
    const LongscanSwiglu call{y.numElements, isBf16(args, y), gate.data, up.data, 0};
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
  const TensorRef y = args.optionalSizedTensor("y", dy, dy.numElements);
  checkAlike(args, dy, {gate, up, dgate, dup});
  if (args.onGpu()) {
    for (const TensorRef& tensor : {dy, gate, up, dgate, dup, y}) checkAligned(args, tensor);
    const LongscanSwiglu call{dy.numElements, isBf16(args, dy), gate.data, up.data, 0};
    const auto kernel = LONGSCAN_CUDA_FUNCTION(args, longscanSwigluBackward);
    args.enqueueLaunch(
        [=](CUstream_st* stream) { return kernel(&call, dy.data, dgate.data, dup.data, y.data, stream); });
    return args.env().Undefined();
  }
  args.enqueueRanges(dy.dtype, dy.numElements, workPerElement, [=](auto zero, int64_t begin, int64_t end) {
    using T = decltype(zero);
    const SwigluGradients<T> to{dgate.as<T>(), dup.as<T>(), y.as<T>()};
    swigluBackward(dy.as<T>(), gate.as<T>(), up.as<T>(), to, begin, end);
  });
  return args.env().Undefined();
}

/// Gate and up side by side in the rows of a tensor, values or gradients; flat: an array of one's shape.
LongscanSwiglu callOfRows(Args& args, const TensorRef& rows, const TensorRef& flat) {
  args.check(args.onGpu(), "only GPUs take gate and up in one tensor");
  args.checkSameType(rows, flat);
  const int64_t columns = flat.dim(-1);
  args.check(rows.numElements == 2 * flat.numElements && rows.dim(-1) == 2 * columns, "sizes do not fit");
  const auto size = static_cast<int64_t>(dtypeBytes(flat.dtype));
  args.check(columns * size % 16 == 0, "rows of gate and up are no multiple of 16 bytes");
  args.check(flat.numElements * size / 16 <= UINT32_MAX, "more than 64 GiB at once");
  checkAligned(args, rows);
  checkAligned(args, flat);
  return {flat.numElements, isBf16(args, flat), rows.data, rows.as<char>() + columns * size, columns};
}

Napi::Value bindSwigluPairForward(Args& args) {
  args.stream();
  const TensorRef pair = args.tensor("pair");
  const TensorRef y = args.tensor("y");
  const LongscanSwiglu call = callOfRows(args, pair, y);
  const auto kernel = LONGSCAN_CUDA_FUNCTION(args, longscanSwigluForward);
  args.enqueueLaunch([=](CUstream_st* stream) { return kernel(&call, y.data, stream); });
  return args.env().Undefined();
}

Napi::Value bindSwigluPairBackward(Args& args) {
  args.stream();
  const TensorRef dy = args.tensor("dy");
  const TensorRef pair = args.tensor("pair");
  const TensorRef dpair = args.tensor("dpair");
  const TensorRef y = args.optionalSizedTensor("y", dy, dy.numElements);
  checkAligned(args, y);
  const LongscanSwiglu call = callOfRows(args, pair, dy);
  const LongscanSwiglu gradients = callOfRows(args, dpair, dy);
  const auto kernel = LONGSCAN_CUDA_FUNCTION(args, longscanSwigluBackward);
  args.enqueueLaunch([=](CUstream_st* stream) {
    return kernel(&call, dy.data, const_cast<void*>(gradients.gate), const_cast<void*>(gradients.up), y.data,
                  stream);
  });
  return args.env().Undefined();
}

}  // namespace

void register_swiglu(Registry& registry) {
  registry.add("swigluForward", 4, bindSwigluForward);
  registry.add("swigluBackward", 7, bindSwigluBackward);
  registry.add("swigluPairForward", 3, bindSwigluPairForward);
  registry.add("swigluPairBackward", 5, bindSwigluPairBackward);
  registry.add("linearSwigluFits", 5, bindLinearSwigluFits);
  registry.add("linearSwigluForward", 6, bindLinearSwigluForward);
  registry.add("linearSwigluBackward", 6, bindLinearSwigluBackward);
}

}  // namespace longscan
