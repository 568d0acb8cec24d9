#include <cstring>

#include "../../addon/args.h"
#include "cuda.h"

namespace longscan {

namespace {

/// A copy has no arithmetic, so one function serves every dtype and instruction set.
Napi::Value bindCopyColumns(Args& args) {
  Stream& stream = args.stream();
  const TensorRef source = args.optionalTensor("source");
  const int64_t sourceFirst = args.integer("sourceFirst");
  const TensorRef target = args.tensor("target");
  const int64_t targetFirst = args.integer("targetFirst");
  const int64_t cols = args.integer("cols");
  args.check(target.numDims >= 1, "target has no dims");
  const auto inside = [&](const TensorRef& tensor, int64_t first) {
    return first >= 0 && cols >= 0 && first <= tensor.dim(-1) - cols;
  };
  args.check(inside(target, targetFirst), "columns outside of a row");
  if (source) {
    args.checkSameType(source, target);
    args.check(source.numDims >= 1 && source.numRows() == target.numRows(),
               "source and target differ in rows");
    args.check(inside(source, sourceFirst), "columns outside of a row");
  }
  const size_t element = dtypeBytes(target.dtype);
  const auto at = [=](const TensorRef& tensor, int64_t row, int64_t first) {
    return tensor.as<char>() + static_cast<size_t>(row * tensor.dim(-1) + first) * element;
  };
  if (args.onGpu()) {
    const auto kernel = LONGSCAN_CUDA_FUNCTION(args, longscanCopyColumns);
    const auto bytes = static_cast<int64_t>(element);
    args.enqueueLaunch([=](CUstream_st* gpuStream) {
      return kernel(source ? at(source, 0, sourceFirst) : nullptr, source ? source.dim(-1) * bytes : 0,
                    at(target, 0, targetFirst), target.dim(-1) * bytes, target.numRows(), cols * bytes,
                    gpuStream);
    });
    return args.env().Undefined();
  }
  ThreadPool& pool = stream.context().pool();
  args.enqueue([=, &pool] {
    parallelFor(pool, target.numRows(), cols, [&](int64_t begin, int64_t end) {
      const size_t bytes = static_cast<size_t>(cols) * element;
      for (int64_t row = begin; row < end; row++) {
        if (source)
          std::memcpy(at(target, row, targetFirst), at(source, row, sourceFirst), bytes);
        else
          std::memset(at(target, row, targetFirst), 0, bytes);
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
