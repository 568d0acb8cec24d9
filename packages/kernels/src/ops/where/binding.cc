#include "../../addon/args.h"
#include "cuda.h"
#include "where.h"

namespace longscan {

namespace {

Napi::Value bindWhere(Args& args) {
  Stream& stream = args.stream();
  const TensorRef condition = args.tensor("condition", DType::i32);
  const TensorRef a = args.optionalTensor("a");
  const TensorRef b = args.optionalTensor("b");
  const TensorRef y = args.tensor("y");
  for (const TensorRef& source : {a, b}) {
    if (!source) continue;
    args.checkSameType(source, y);
    args.check(source.numElements == y.numElements, "a, b and y differ in size");
  }
  const int64_t rows = condition.numElements;
  if (rows == 0) return args.env().Undefined();
  args.check(y.numElements % rows == 0, "y has no row for each condition");
  const int64_t rowBytes = static_cast<int64_t>(y.bytes()) / rows;
  if (args.onGpu()) {
    const auto kernel = LONGSCAN_CUDA_FUNCTION(args, longscanSelectRows);
    args.enqueueLaunch([=](CUstream_st* gpuStream) {
      return kernel(condition.as<int32_t>(), a.data, b.data, y.data, rows, rowBytes, gpuStream);
    });
    return args.env().Undefined();
  }
  ThreadPool& pool = stream.context().pool();
  args.enqueue([=, &pool] {
    parallelFor(pool, rows, rowBytes, [&](int64_t begin, int64_t end) {
      selectRows(condition.as<int32_t>(), a ? a.as<char>() : nullptr, b ? b.as<char>() : nullptr,
                 y.as<char>(), rowBytes, begin, end);
    });
  });
  return args.env().Undefined();
}

}  // namespace

void register_where(Registry& registry) {
  registry.add("where", 5, bindWhere);
}

}  // namespace longscan
