#include <algorithm>
#include <chrono>
#include <vector>

#include "../../addon/args.h"
#include "../../core/onednn.h"
#include "gemm.h"
#include "linear.h"

namespace longscan {

namespace {

void checkLinear(Args& args, const TensorRef& x, const TensorRef& weight, const TensorRef& y) {
  args.check(weight.numDims == 2 && x.numDims >= 1 && y.numDims >= 1, "weight is not a matrix");
  args.check(x.dim(-1) == weight.dim(1) && y.dim(-1) == weight.dim(0), "last dims do not fit the weight");
  args.check(x.numRows() == y.numRows(), "numbers of rows differ");
  args.checkSameType(x, weight);
  args.checkSameType(x, y);
  if (x.dtype == DType::f32) requireGemm();
}

Napi::Value bindLinearForward(Args& args) {
  Stream& stream = args.stream();
  const TensorRef x = args.tensor("x");
  const TensorRef weight = args.tensor("weight");
  const TensorRef bias = args.optionalTensor("bias");
  const TensorRef y = args.tensor("y");
  checkLinear(args, x, weight, y);
  if (bias) {
    args.checkSameType(x, bias);
    args.check(bias.numElements == weight.dim(0), "bias does not fit the weight");
  }
  ThreadPool& pool = stream.context().pool();
  dispatchFloat(args, x.dtype, [&](auto zero) {
    using T = decltype(zero);
    args.enqueue([=, &pool] {
      const int64_t in = weight.dim(1);
      const int64_t out = weight.dim(0);
      if (bias) {
        parallelFor(pool, y.numRows(), out,
                    [&](int64_t begin, int64_t end) { fillRows(bias.as<T>(), y.as<T>(), out, begin, end); });
      }
      gemm(pool, Gemm<T>{false, true, y.numRows(), out, in, x.as<T>(), in, weight.as<T>(), in,
                         T(bias ? 1 : 0), y.as<T>(), out});
    });
  });
  return args.env().Undefined();
}

Napi::Value bindLinearInputGradient(Args& args) {
  Stream& stream = args.stream();
  const TensorRef dy = args.tensor("dy");
  const TensorRef weight = args.tensor("weight");
  const TensorRef dx = args.tensor("dx");
  checkLinear(args, dx, weight, dy);
  ThreadPool& pool = stream.context().pool();
  dispatchFloat(args, dy.dtype, [&](auto zero) {
    using T = decltype(zero);
    args.enqueue([=, &pool] {
      const int64_t in = weight.dim(1);
      const int64_t out = weight.dim(0);
      gemm(pool, Gemm<T>{false, false, dx.numRows(), in, out, dy.as<T>(), out, weight.as<T>(), in, T(0),
                         dx.as<T>(), in});
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
  checkLinear(args, x, dw, dy);
  ThreadPool& pool = stream.context().pool();
  dispatchFloat(args, dy.dtype, [&](auto zero) {
    using T = decltype(zero);
    args.enqueue([=, &pool] {
      const int64_t in = dw.dim(1);
      const int64_t out = dw.dim(0);
      gemm(pool, Gemm<T>{true, false, out, in, x.numRows(), dy.as<T>(), out, x.as<T>(), in,
                         T(accumulate ? 1 : 0), dw.as<T>(), in});
    });
  });
  return args.env().Undefined();
}

Napi::Value bindGemmInfo(Args& args) {
  Stream& stream = args.stream();
  const GemmEngine engine = gemmEngine();
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
  registry.add("linearInputGradient", 4, bindLinearInputGradient);
  registry.add("linearWeightGradient", 5, bindLinearWeightGradient);
  registry.add("gemmInfo", 1, bindGemmInfo);
  registry.add("gemmProbe", 7, bindGemmProbe);
}

}  // namespace longscan
