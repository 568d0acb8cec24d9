#pragma once

#include <cstdint>
#include <string>

#include "../../core/parallel.h"

namespace longscan {

/// C[m,n] = op(A)[m,k] * op(B)[k,n] + beta * C, row-major; op(X) = Xᵀ if transX. beta = 0 does not read C.
template <typename T>
struct Gemm {
  bool transA;
  bool transB;
  int64_t m;
  int64_t n;
  int64_t k;
  const T* a;
  int64_t lda;
  const T* b;
  int64_t ldb;
  T beta;
  T* c;
  int64_t ldc;
};

/// Computes on the pool's threads, which cut C along its longer side: a fixed partition. f32 by oneDNN, or by
/// our own product under LONGSCAN_GEMM=builtin; f64 (gradient checks) always by our own.
void gemm(ThreadPool& pool, const Gemm<float>& product);
void gemm(ThreadPool& pool, const Gemm<double>& product);

/// Called when work is enqueued, so that a missing oneDNN is an error of the call and not of the stream.
/// Throws E-ONEDNN.
void requireGemm();

/// What computes f32 products here.
struct GemmEngine {
  std::string name;  // "oneDNN" or "builtin"
  std::string version;
  std::string path;
};
GemmEngine gemmEngine();

}  // namespace longscan
