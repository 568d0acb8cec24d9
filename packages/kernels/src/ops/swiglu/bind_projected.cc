#include "bind_projected.h"

#include <initializer_list>

#include "../../addon/gpu_args.h"
#include "cuda_projected.h"

namespace longscan {

namespace {

/// What the copy engine can be told of: rows of bf16 that begin at 16 bytes, sizes of 32 bits.
bool isMappable(const TensorRef& tensor) {
  return tensor.dtype == DType::bf16 && tensor.dim(-1) % 8 == 0 && tensor.numRows() <= INT32_MAX &&
         reinterpret_cast<uintptr_t>(tensor.data) % 16 == 0;
}

void checkMappable(const Args& args, std::initializer_list<TensorRef> tensors) {
  args.check(args.onHopper(), "only for GPUs of compute capability 9.0");
  for (const TensorRef& tensor : tensors)
    args.check(isMappable(tensor), "a tensor is not of bf16 in rows that begin at 16 bytes");
}

/// x or dy [T, D], a weight of as many columns or rows, gate and up side by side [T, 2 F] and y [T, F], of
/// which one may be left out.
LongscanLinearSwiglu callOf(const Args& args, const TensorRef& x, int64_t weightDepth, const TensorRef& pair,
                            const TensorRef& y) {
  const int64_t rows = x.numRows(), F = pair ? pair.dim(-1) / 2 : y.dim(-1);
  args.check(weightDepth == x.dim(-1), "a weight does not fit the rows");
  args.check(!pair || (pair.numRows() == rows && pair.dim(-1) == 2 * F), "sizes do not fit");
  args.check(!y || (y.numRows() == rows && y.dim(-1) == F), "y does not fit the pair");
  return {rows, x.dim(-1), F, pair.data, y.data};
}

}  // namespace

Napi::Value bindLinearSwigluFits(Args& args) {
  args.stream();
  bool fits = args.onHopper();
  for (const char* name : {"x", "gate", "up", "down"}) fits = isMappable(args.tensor(name)) && fits;
  return Napi::Boolean::New(args.env(), fits);
}

Napi::Value bindLinearSwigluForward(Args& args) {
  args.stream();
  const TensorRef x = args.tensor("x");
  const TensorRef gate = args.tensor("gate");
  const TensorRef up = args.tensor("up");
  const TensorRef pair = args.optionalTensor("pair");
  const TensorRef y = args.tensor("y");
  checkMappable(args, {x, gate, up, y});
  if (pair) checkMappable(args, {pair});
  const LongscanLinearSwiglu call = callOf(args, x, gate.dim(-1), pair, y);
  for (const TensorRef& weight : {gate, up})
    args.check(weight.dim(-1) == call.D && weight.numRows() == call.F, "a weight does not fit the pair");
  const auto kernel = LONGSCAN_CUDA_FUNCTION(args, longscanLinearSwigluForward);
  args.enqueueLaunch([=](CUstream_st* stream) { return kernel(&call, x.data, gate.data, up.data, stream); });
  return args.env().Undefined();
}

Napi::Value bindLinearSwigluBackward(Args& args) {
  args.stream();
  const TensorRef dy = args.tensor("dy");
  const TensorRef down = args.tensor("down");
  const TensorRef pair = args.tensor("pair");
  const TensorRef dpair = args.tensor("dpair");
  const TensorRef y = args.optionalTensor("y");
  checkMappable(args, {dy, down, pair, dpair});
  if (y) checkMappable(args, {y});
  const LongscanLinearSwiglu call = callOf(args, dy, down.numRows(), pair, y);
  args.check(down.dim(-1) == call.F && dpair.numElements == pair.numElements, "sizes do not fit");
  const auto kernel = LONGSCAN_CUDA_FUNCTION(args, longscanLinearSwigluBackward);
  args.enqueueLaunch(
      [=](CUstream_st* stream) { return kernel(&call, dy.data, down.data, dpair.data, stream); });
  return args.env().Undefined();
}

}  // namespace longscan
