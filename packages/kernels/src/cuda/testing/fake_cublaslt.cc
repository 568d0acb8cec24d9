#include <cstdint>
#include <cstdio>
#include <cstring>
#include <sstream>

#include "../../core/cublaslt.h"
#include "fake_kernel.h"
#include "fake_settings.h"

// A cuBLASLt for tests without a GPU: products on the fake driver's memory, in the order of its streams, by
// the definition. It is as strict as the library about shapes and alignment. LONGSCAN_FAKE_CUDA says what it
// pretends to be: "cublas=130100 fail=cublasLtCreate" (this call returns a failure).

using longscan::CublasLtAlgorithm;
using longscan::CublasLtHeuristic;

namespace {

constexpr int success = 0, notInitialized = 1, invalidValue = 7, notSupported = 15;

bool fails(const char* call) {
  return setting("fail", "") == call;
}

}  // namespace

struct cublasLtContext {};

struct cublasLtMatmulDescOpaque_t {
  int computeType, scaleType;
  int32_t transA = 0, transB = 0;
  uint32_t epilogue = 1;
  const void* bias = nullptr;
};

struct cublasLtMatrixLayoutOpaque_t {
  int type;
  uint64_t rows, cols;
  int64_t ld;
  int32_t batchCount = 1;
  int64_t batchStride = 0;
};

struct cublasLtMatmulPreferenceOpaque_t {
  uint64_t workspaceBytes = 0;
  uint32_t reductionScheme = 7;
  uint32_t alignment[4] = {256, 256, 256, 256};  // of A, B, C, D
};

namespace {

using Desc = cublasLtMatmulDescOpaque_t;
using Layout = cublasLtMatrixLayoutOpaque_t;

/// What a heuristic's algorithm says: its tile, and the workspace and the alignments that it counts on.
struct Algorithm {
  int32_t tile, splits;
  uint64_t workspaceBytes;
  uint32_t alignment[4];
};
static_assert(sizeof(Algorithm) <= sizeof(CublasLtAlgorithm), "algorithm");

bool isBf16(const Layout& layout) {
  return layout.type == longscan::cublas::realBf16;
}

/// One product as it was asked for.
struct Work {
  Desc desc;
  Layout a, b, d;
  float alpha, beta;
  const void *A, *B;
  void* D;

  void run() const {
    const auto depth = static_cast<int64_t>(desc.transA ? a.rows : a.cols);
    for (int64_t batch = 0; batch < d.batchCount; batch++) {
      for (int64_t j = 0; j < static_cast<int64_t>(d.cols); j++) {
        for (int64_t i = 0; i < static_cast<int64_t>(d.rows); i++) {
          double sum = 0;
          for (int64_t p = 0; p < depth; p++) {
            const int64_t atA = batch * a.batchStride + (desc.transA ? p + i * a.ld : i + p * a.ld);
            const int64_t atB = batch * b.batchStride + (desc.transB ? j + p * b.ld : p + j * b.ld);
            sum += loadFake(A, isBf16(a), atA) * loadFake(B, isBf16(b), atB);
          }
          const int64_t at = batch * d.batchStride + i + j * d.ld;
          double value = alpha * sum;
          if (beta != 0) value += beta * loadFake(D, isBf16(d), at);
          if (desc.epilogue == longscan::cublas::epilogueBias) value += loadFake(desc.bias, isBf16(d), i);
          storeFake(D, isBf16(d), at, value);
        }
      }
    }
  }
};

bool fits(const Desc& desc, const Layout& a, const Layout& b, const Layout& d) {
  const uint64_t m = desc.transA ? a.cols : a.rows, depth = desc.transA ? a.rows : a.cols;
  const uint64_t n = desc.transB ? b.rows : b.cols, depthB = desc.transB ? b.cols : b.rows;
  for (const Layout* layout : {&a, &b, &d}) {
    if (layout->rows == 0 || layout->cols == 0 || layout->ld < static_cast<int64_t>(layout->rows))
      return false;
    if (layout->batchCount != d.batchCount) return false;
  }
  return m == d.rows && n == d.cols && depth == depthB;
}

bool isSupported(const Desc& desc, const Layout& a, const Layout& b, const Layout& d) {
  return desc.computeType == longscan::cublas::computeF32 && desc.scaleType == longscan::cublas::realF32 &&
         a.type == b.type && (d.type == a.type || d.type == longscan::cublas::realF32);
}

bool isAligned(const void* data, const Layout& layout, uint32_t alignment) {
  const size_t size = isBf16(layout) ? 2 : 4;
  return reinterpret_cast<uintptr_t>(data) % alignment == 0 && layout.ld * size % alignment == 0 &&
         layout.batchStride * size % alignment == 0;
}

template <typename Value>
int assign(Value& target, const void* value, size_t bytes) {
  if (bytes != sizeof(target)) return invalidValue;
  std::memcpy(&target, value, bytes);
  return success;
}

}  // namespace

