#pragma once

#include <cstddef>
#include <cstdint>
#include <string>

struct CUstream_st;
// cuBLASLt's own types, never looked into; declared here so that building needs no CUDA.
struct cublasLtContext;
struct cublasLtMatmulDescOpaque_t;
struct cublasLtMatrixLayoutOpaque_t;
struct cublasLtMatmulPreferenceOpaque_t;

namespace longscan {

/// cublasLtMatmulAlgo_t: how a product is computed, as the heuristics say.
struct CublasLtAlgorithm {
  uint64_t data[8];
};

/// cublasLtMatmulHeuristicResult_t.
struct CublasLtHeuristic {
  CublasLtAlgorithm algorithm;
  size_t workspaceBytes;
  int state;  // a status: 0 if the algorithm can be used
  float waves;
  int reserved[4];
};

/// The calls of cuBLASLt that matrix products need, opened at run time so that the addon loads on hosts
/// without it. Names, types and numbers are those of cublasLt.h; `int` results are cublasStatus_t.
struct CublasLt {
  using Handle = cublasLtContext*;
  using Product = cublasLtMatmulDescOpaque_t*;           // cublasLtMatmulDesc_t
  using Layout = cublasLtMatrixLayoutOpaque_t*;          // cublasLtMatrixLayout_t
  using Preference = cublasLtMatmulPreferenceOpaque_t*;  // cublasLtMatmulPreference_t

  size_t (*getVersion)();
  const char* (*getStatusName)(int status);
  int (*create)(Handle* handle);
  int (*destroy)(Handle handle);
  int (*matmulDescCreate)(Product* product, int computeType, int scaleType);
  int (*matmulDescDestroy)(Product product);
  int (*matmulDescSetAttribute)(Product product, int attribute, const void* value, size_t bytes);
  int (*matrixLayoutCreate)(Layout* layout, int type, uint64_t rows, uint64_t cols, int64_t ld);
  int (*matrixLayoutDestroy)(Layout layout);
  int (*matrixLayoutSetAttribute)(Layout layout, int attribute, const void* value, size_t bytes);
  int (*preferenceCreate)(Preference* preference);
  int (*preferenceDestroy)(Preference preference);
  int (*preferenceSetAttribute)(Preference preference, int attribute, const void* value, size_t bytes);
  int (*matmulAlgoGetHeuristic)(Handle handle, Product product, Layout a, Layout b, Layout c, Layout d,
                                Preference preference, int numAsked, CublasLtHeuristic* results,
                                int* numFound);
  int (*matmulAlgoConfigGetAttribute)(const CublasLtAlgorithm* algorithm, int attribute, void* value,
                                      size_t bytes, size_t* written);
  int (*matmul)(Handle handle, Product product, const void* alpha, const void* a, Layout aLayout,
                const void* b, Layout bLayout, const void* beta, const void* c, Layout cLayout, void* d,
                Layout dLayout, const CublasLtAlgorithm* algorithm, void* workspace, size_t workspaceBytes,
                CUstream_st* stream);

  int version = 0;  // 130100: 13.1.0
  std::string path;

  /// `13.1.0`
  std::string versionName() const;
  /// Throws E-CUBLAS with the status's name unless `status` is 0.
  void check(int status, const char* call) const;
};

// Values of cublasLt.h's and library_types.h's enumerations.
namespace cublas {
constexpr int realF32 = 0, realBf16 = 14;                                   // cudaDataType
constexpr int computeF32 = 68;                                              // cublasComputeType_t
constexpr int transposed = 1;                                               // cublasOperation_t
constexpr int descTransA = 3, descTransB = 4, descEpilogue = 7;             // cublasLtMatmulDescAttributes_t
constexpr int descBiasPointer = 8;                                          //
constexpr unsigned epilogueBias = 4;                                        // cublasLtEpilogue_t
constexpr int layoutBatchCount = 5, layoutBatchStride = 6;                  // cublasLtMatrixLayoutAttribute_t
constexpr int preferenceWorkspaceBytes = 1, preferenceReductionScheme = 3;  // ...PreferenceAttributes_t
constexpr int preferenceAlignmentA = 5, preferenceAlignmentB = 6, preferenceAlignmentC = 7,
              preferenceAlignmentD = 8;
constexpr int algorithmTile = 1, algorithmSplits = 2;  // cublasLtMatmulAlgoConfigAttributes_t
constexpr unsigned reduceInComputeType = 2;            // cublasLtReductionScheme_t
}  // namespace cublas

/// The process's cuBLASLt, opened by the first call that succeeds; LONGSCAN_CUBLAS, if set, is the only path
/// tried. `driverVersion` (13000: CUDA 13.0) bounds what can run. Throws E-CUBLAS if there is none, or it is
/// too old.
const CublasLt& openCublasLt(int driverVersion);

}  // namespace longscan
