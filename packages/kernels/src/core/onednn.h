#pragma once

#include <cstdint>
#include <string>

namespace longscan {

/// oneDNN's matrix product, opened at run time so that the addon loads on hosts without it. Row-major, as
/// oneDNN's own `dnnl_sgemm`: C[m,n] = alpha * op(A)[m,k] * op(B)[k,n] + beta * C.
class Onednn {
 public:
  /// Ops compute with one thread, the calling one: our own pool cuts the product up. Two pools (ours and
  /// oneDNN's OpenMP one, whose idle threads spin) would fight for the same cores. Throws E-ONEDNN if oneDNN
  /// refuses.
  void sgemm(int numThreads, char transA, char transB, int64_t m, int64_t n, int64_t k, float alpha,
             const float* a, int64_t lda, const float* b, int64_t ldb, float beta, float* c,
             int64_t ldc) const;
  const std::string& path() const { return path_; }
  const std::string& version() const { return version_; }

 private:
  friend const Onednn* openOnednn();
  Onednn();
  bool open(const std::string& path, std::string& tried);

  using Sgemm = int (*)(char, char, int64_t, int64_t, int64_t, float, const float*, int64_t, const float*,
                        int64_t, float, float*, int64_t);
  Sgemm sgemm_ = nullptr;
  void (*setNumThreads_)(int) = nullptr;  // null in a oneDNN without OpenMP
  std::string path_;
  std::string version_;
};

/// The process's oneDNN, opened by the first call; null when LONGSCAN_GEMM=builtin asks for our own matrix
/// product. LONGSCAN_ONEDNN, if set, is the only path tried. Throws E-ONEDNN with every path tried and the
/// remedy.
const Onednn* openOnednn();

}  // namespace longscan
