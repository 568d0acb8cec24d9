#include "../../addon/args.h"
#include "cuda.h"
#include "halves.h"

namespace longscan {

namespace {

constexpr int64_t workPerElement = 4;

void checkHalves(const Args& args, const TensorRef& values, const TensorRef& high, const TensorRef& low) {
  args.check(values.dtype == DType::f32, "values are not f32");
  for (const TensorRef& half : {high, low}) {
    args.check(half.dtype == DType::bf16, "a half is not bf16");
    args.check(half.numElements == values.numElements, "tensors differ in size");
  }
}

Napi::Value bindHalvesJoin(Args& args) {
  Stream& stream = args.stream();
  const TensorRef high = args.tensor("high");
  const TensorRef low = args.tensor("low");
  const TensorRef values = args.tensor("values");
  checkHalves(args, values, high, low);
  const int64_t count = values.numElements;
  const auto *upper = high.as<uint16_t>(), *lower = low.as<uint16_t>();
  auto* to = values.as<float>();
  if (args.onGpu()) {
    const auto kernel = LONGSCAN_CUDA_FUNCTION(args, longscanHalvesJoin);
    args.enqueueLaunch([=](CUstream_st* gpuStream) { return kernel(upper, lower, to, count, gpuStream); });
    return args.env().Undefined();
  }
  ThreadPool& pool = stream.context().pool();
  args.enqueue([=, &pool] {
    parallelFor(pool, count, workPerElement,
                [=](int64_t begin, int64_t end) { joinHalves(upper, lower, to, begin, end); });
  });
  return args.env().Undefined();
}

Napi::Value bindHalvesSplit(Args& args) {
  Stream& stream = args.stream();
  const TensorRef values = args.tensor("values");
  const TensorRef high = args.tensor("high");
  const TensorRef low = args.tensor("low");
  checkHalves(args, values, high, low);
  const int64_t count = values.numElements;
  const auto* from = values.as<float>();
  auto *upper = high.as<uint16_t>(), *lower = low.as<uint16_t>();
  if (args.onGpu()) {
    const auto kernel = LONGSCAN_CUDA_FUNCTION(args, longscanHalvesSplit);
    args.enqueueLaunch([=](CUstream_st* gpuStream) { return kernel(from, upper, lower, count, gpuStream); });
    return args.env().Undefined();
  }
  ThreadPool& pool = stream.context().pool();
  args.enqueue([=, &pool] {
    parallelFor(pool, count, workPerElement,
                [=](int64_t begin, int64_t end) { splitHalves(from, upper, lower, begin, end); });
  });
  return args.env().Undefined();
}

}  // namespace

void register_halves(Registry& registry) {
  registry.add("halvesJoin", 4, bindHalvesJoin);
  registry.add("halvesSplit", 4, bindHalvesSplit);
}

}  // namespace longscan
