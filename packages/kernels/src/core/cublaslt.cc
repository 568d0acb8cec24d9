#include "cublaslt.h"

#include <dlfcn.h>

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

template <typename Function>
void find(const FoundLibrary& library, const char* name, Function& function) {
  function = reinterpret_cast<Function>(dlsym(library.handle, name));
  if (function != nullptr) return;
  throw Error("E-CUBLAS", library.path + " has no " + name + ". Fix: " + remedy +
                              ", and name its file in LONGSCAN_CUBLAS");
}

CublasLt open(int driverVersion) {
  LibrarySearch search{"E-CUBLAS", "cuBLASLt", "LONGSCAN_CUBLAS", {}, remedy};
  if (driverVersion >= 13000) search.names.push_back("libcublasLt.so.13");
  search.names.push_back("libcublasLt.so.12");
  search.names.push_back("libcublasLt.so");
  const FoundLibrary library = findLibrary(search);
  CublasLt cublas{};
  cublas.path = library.path;
  find(library, "cublasLtGetVersion", cublas.getVersion);
  cublas.version = static_cast<int>(cublas.getVersion());
  if (cublas.version < oldestVersion) {
    throw Error("E-CUBLAS", library.path + " is cuBLASLt " + cublas.versionName() + ", expected " +
                                nameOf(oldestVersion) + " or newer. Fix: " + remedy +
                                ", and name its file in LONGSCAN_CUBLAS");
  }
  find(library, "cublasLtGetStatusName", cublas.getStatusName);
  find(library, "cublasLtCreate", cublas.create);
  find(library, "cublasLtDestroy", cublas.destroy);
  find(library, "cublasLtMatmulDescCreate", cublas.matmulDescCreate);
  find(library, "cublasLtMatmulDescDestroy", cublas.matmulDescDestroy);
  find(library, "cublasLtMatmulDescSetAttribute", cublas.matmulDescSetAttribute);
  find(library, "cublasLtMatrixLayoutCreate", cublas.matrixLayoutCreate);
  find(library, "cublasLtMatrixLayoutDestroy", cublas.matrixLayoutDestroy);
  find(library, "cublasLtMatrixLayoutSetAttribute", cublas.matrixLayoutSetAttribute);
  find(library, "cublasLtMatmulPreferenceCreate", cublas.preferenceCreate);
  find(library, "cublasLtMatmulPreferenceDestroy", cublas.preferenceDestroy);
  find(library, "cublasLtMatmulPreferenceSetAttribute", cublas.preferenceSetAttribute);
  find(library, "cublasLtMatmulAlgoGetHeuristic", cublas.matmulAlgoGetHeuristic);
  find(library, "cublasLtMatmulAlgoConfigGetAttribute", cublas.matmulAlgoConfigGetAttribute);
  find(library, "cublasLtMatmul", cublas.matmul);
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
