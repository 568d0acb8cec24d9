#include "../../addon/gpu_args.h"
#include "block_linear.h"
#include "cuda.h"

namespace longscan {

namespace {

/// The arguments of every function here: stream, x or its gradient, weight or its gradient, y or its
/// gradient.
struct Operands {
  Stream& stream;
  TensorRef x, weight, y;
  BlockLinear shape;

  explicit Operands(Args& args)
      : stream(args.stream()), x(args.tensor("x")), weight(args.tensor("weight")), y(args.tensor("y")) {
    args.check(weight.numDims == 3, "weight is not [G, out, in]");
    const int64_t G = weight.dim(0), out = weight.dim(1), in = weight.dim(2);
    args.check(G >= 1, "there is no block");
    args.check(in >= 1 && out >= 1 && in <= 4096 && out <= 4096, "block sizes are not between 1 and 4096");
    const int64_t numRows = x.numElements / (G * in);
    args.check(x.numElements == numRows * G * in && y.numElements == numRows * G * out,
               "x or y is not of whole rows, or not of as many");
    args.checkSameType(x, y);
    shape = {numRows, G, static_cast<int>(in), static_cast<int>(out)};
  }

  /// Enqueues `body(zero, begin, end, scratch)` for the blocks, a fixed share per thread.
  template <typename Body>
  void enqueue(Args& args, Body body) const {
    args.checkSameType(x, weight);
    ThreadPool& pool = stream.context().pool();
    dispatchFloat(args, weight.dtype, [&](auto zero) {
      args.enqueue([=, shape = shape, &pool] {
        runWithScratch(pool, shape.G, blockLinearScratchBytes(shape, sizeof(zero)),
                       [&](int64_t begin, int64_t end, void* scratch) { body(zero, begin, end, scratch); });
      });
    });
  }

  // On a GPU a block's rows lie G blocks apart, and the blocks are a batch.
  CudaMatrix X() const { return {x.data, x.dtype, shape.G * shape.in, shape.in}; }
  CudaMatrix Y() const { return {y.data, y.dtype, shape.G * shape.out, shape.out}; }
  CudaMatrix W() const {
    return {weight.data, weight.dtype, shape.in, static_cast<int64_t>(shape.in) * shape.out};
  }
  void enqueueOnGpu(Args& args, CudaGemm gemm) const {
    gemm.batch = shape.G;
    args.enqueueGemm(gemm);
  }
};

/// Blocks of 4 x 4 have kernels of their own on GPUs: a library's tiles would be nearly empty.
bool areSmall(const BlockLinear& shape) {
  return shape.in == 4 && shape.out == 4;
}

void enqueueSmall(Args& args, const Operands& operands, bool transposed) {
  const auto& [stream, x, weight, y, shape] = operands;
  args.checkSameType(x, weight);
  for (const TensorRef& tensor : {x, weight, y}) checkAligned(args, tensor);
  const LongscanSmallBlocks call{shape.numRows,
                                 shape.G,
                                 isBf16(args, x),
                                 transposed,
                                 transposed ? y.data : x.data,
                                 weight.data,
                                 transposed ? x.data : y.data};
  const auto kernel = LONGSCAN_CUDA_FUNCTION(args, longscanSmallBlocks);
  args.enqueueLaunch([=](CUstream_st* stream) { return kernel(&call, stream); });
}

void enqueueSmallGradient(Args& args, const Operands& operands, bool accumulate) {
  const auto& [stream, x, dw, dy, shape] = operands;
  for (const TensorRef& tensor : {x, dw, dy}) checkAligned(args, tensor);
  LongscanSmallBlocksGradient call{shape.numRows, shape.G, isBf16(args, x), isBf16(args, dw), accumulate,
                                   x.data,        dy.data, dw.data,         nullptr};
  call.workspace = static_cast<float*>(
      args.workspace(LONGSCAN_CUDA_FUNCTION(args, longscanSmallBlocksWorkspaceBytes)(&call)));
  const auto kernel = LONGSCAN_CUDA_FUNCTION(args, longscanSmallBlocksGradient);
  args.enqueueLaunch([=](CUstream_st* stream) { return kernel(&call, stream); });
}

Napi::Value bindForward(Args& args) {
  const Operands operands(args);
  const BlockLinear& shape = operands.shape;
  if (args.onGpu()) {
    if (areSmall(shape)) {
      enqueueSmall(args, operands, false);
    } else {
      operands.enqueueOnGpu(
          args, {false, true, shape.numRows, shape.out, shape.in, operands.X(), operands.W(), operands.Y()});
    }
    return args.env().Undefined();
  }
  operands.enqueue(args, [x = operands.x, weight = operands.weight, y = operands.y, shape = operands.shape](
                             auto zero, int64_t begin, int64_t end, void* scratch) {
    using Real = decltype(zero);
    blockLinearForward(shape, x.as<Real>(), weight.as<Real>(), y.as<Real>(), begin, end, scratch);
  });
  return args.env().Undefined();
}

Napi::Value bindInputGrad(Args& args) {
  const Operands operands(args);
  const BlockLinear& shape = operands.shape;
  if (args.onGpu()) {
    if (areSmall(shape)) {
      enqueueSmall(args, operands, true);
    } else {
      operands.enqueueOnGpu(
          args, {false, false, shape.numRows, shape.in, shape.out, operands.Y(), operands.W(), operands.X()});
    }
    return args.env().Undefined();
  }
  operands.enqueue(args, [dx = operands.x, weight = operands.weight, dy = operands.y, shape = operands.shape](
                             auto zero, int64_t begin, int64_t end, void* scratch) {
    using Real = decltype(zero);
    blockLinearInputGrad(shape, dy.as<Real>(), weight.as<Real>(), dx.as<Real>(), begin, end, scratch);
  });
  return args.env().Undefined();
}

Napi::Value bindWeightGrad(Args& args) {
  const Operands operands(args);
  const bool accumulate = args.flag("accumulate");
  const BlockLinear& shape = operands.shape;
  if (args.onGpu()) {
    if (areSmall(shape)) {
      enqueueSmallGradient(args, operands, accumulate);
    } else {
      operands.enqueueOnGpu(args, {true, false, shape.out, shape.in, shape.numRows, operands.Y(),
                                   operands.X(), operands.W(), accumulate});
    }
    return args.env().Undefined();
  }
  operands.enqueue(args, [=, x = operands.x, dw = operands.weight, dy = operands.y, shape = operands.shape](
                             auto zero, int64_t begin, int64_t end, void* scratch) {
    using Real = decltype(zero);
    blockLinearWeightGrad(shape, x.as<Real>(), dy.as<Real>(), dw.as<Real>(), accumulate, begin, end, scratch);
  });
  return args.env().Undefined();
}

}  // namespace

void register_block_linear(Registry& registry) {
  registry.add("blockLinearForward", 4, bindForward);
  registry.add("blockLinearInputGrad", 4, bindInputGrad);
  registry.add("blockLinearWeightGrad", 5, bindWeightGrad);
}

}  // namespace longscan
