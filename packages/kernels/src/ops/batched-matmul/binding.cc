#include "../../addon/args.h"
#include "batched_matmul.h"

namespace longscan {

namespace {

/// Matrices before the last two dims.
int64_t batchOf(const TensorRef& x) {
  int64_t batch = 1;
  for (int i = 0; i + 2 < x.numDims; i++) batch *= x.dim(i);
  return batch;
}

Napi::Value bindBatchedMatmul(Args& args) {
  Stream& stream = args.stream();
  const bool transA = args.flag("transA");
  const bool transB = args.flag("transB");
  const TensorRef a = args.tensor("a");
  const TensorRef b = args.tensor("b");
  const TensorRef c = args.tensor("c");
  args.checkSameType(a, b);
  args.checkSameType(a, c);
  args.check(a.numDims >= 2 && b.numDims >= 2 && c.numDims >= 2, "a, b or c is no matrix");
  const int64_t m = a.dim(transA ? -1 : -2);
  const int64_t k = a.dim(transA ? -2 : -1);
  const int64_t n = b.dim(transB ? -2 : -1);
  args.check(b.dim(transB ? -1 : -2) == k && c.dim(-2) == m && c.dim(-1) == n, "the matrices do not fit");
  const int64_t batch = batchOf(c);
  args.check(batchOf(a) == batch && batchOf(b) == batch, "numbers of matrices differ");
  if (args.onGpu()) {
    const auto matrices = [](const TensorRef& x) {
      return CudaMatrix{x.data, x.dtype, x.dim(-1), x.dim(-2) * x.dim(-1)};
    };
    CudaGemm gemm{transA, transB, m, n, k, matrices(a), matrices(b), matrices(c)};
    gemm.batch = batch;
    args.enqueueGemm(gemm);
    return args.env().Undefined();
  }
  ThreadPool& pool = stream.context().pool();
  dispatchFloat(args, a.dtype, [&](auto zero) {
    using T = decltype(zero);
    args.enqueue([=, &pool] {
      // Threads take whole matrices, so that no sum depends on their number.
      parallelFor(pool, batch, m * n * k, [&](int64_t begin, int64_t end) {
        batchedMatmul(transA, transB, m, n, k, a.as<T>(), b.as<T>(), c.as<T>(), begin, end);
      });
    });
  });
  return args.env().Undefined();
}

}  // namespace

void register_batched_matmul(Registry& registry) {
  registry.add("batchedMatmul", 6, bindBatchedMatmul);
}

}  // namespace longscan
