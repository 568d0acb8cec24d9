#include "cuda_gemm.h"

#include <array>
#include <mutex>
#include <vector>

#include "allocator.h"
#include "cuda_gemm_choice.h"
#include "cuda_timeline.h"
#include "error.h"
#include "stream.h"

namespace longscan {

namespace {

/// What NVIDIA advises: 32 MiB from Hopper on, 4 MiB before.
size_t workspaceBytesOf(int capability) {
  return capability >= 90 ? size_t{32} << 20 : size_t{4} << 20;
}

int typeOf(DType dtype) {
  return dtype == DType::bf16 ? cublas::realBf16 : cublas::realF32;
}

/// The bytes at which every row of every matrix begins, up to 16: kernels ask for no more. Of the row length
/// too, so that a matrix that lies elsewhere among its equals is multiplied in the same way.
unsigned alignmentOf(const CudaMatrix& matrix, int64_t batch) {
  const auto size = static_cast<int64_t>(dtypeBytes(matrix.dtype));
  auto bits = reinterpret_cast<uintptr_t>(matrix.data) | static_cast<uintptr_t>(matrix.ld * size) | 16;
  if (batch > 1) bits |= static_cast<uintptr_t>(matrix.stride * size);
  return static_cast<unsigned>(bits & ~(bits - 1));
}

/// One of cuBLASLt's objects.
template <typename Opaque>
using Owned = std::unique_ptr<Opaque, int (*)(Opaque*)>;

/// Sets attributes of such an object.
template <typename Opaque>
class Attributes {
 public:
  using Setter = int (*)(Opaque*, int attribute, const void* value, size_t bytes);
  Attributes(const CublasLt& library, Setter setter, const Owned<Opaque>& object)
      : library_(library), setter_(setter), object_(object.get()) {}
  template <typename Value>
  void set(int attribute, Value value) {
    library_.check(setter_(object_, attribute, &value, sizeof(value)), "setting an attribute");
  }

