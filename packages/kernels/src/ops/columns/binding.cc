#include <cstring>

#include "../../addon/args.h"
#include "cuda.h"

namespace longscan {

namespace {

/// A copy has no arithmetic, so one function serves every dtype and instruction set.
Napi::Value bindCopyColumns(Args& args) {
  Stream& stream = args.stream();
  const TensorRef source = args.tensor("source");
  const int64_t sourceFirst = args.integer("sourceFirst");
  const TensorRef target = args.tensor("target");
  const int64_t targetFirst = args.integer("targetFirst");
  const int64_t cols = args.integer("cols");
  args.checkSameType(source, target);
  args.check(source.numDims >= 1 && target.numDims >= 1 && source.numRows() == target.numRows(),
             "source and target differ in rows");
  const auto inside = [&](const TensorRef& tensor, int64_t first) {
    return first >= 0 && cols >= 0 && first <= tensor.dim(-1) - cols;
  };
  args.check(inside(source, sourceFirst) && inside(target, targetFirst), "columns outside of a row");
  const size_t element = dtypeBytes(source.dtype);
  const auto at = [=](const TensorRef& tensor, int64_t row, int64_t first) {
    return tensor.as<char>() + static_cast<size_t>(row * tensor.dim(-1) + first) * element;
  };
  if (args.onGpu()) {
    const auto kernel = LONGSCAN_CUDA_FUNCTION(args, longscanCopyColumns);
    const auto bytes = static_cast<int64_t>(element);
    args.enqueueLaunch([=](CUstream_st* gpuStream) {
      return kernel(at(source, 0, sourceFirst), source.dim(-1) * bytes, at(target, 0, targetFirst),
                    target.dim(-1) * bytes, source.numRows(), cols * bytes, gpuStream);
    });
    return args.env().Undefined();
  }
  ThreadPool& pool = stream.context().pool();
  args.enqueue([=, &pool] {
    parallelFor(pool, source.numRows(), cols, [&](int64_t begin, int64_t end) {
      for (int64_t row = begin; row < end; row++) {
        std::memcpy(at(target, row, targetFirst), at(source, row, sourceFirst),
                    static_cast<size_t>(cols) * element);
      }
    });
  });
  return args.env().Undefined();
}

}  // namespace

void register_columns(Registry& registry) {
  registry.add("copyColumns", 6, bindCopyColumns);
}

}  // namespace longscan
