#include "gemm.h"

#include <algorithm>
#include <cstdlib>
#include <memory>

#include "../../core/onednn.h"
#include "linear.h"

namespace longscan {

namespace {

/// Cuts are multiples of this, so that all but the last part are whole register tiles at every level.
constexpr int64_t cutUnit = 96;
/// Parts of whole register tiles from which on a fixed partition has no smaller ones.
constexpr int64_t fixedCuts = 2;
/// Multiply-adds below which a second thread costs more than it saves.
constexpr int64_t parallelProduct = 1 << 17;

/// The part of a product that computes rows (or columns) [begin, end) of C.
template <typename T>
Gemm<T> part(const Gemm<T>& g, bool alongRows, int64_t begin, int64_t end) {
  Gemm<T> result = g;
  if (alongRows) {
    result.m = end - begin;
    result.a += begin * (g.transA ? 1 : g.lda);
    result.c += begin * g.ldc;
  } else {
    result.n = end - begin;
    result.b += begin * (g.transB ? g.ldb : 1);
    result.c += begin;
  }
  return result;
}

template <typename T, typename Compute>
void cut(ThreadPool& pool, const Gemm<T>& g, Compute compute) {
  if (g.m == 0 || g.n == 0) return;
  if (pool.numParts() == 1 || g.m * g.n * g.k < parallelProduct) {
    compute(g);
    return;
  }
  const bool alongRows = g.m >= g.n;
  const int64_t length = alongRows ? g.m : g.n;
  // Short sides are cut finer, so that all threads have a part; where their number must not matter, a few
  // whole tiles are better than many pieces of one.
  const int64_t fewest = pool.hasFixedParts() ? fixedCuts : pool.numThreads();
  const int64_t unit = length >= cutUnit * fewest ? cutUnit : 1;
  pool.run((length + unit - 1) / unit, [&](int64_t begin, int64_t end) {
    compute(part(g, alongRows, begin * unit, std::min(end * unit, length)));
  });
}

template <typename T>
void multiplyBlocked(const Gemm<T>& g) {
  struct Free {
    void operator()(void* memory) const { std::free(memory); }
  };
  // One per thread and kept: mapping and touching fresh pages costs more than a small product.
  thread_local const std::unique_ptr<void, Free> scratch(std::aligned_alloc(64, gemmScratchBytes));
  gemmBlocked(g.transA, g.transB, g.m, g.n, g.k, g.a, g.lda, g.b, g.ldb, g.beta, g.c, g.ldc, scratch.get());
}

}  // namespace

void gemm(ThreadPool& pool, const Gemm<float>& product) {
  const Onednn* library = openOnednn();
  // oneDNN leaves C alone when k = 0; our own product writes beta * C.
  if (library == nullptr || product.k == 0) {
    cut(pool, product, multiplyBlocked<float>);
    return;
  }
  cut(pool, product, [library](const Gemm<float>& g) {
    library->sgemm(1, g.transA ? 'T' : 'N', g.transB ? 'T' : 'N', g.m, g.n, g.k, 1.0f, g.a, g.lda, g.b, g.ldb,
                   g.beta, g.c, g.ldc);
  });
}

void gemm(ThreadPool& pool, const Gemm<double>& product) {
  cut(pool, product, multiplyBlocked<double>);
}

void requireGemm() {
  openOnednn();
}

GemmEngine gemmEngine() {
  const Onednn* library = openOnednn();
  if (library == nullptr) return {"builtin", "", ""};
  return {"oneDNN", library->version(), library->path()};
}

}  // namespace longscan