 private:
  const CublasLt& library_;
  const Setter setter_;
  Opaque* const object_;
};

/// cuBLASLt counts columns first, so it sees the transpose of each of our matrices and is asked for
/// Cᵀ = op(B)ᵀ op(A)ᵀ: its A is our B.
Owned<cublasLtMatrixLayoutOpaque_t> layoutOf(const CublasLt& library, const CudaMatrix& matrix, int64_t rows,
                                             int64_t cols, int64_t batch) {
  CublasLt::Layout created = nullptr;
  library.check(library.matrixLayoutCreate(&created, typeOf(matrix.dtype), static_cast<uint64_t>(cols),
                                           static_cast<uint64_t>(rows), matrix.ld),
                "cublasLtMatrixLayoutCreate");
  Owned<cublasLtMatrixLayoutOpaque_t> layout(created, library.matrixLayoutDestroy);
  if (batch == 1) return layout;
  Attributes attributes(library, library.matrixLayoutSetAttribute, layout);
  attributes.set(cublas::layoutBatchCount, static_cast<int32_t>(batch));
  attributes.set(cublas::layoutBatchStride, matrix.stride);
  return layout;
}

Owned<cublasLtMatmulDescOpaque_t> productOf(const CublasLt& library, const CudaGemm& gemm) {
  CublasLt::Product created = nullptr;
  library.check(library.matmulDescCreate(&created, cublas::computeF32, cublas::realF32),
                "cublasLtMatmulDescCreate");
  Owned<cublasLtMatmulDescOpaque_t> product(created, library.matmulDescDestroy);
  Attributes attributes(library, library.matmulDescSetAttribute, product);
  if (gemm.transB) attributes.set(cublas::descTransA, int32_t{cublas::transposed});
  if (gemm.transA) attributes.set(cublas::descTransB, int32_t{cublas::transposed});
  if (gemm.bias == nullptr) return product;
  attributes.set(cublas::descEpilogue, uint32_t{cublas::epilogueBias});
  attributes.set(cublas::descBiasPointer, gemm.bias);
  return product;
}

Owned<cublasLtMatmulPreferenceOpaque_t> preferenceOf(const CublasLt& library, const CudaGemm& gemm,
                                                     size_t workspaceBytes) {
  CublasLt::Preference created = nullptr;
  library.check(library.preferenceCreate(&created), "cublasLtMatmulPreferenceCreate");
  Owned<cublasLtMatmulPreferenceOpaque_t> preference(created, library.preferenceDestroy);
  Attributes attributes(library, library.preferenceSetAttribute, preference);
  attributes.set(cublas::preferenceWorkspaceBytes, uint64_t{workspaceBytes});
  // Parts of a sum meet in the workspace, in order; in C they would meet in any.
  attributes.set(cublas::preferenceReductionScheme, uint32_t{cublas::reduceInComputeType});
  attributes.set(cublas::preferenceAlignmentA, alignmentOf(gemm.b, gemm.batch));
  attributes.set(cublas::preferenceAlignmentB, alignmentOf(gemm.a, gemm.batch));
  attributes.set(cublas::preferenceAlignmentC, alignmentOf(gemm.c, gemm.batch));
  attributes.set(cublas::preferenceAlignmentD, alignmentOf(gemm.c, gemm.batch));
  return preference;
}

std::string describe(const CudaGemm& gemm) {
  const auto stored = [](const char* name, bool isTransposed) {
    return std::string(name) + (isTransposed ? "ᵀ" : "");
  };
  return "C[" + std::to_string(gemm.m) + "," + std::to_string(gemm.n) + "] " + dtypeName(gemm.c.dtype) +
         " = " + stored("A", gemm.transA) + " " + stored("B", gemm.transB) + " over " +
         std::to_string(gemm.k) + " " + dtypeName(gemm.a.dtype) + ", batch " + std::to_string(gemm.batch);
}

/// Candidates that the heuristics are asked for.
constexpr int numAsked = 8;

CudaGemmCandidate candidateOf(const CublasLt& library, const CublasLtHeuristic& found) {
  const auto read = [&](int attribute) {
    int32_t value = 0;
    size_t written = 0;
    library.check(
        library.matmulAlgoConfigGetAttribute(&found.algorithm, attribute, &value, sizeof(value), &written),
        "cublasLtMatmulAlgoConfigGetAttribute");
    return value;
  };
  return {read(cublas::algorithmTile), read(cublas::algorithmSplits), found.waves};
}

std::string keyOf(const CudaGemm& gemm) {
  std::string key;
  const auto add = [&](int64_t value) { key.append(reinterpret_cast<const char*>(&value), sizeof(value)); };
  for (const int64_t value : {gemm.m, gemm.n, gemm.k, gemm.batch}) add(value);
  for (const CudaMatrix* matrix : {&gemm.a, &gemm.b, &gemm.c}) {
    add(matrix->ld);
    add(matrix->stride);
    add(static_cast<int64_t>(matrix->dtype));
    add(alignmentOf(*matrix, gemm.batch));
  }
  add(gemm.transA + 2 * gemm.transB + 4 * (gemm.bias != nullptr));
  add(static_cast<int64_t>(reinterpret_cast<uintptr_t>(gemm.bias) % 16));
  return key;
}

}  // namespace

/// What is known of one kind of product beforehand.
struct CudaGemmEngine::Plan {
  Plan(const CublasLt& library, CublasLt::Handle handle, const CudaGemm& gemm, size_t workspaceBytes,
       bool isHopper)
      : library(library),
        handle(handle),
        product(productOf(library, gemm)),
        a(layoutOf(library, gemm.a, gemm.transA ? gemm.k : gemm.m, gemm.transA ? gemm.m : gemm.k,
                   gemm.batch)),
        b(layoutOf(library, gemm.b, gemm.transB ? gemm.n : gemm.k, gemm.transB ? gemm.k : gemm.n,
                   gemm.batch)),
        c(layoutOf(library, gemm.c, gemm.m, gemm.n, gemm.batch)) {
    const auto preference = preferenceOf(library, gemm, workspaceBytes);
    std::array<CublasLtHeuristic, numAsked> found{};
    int numFound = 0;
    const int status =
        library.matmulAlgoGetHeuristic(handle, product.get(), b.get(), a.get(), c.get(), c.get(),
                                       preference.get(), numAsked, found.data(), &numFound);
    if (status != 0 || numFound == 0 || found[0].state != 0) {
      const int reason = status != 0 ? status : found[0].state;
      throw Error("E-CUBLAS", "cuBLASLt " + library.versionName() + " (" + library.path + ") has no way to " +
                                  "compute " + describe(gemm) + ": " + library.getStatusName(reason) +
                                  ". Fix: choose other sizes, or name a newer cuBLASLt in LONGSCAN_CUBLAS");
    }
    size_t choice = 0;
    if (isHopper && gemm.a.dtype == DType::bf16) {
      std::vector<CudaGemmCandidate> candidates;
      for (int i = 0; i < numFound && found[i].state == 0; i++) {
        candidates.push_back(candidateOf(library, found[i]));
      }
      choice = chooseCudaGemm(candidates, gemm.k);
    }
    algorithm = found[choice].algorithm;
    workspaceNeeded = found[choice].workspaceBytes;
  }

