#include <algorithm>
#include <chrono>
#include <vector>

#include "../../addon/args.h"
#include "../../core/onednn.h"
#include "bind_joined.h"
#include "cuda.h"
#include "gemm.h"
#include "linear.h"

namespace longscan {

namespace {

/// x [rows, in], weight [out, in] and y [rows, out]: values or gradients of them.
struct Linear {
  TensorRef x, weight, y;
  int64_t rows, in, out;

  Linear(Args& args, const TensorRef& x, const TensorRef& weight, const TensorRef& y)
      : x(x), weight(weight), y(y), rows(x.numRows()), in(weight.dim(1)), out(weight.dim(0)) {
    args.check(weight.numDims == 2 && x.numDims >= 1 && y.numDims >= 1, "weight is not a matrix");
    args.check(x.dim(-1) == in && y.dim(-1) == out, "last dims do not fit the weight");
    args.check(rows == y.numRows(), "numbers of rows differ");
    args.checkSameType(x, y);
  }

  /// For the CPU.
  void checkTypes(const Args& args) const {
    args.checkSameType(x, weight);
    args.checkOnCpu();
    if (x.dtype == DType::f32) requireGemm();
  }

  // As matrices on a GPU.
  CudaMatrix X() const { return {x.data, x.dtype, in}; }
  CudaMatrix W() const { return {weight.data, weight.dtype, in}; }
  CudaMatrix Y() const { return {y.data, y.dtype, out}; }
};

/// The bias as the product adds it, of y's type: a copy, rounded, where it is f32 and y is not.
const void* biasOnGpu(Args& args, const TensorRef& bias, const TensorRef& y) {
  if (!bias || bias.dtype == y.dtype) return bias.data;
  args.check(bias.dtype == DType::f32, "bias is neither f32 nor of y's type");
  void* rounded = args.workspace(static_cast<size_t>(bias.numElements) * dtypeBytes(y.dtype));
  const auto kernel = LONGSCAN_CUDA_FUNCTION(args, longscanRoundBias);
  args.enqueueLaunch([=, from = bias.as<float>(), count = bias.numElements](CUstream_st* stream) {
    return kernel(from, rounded, count, stream);
  });
  return rounded;
}

Napi::Value bindLinearForward(Args& args) {
  Stream& stream = args.stream();
  const TensorRef x = args.tensor("x");
  const TensorRef weight = args.tensor("weight");
  const TensorRef bias = args.optionalTensor("bias");
  const Linear linear(args, x, weight, args.tensor("y"));
  args.check(!bias || bias.numElements == linear.out, "bias does not fit the weight");
  if (args.onGpu()) {
    CudaGemm gemm{false, true, linear.rows, linear.out, linear.in, linear.X(), linear.W(), linear.Y()};
    gemm.bias = biasOnGpu(args, bias, linear.y);
    args.enqueueGemm(gemm);
    return args.env().Undefined();
  }
  linear.checkTypes(args);
  if (bias) args.checkSameType(x, bias);
  ThreadPool& pool = stream.context().pool();
  dispatchFloat(args, x.dtype, [&](auto zero) {
    using T = decltype(zero);
    args.enqueue([=, y = linear.y.as<T>(), rows = linear.rows, in = linear.in, out = linear.out, &pool] {
      if (bias) {
        parallelFor(pool, rows, out,
                    [&](int64_t begin, int64_t end) { fillRows(bias.as<T>(), y, out, begin, end); });
      }
      gemm(pool,
           Gemm<T>{false, true, rows, out, in, x.as<T>(), in, weight.as<T>(), in, T(bias ? 1 : 0), y, out});
    });
  });
  return args.env().Undefined();
}

Napi::Value bindLinearInputGradient(Args& args) {
  Stream& stream = args.stream();
  const TensorRef dy = args.tensor("dy");
  const TensorRef weight = args.tensor("weight");
  const TensorRef dx = args.tensor("dx");
  const bool accumulate = args.flag("accumulate");
  const Linear linear(args, dx, weight, dy);
  if (args.onGpu()) {
    args.enqueueGemm(
        {false, false, linear.rows, linear.in, linear.out, linear.Y(), linear.W(), linear.X(), accumulate});
    return args.env().Undefined();
  }
  linear.checkTypes(args);
  ThreadPool& pool = stream.context().pool();
  dispatchFloat(args, dy.dtype, [&](auto zero) {
    using T = decltype(zero);
    args.enqueue([=, rows = linear.rows, in = linear.in, out = linear.out, &pool] {
      gemm(pool, Gemm<T>{false, false, rows, in, out, dy.as<T>(), out, weight.as<T>(), in,
                         T(accumulate ? 1 : 0), dx.as<T>(), in});
    });
  });
  return args.env().Undefined();
}

Napi::Value bindLinearWeightGradient(Args& args) {
  Stream& stream = args.stream();
  const TensorRef dy = args.tensor("dy");
  const TensorRef x = args.tensor("x");
  const TensorRef dw = args.tensor("dw");
  const bool accumulate = args.flag("accumulate");
  const Linear linear(args, x, dw, dy);
  if (args.onGpu()) {
    args.enqueueGemm(
        {true, false, linear.out, linear.in, linear.rows, linear.Y(), linear.X(), linear.W(), accumulate});
    return args.env().Undefined();
  }
  linear.checkTypes(args);
  ThreadPool& pool = stream.context().pool();
  dispatchFloat(args, dy.dtype, [&](auto zero) {
    using T = decltype(zero);
    args.enqueue([=, rows = linear.rows, in = linear.in, out = linear.out, &pool] {
      gemm(pool, Gemm<T>{true, false, out, in, rows, dy.as<T>(), out, x.as<T>(), in, T(accumulate ? 1 : 0),
                         dw.as<T>(), in});
    });
  });
  return args.env().Undefined();
}

Napi::Value bindGemmInfo(Args& args) {
  Stream& stream = args.stream();
  GemmEngine engine;
  if (args.onGpu()) {
    const CublasLt& library = stream.context().cudaGemm().library();
    engine = {"cublasLt", library.versionName(), library.path};
  } else {
    engine = gemmEngine();
  }
  auto result = Napi::Object::New(args.env());
  result.Set("engine", engine.name);
  result.Set("version", engine.version);
  result.Set("path", engine.path);
  result.Set("numThreads", stream.context().pool().numThreads());
  return result;
}

/// oneDNN called straight, without stream, pool or tensors: what the op's speed is measured against.
Napi::Value bindGemmProbe(Args& args) {
  const auto numThreads = static_cast<int>(args.integer("numThreads"));
  const bool transA = args.flag("transA");
  const bool transB = args.flag("transB");
  const int64_t m = args.integer("m");
  const int64_t n = args.integer("n");
  const int64_t k = args.integer("k");
  const int64_t numCalls = args.integer("numCalls");
  args.check(m > 0 && n > 0 && k > 0 && std::max({m, n, k}) <= 65536, "a size is not between 1 and 65,536");
  const Onednn* library = openOnednn();
  args.check(library != nullptr, "LONGSCAN_GEMM is builtin");
  const std::vector<float> a(static_cast<size_t>(m * k), 0.5f);
  const std::vector<float> b(static_cast<size_t>(k * n), 0.25f);
  std::vector<float> c(static_cast<size_t>(m * n));
  const auto begin = std::chrono::steady_clock::now();
  for (int64_t call = 0; call < numCalls; call++) {
    library->sgemm(numThreads, transA ? 'T' : 'N', transB ? 'T' : 'N', m, n, k, 1.0f, a.data(),
                   transA ? m : k, b.data(), transB ? k : n, 0.0f, c.data(), n);
  }
  const std::chrono::duration<double> elapsed = std::chrono::steady_clock::now() - begin;
  return Napi::Number::New(args.env(), elapsed.count());
}

}  // namespace

void register_linear(Registry& registry) {
  registry.add("linearForward", 5, bindLinearForward);
  registry.add("linearInputGradient", 5, bindLinearInputGradient);
  registry.add("linearWeightGradient", 5, bindLinearWeightGradient);
  registry.add("linearJoinedForward", 6, bindLinearJoinedForward);
  registry.add("linearJoinedInputGradient", 7, bindLinearJoinedInputGradient);
  registry.add("linearJoinedWeightGradient", 9, bindLinearJoinedWeightGradient);
  registry.add("gemmInfo", 1, bindGemmInfo);
  registry.add("gemmProbe", 7, bindGemmProbe);
}

}  // namespace longscan