extern "C" {

size_t cublasLtGetVersion() {
  return std::strtoull(setting("cublas", "130100").c_str(), nullptr, 10);
}
const char* cublasLtGetStatusName(int status) {
  return status == notInitialized ? "CUBLAS_STATUS_NOT_INITIALIZED"
         : status == notSupported ? "CUBLAS_STATUS_NOT_SUPPORTED"
                                  : "CUBLAS_STATUS_INVALID_VALUE";
}
int cublasLtCreate(cublasLtContext** handle) {
  if (fails("cublasLtCreate")) return notInitialized;
  *handle = new cublasLtContext;
  return success;
}
int cublasLtDestroy(cublasLtContext* handle) {
  delete handle;
  return success;
}
int cublasLtMatmulDescCreate(Desc** desc, int computeType, int scaleType) {
  *desc = new Desc{computeType, scaleType};
  return success;
}
int cublasLtMatmulDescDestroy(Desc* desc) {
  delete desc;
  return success;
}
int cublasLtMatmulDescSetAttribute(Desc* desc, int attribute, const void* value, size_t bytes) {
  switch (attribute) {
    case 3:
      return assign(desc->transA, value, bytes);
    case 4:
      return assign(desc->transB, value, bytes);
    case 7:
      return assign(desc->epilogue, value, bytes);
    case 8:
      return assign(desc->bias, value, bytes);
    default:
      return invalidValue;
  }
}
int cublasLtMatrixLayoutCreate(Layout** layout, int type, uint64_t rows, uint64_t cols, int64_t ld) {
  *layout = new Layout{type, rows, cols, ld};
  return success;
}
int cublasLtMatrixLayoutDestroy(Layout* layout) {
  delete layout;
  return success;
}
int cublasLtMatrixLayoutSetAttribute(Layout* layout, int attribute, const void* value, size_t bytes) {
  if (attribute == 5) return assign(layout->batchCount, value, bytes);
  return attribute == 6 ? assign(layout->batchStride, value, bytes) : invalidValue;
}
int cublasLtMatmulPreferenceCreate(cublasLtMatmulPreferenceOpaque_t** preference) {
  *preference = new cublasLtMatmulPreferenceOpaque_t;
  return success;
}
int cublasLtMatmulPreferenceDestroy(cublasLtMatmulPreferenceOpaque_t* preference) {
  delete preference;
  return success;
}
int cublasLtMatmulPreferenceSetAttribute(cublasLtMatmulPreferenceOpaque_t* preference, int attribute,
                                         const void* value, size_t bytes) {
  if (attribute == 1) return assign(preference->workspaceBytes, value, bytes);
  if (attribute == 3) return assign(preference->reductionScheme, value, bytes);
  return attribute >= 5 && attribute <= 8 ? assign(preference->alignment[attribute - 5], value, bytes)
                                          : invalidValue;
}
int cublasLtMatmulAlgoGetHeuristic(cublasLtContext*, Desc* desc, Layout* a, Layout* b, Layout* c, Layout* d,
                                   cublasLtMatmulPreferenceOpaque_t* preference, int numAsked,
                                   CublasLtHeuristic* results, int* numFound) {
  *numFound = 0;
  if (c != d || !fits(*desc, *a, *b, *d)) return invalidValue;
  if (!isSupported(*desc, *a, *b, *d) || fails("cublasLtMatmulAlgoGetHeuristic")) return notSupported;
  // In place, parts of a sum would be added in any order.
  if (preference->reductionScheme & 1) return notSupported;
  // Of products of bf16: "offers=24:1:15.5,29:1:24.9", tile, splits and waves of each.
  const bool isOffered = isBf16(*a);
  std::istringstream offers(isOffered ? setting("offers", "24:1:1") : "24:1:1");
  for (std::string offer; *numFound < numAsked && std::getline(offers, offer, ',');) {
    Algorithm algorithm{0, 0, preference->workspaceBytes, {}};
    CublasLtHeuristic& result = results[(*numFound)++];
    result = {};
    std::sscanf(offer.c_str(), "%d:%d:%f", &algorithm.tile, &algorithm.splits, &result.waves);
    std::memcpy(algorithm.alignment, preference->alignment, sizeof(algorithm.alignment));
    std::memcpy(&result.algorithm, &algorithm, sizeof(algorithm));
    result.workspaceBytes = static_cast<size_t>(preference->workspaceBytes);
  }
  return success;
}
int cublasLtMatmulAlgoConfigGetAttribute(const CublasLtAlgorithm* algorithm, int attribute, void* value,
                                         size_t bytes, size_t* written) {
  Algorithm known;
  std::memcpy(&known, algorithm, sizeof(known));
  const int32_t& wanted = attribute == 1 ? known.tile : known.splits;
  if ((attribute != 1 && attribute != 2) || bytes != sizeof(wanted)) return invalidValue;
  std::memcpy(value, &wanted, bytes);
  *written = bytes;
  return success;
}
int cublasLtMatmul(cublasLtContext*, Desc* desc, const void* alpha, const void* A, Layout* a, const void* B,
                   Layout* b, const void* beta, const void* C, Layout*, void* D, Layout* d,
                   const CublasLtAlgorithm* algorithm, void* workspace, size_t workspaceBytes,
                   CUstream_st* stream) {
  Algorithm wanted;
  std::memcpy(&wanted, algorithm, sizeof(wanted));
  const bool hasWorkspace = workspace != nullptr && workspaceBytes >= wanted.workspaceBytes;
  if (C != D || !fits(*desc, *a, *b, *d) || !hasWorkspace || !isAligned(A, *a, wanted.alignment[0]) ||
      !isAligned(B, *b, wanted.alignment[1]) || !isAligned(D, *d, wanted.alignment[3])) {
    return invalidValue;
  }
  // "runs=29": another choice is a failure.
  if (isBf16(*a) && std::to_string(wanted.tile) != setting("runs", std::to_string(wanted.tile).c_str())) {
    return notSupported;
  }
  const Work work{*desc, *a, *b, *d, *static_cast<const float*>(alpha), *static_cast<const float*>(beta),
                  A,     B,  D};
  return launchFake(stream, [work] { work.run(); });
}

}  // extern "C"
