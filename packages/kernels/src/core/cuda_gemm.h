#pragma once

#include <functional>
#include <memory>
#include <string>
#include <unordered_map>

#include "cublaslt.h"
#include "cuda_device.h"
#include "tensor.h"

namespace longscan {

class Allocator;
class Stream;

/// Row-major matrices in device memory, one for each product of a batch.
struct CudaMatrix {
  void* data;
  DType dtype;         // f32 or bf16
  int64_t ld;          // elements from one row to the next
  int64_t stride = 0;  // elements from one matrix to the next
};

/// C[m,n] = op(A)[m,k] * op(B)[k,n], or C += that; op(X) = Xᵀ if transX. A and B are of one type, C is of
/// theirs or f32. Sums are in f32, and of f32 all bits are multiplied (no TF32).
struct CudaGemm {
  bool transA;
  bool transB;
  int64_t m;
  int64_t n;
  int64_t k;
  CudaMatrix a;
  CudaMatrix b;
  CudaMatrix c;
  bool accumulate = false;
  const void* bias = nullptr;  // [n] of C's type, added to every row; none if null
  int64_t batch = 1;
};

/// Matrix products on one GPU, by cuBLASLt. The same shapes are computed in the same way in every run and
/// wherever the matrices lie: the algorithm follows from what the heuristics offer (cuda_gemm_choice.h),
/// never from timing, and no sum is taken by atomics. `prepare` and the constructor are called on the
/// JavaScript thread.
class CudaGemmEngine {
 public:
  /// `allocator`: of the streams' workspaces. Throws E-CUBLAS.
  CudaGemmEngine(CudaDevice& device, Allocator& allocator);
  ~CudaGemmEngine();
  CudaGemmEngine(const CudaGemmEngine&) = delete;
  CudaGemmEngine& operator=(const CudaGemmEngine&) = delete;

  const CublasLt& library() const { return library_; }

  /// What launches the product, to be called on `stream`'s thread. Throws E-CUBLAS if cuBLASLt has no way to
  /// compute it.
  std::function<void()> prepare(const CudaGemm& gemm, Stream& stream);

 private:
  struct Plan;
  Plan& planOf(const CudaGemm& gemm);
  void* workspaceOf(Stream& stream);

  CudaDevice& device_;
  Allocator& allocator_;
  const CublasLt& library_;
  CublasLt::Handle handle_ = nullptr;
  const size_t workspaceBytes_;
  std::unordered_map<std::string, std::unique_ptr<Plan>> plans_;  // by all that a plan depends on
  std::unordered_map<Stream*, void*> workspaces_;                 // one for each, for good
};

}  // namespace longscan
