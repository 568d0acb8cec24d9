#include "cublaslt.h"

#include "cuda_driver.h"
#include "error.h"
#include "find_library.h"

namespace longscan {

namespace {

/// The oldest with kernels for Hopper's tensor cores.
constexpr int oldestVersion = 120000;

constexpr const char* remedy =
    "install it (pip install nvidia-cublas for CUDA 13, nvidia-cublas-cu12 for CUDA 12; or CUDA's toolkit)";

std::string nameOf(int version) {
  return std::to_string(version / 10000) + "." + std::to_string(version / 100 % 100) + "." +
         std::to_string(version % 100);
}

CublasLt open(int driverVersion) {
  LibrarySearch search{"E-CUBLAS", "cuBLASLt", "LONGSCAN_CUBLAS", {}, remedy};
  if (driverVersion >= 13000) search.names.push_back("libcublasLt.so.13");
  search.names.push_back("libcublasLt.so.12");
  search.names.push_back("libcublasLt.so");
  const FoundLibrary library = findLibrary(search);
  CublasLt cublas{};
  cublas.path = library.path;
  library.find("cublasLtGetVersion", cublas.getVersion);
  cublas.version = static_cast<int>(cublas.getVersion());
  if (cublas.version < oldestVersion) {
    library.refuse("is cuBLASLt " + cublas.versionName() + ", expected " + nameOf(oldestVersion) +
                   " or newer");
  }
  library.find("cublasLtGetStatusName", cublas.getStatusName);
  library.find("cublasLtCreate", cublas.create);
  library.find("cublasLtDestroy", cublas.destroy);
  library.find("cublasLtMatmulDescCreate", cublas.matmulDescCreate);
  library.find("cublasLtMatmulDescDestroy", cublas.matmulDescDestroy);
  library.find("cublasLtMatmulDescSetAttribute", cublas.matmulDescSetAttribute);
  library.find("cublasLtMatrixLayoutCreate", cublas.matrixLayoutCreate);
  library.find("cublasLtMatrixLayoutDestroy", cublas.matrixLayoutDestroy);
  library.find("cublasLtMatrixLayoutSetAttribute", cublas.matrixLayoutSetAttribute);
  library.find("cublasLtMatmulPreferenceCreate", cublas.preferenceCreate);
  library.find("cublasLtMatmulPreferenceDestroy", cublas.preferenceDestroy);
  library.find("cublasLtMatmulPreferenceSetAttribute", cublas.preferenceSetAttribute);
  library.find("cublasLtMatmulAlgoGetHeuristic", cublas.matmulAlgoGetHeuristic);
  library.find("cublasLtMatmulAlgoConfigGetAttribute", cublas.matmulAlgoConfigGetAttribute);
  library.find("cublasLtMatmul", cublas.matmul);
  return cublas;
}

}  // namespace

std::string CublasLt::versionName() const {
  return nameOf(version);
}

void CublasLt::check(int status, const char* call) const {
  if (status == 0) return;
  throw Error("E-CUBLAS", std::string(call) + " of cuBLASLt " + versionName() + " (" + path +
                              ") failed: " + getStatusName(status) + " (" + std::to_string(status) + ")");
}

const CublasLt& openCublasLt(int driverVersion) {
  static const CublasLt cublas = open(driverVersion);
  return cublas;
}

}  // namespace longscan