  void launch(const CudaGemm& gemm, void* workspace, CUstream_st* stream) {
    // The bias is the product's, which streams share.
    std::unique_lock<std::mutex> lock(mutex, std::defer_lock);
    if (gemm.bias != nullptr) {
      lock.lock();
      Attributes(library, library.matmulDescSetAttribute, product).set(cublas::descBiasPointer, gemm.bias);
    }
    const float alpha = 1, beta = gemm.accumulate ? 1 : 0;
    library.check(library.matmul(handle, product.get(), &alpha, gemm.b.data, b.get(), gemm.a.data, a.get(),
                                 &beta, gemm.c.data, c.get(), gemm.c.data, c.get(), &algorithm, workspace,
                                 workspaceNeeded, stream),
                  "cublasLtMatmul");
  }

  const CublasLt& library;
  const CublasLt::Handle handle;
  std::mutex mutex;
  const Owned<cublasLtMatmulDescOpaque_t> product;
  const Owned<cublasLtMatrixLayoutOpaque_t> a, b, c;
  CublasLtAlgorithm algorithm{};
  size_t workspaceNeeded = 0;
};

CudaGemmEngine::CudaGemmEngine(CudaDevice& device, Allocator& allocator)
    : device_(device),
      allocator_(allocator),
      library_(openCublasLt(device.driver().version)),
      workspaceBytes_(workspaceBytesOf(device.capability())) {
  device_.use();
  const int status = library_.create(&handle_);
  if (status == 0) return;
  throw Error("E-CUBLAS", "cuBLASLt " + library_.versionName() + " (" + library_.path +
                              ") does not start on " + device.name() + " with a driver of CUDA " +
                              cudaVersionName(device.driver().version) + ": " +
                              library_.getStatusName(status) +
                              ". Fix: install a newer NVIDIA driver, or name an older cuBLASLt in "
                              "LONGSCAN_CUBLAS");
}

CudaGemmEngine::~CudaGemmEngine() {
  device_.use();
  plans_.clear();
  library_.destroy(handle_);
}

void* CudaGemmEngine::workspaceOf(Stream& stream) {
  void*& workspace = workspaces_[&stream];
  if (workspace == nullptr) workspace = allocator_.allocate(workspaceBytes_, stream)->data;
  return workspace;
}

CudaGemmEngine::Plan& CudaGemmEngine::planOf(const CudaGemm& gemm) {
  std::unique_ptr<Plan>& plan = plans_[keyOf(gemm)];
  if (plan == nullptr) {
    device_.use();
    plan = std::make_unique<Plan>(library_, handle_, gemm, workspaceBytes_, device_.capability() == 90);
  }
  return *plan;
}

std::function<void()> CudaGemmEngine::prepare(const CudaGemm& gemm, Stream& stream) {
  if (gemm.m == 0 || gemm.n == 0 || gemm.batch == 0) return [] {};
  CudaTimeline& timeline = *stream.timeline();
  if (gemm.k == 0) {
    // An empty sum, which cuBLASLt does not know.
    const bool isDense = gemm.c.ld == gemm.n && (gemm.batch == 1 || gemm.c.stride == gemm.m * gemm.n);
    if (gemm.bias != nullptr || !isDense) {
      throw Error("E-CUDA-KERNEL",
                  "no CUDA kernel for " + describe(gemm) +
                      " with a bias or gaps between rows. Fix: choose such sizes that there is "
                      "something to add up");
    }
    if (gemm.accumulate) return [] {};
    const size_t bytes = static_cast<size_t>(gemm.batch * gemm.m * gemm.n) * dtypeBytes(gemm.c.dtype);
    return [&timeline, data = gemm.c.data, bytes] { timeline.fill(data, 0, bytes); };
  }
  return [&plan = planOf(gemm), gemm, workspace = workspaceOf(stream), stream = timeline.stream()] {
    plan.launch(gemm, workspace, stream);
  };
}

}  // namespace longscan
