#include "cuda_kernels.h"

#include <dlfcn.h>

#include <cstdlib>

#include "../cuda/library.h"
#include "cuda_driver.h"
#include "error.h"

namespace longscan {

namespace {

/// The file beside the one that this code was loaded from.
std::string pathBesideAddon() {
  Dl_info info{};
  dladdr(reinterpret_cast<const void*>(&pathBesideAddon), &info);
  const std::string addon = info.dli_fname == nullptr ? "" : info.dli_fname;
  return addon.substr(0, addon.rfind('/') + 1) + "longscan_cuda.so";
}

std::string namesOf(const LongscanCudaLibrary& library) {
  std::string names;
  for (int i = 0; i < library.numArchitectures; i++) {
    names += (i == 0 ? "sm_" : ", sm_") + std::to_string(library.architectures[i] / 10);
  }
  return names;
}

/// Whether a cudaError_t says that the library has no code for the GPU: cudaErrorInvalidDeviceFunction,
/// cudaErrorInvalidKernelImage, cudaErrorNoKernelImageForDevice.
bool isMissingCode(int status) {
  return status == 98 || status == 200 || status == 209;
}

}  // namespace

CudaKernels::CudaKernels(const std::string& deviceName, int capability, int driverVersion) {
  const char* given = std::getenv("LONGSCAN_CUDA");
  path_ = given != nullptr && *given != '\0' ? given : pathBesideAddon();
  handle_ = dlopen(path_.c_str(), RTLD_NOW | RTLD_LOCAL);
  if (handle_ == nullptr) {
    throw Error("E-CUDA-LIBRARY", std::string("the CUDA kernels cannot be opened. Tried: ") + dlerror() +
                                      ". Fix: build them where nvcc is (npm run setup, or "
                                      "scripts/cuda/build.sh), or name the file in LONGSCAN_CUDA");
  }
  const auto describe =
      reinterpret_cast<decltype(&longscanCudaDescribe)>(dlsym(handle_, "longscanCudaDescribe"));
  const auto probe = reinterpret_cast<decltype(&longscanCudaProbe)>(dlsym(handle_, "longscanCudaProbe"));
  errorText_ = reinterpret_cast<decltype(&longscanCudaErrorText)>(dlsym(handle_, "longscanCudaErrorText"));
  if (describe == nullptr || probe == nullptr || errorText_ == nullptr) {
    throw Error("E-CUDA-LIBRARY",
                path_ + " is not a library of our kernels, or an old one. Fix: build it again");
  }
  LongscanCudaLibrary library{};
  describe(&library);
  if (driverVersion / 1000 < library.toolkitVersion / 1000) {
    throw Error("E-CUDA-DRIVER",
                "the driver is of CUDA " + cudaVersionName(driverVersion) +
                    ", the kernels were built with CUDA " + cudaVersionName(library.toolkitVersion) +
                    ". Fix: install a newer NVIDIA driver, or build the kernels with an older "
                    "nvcc");
  }
  const int status = probe();
  if (isMissingCode(status)) {
    throw Error("E-CUDA-DEVICE", "the kernels are built for " + namesOf(library) + " and do not run on " +
                                     deviceName + ", sm_" + std::to_string(capability) + " (" +
                                     errorText_(status) +
                                     "). Fix: build them for it: scripts/cuda/build.sh " + "LIBRARY.so " +
                                     std::to_string(capability));
  }
  if (status != 0) {
    throw Error("E-CUDA", "the CUDA kernels cannot be opened on " + deviceName + ": " + errorText_(status) +
                              " (" + std::to_string(status) +
                              "). As a rule earlier work of this process has failed on the GPU, which "
                              "then answers every call with that failure. Fix: end the process; "
                              "LONGSCAN_SYNC=1 in a new one names the op that fails");
  }
}

void* CudaKernels::find(const char* function, const char* op) const {
  if (void* address = dlsym(handle_, function)) return address;
  throw Error("E-CUDA-KERNEL", std::string(op) + ": no CUDA kernel (" + path_ + " has no " + function +
                                   "). Fix: build the kernels again, or run this on the CPU (device.kind = "
                                   "\"cpu\")");
}

void CudaKernels::check(int status) const {
  if (status == 0) return;
  throw Error("E-CUDA", "the launch failed: " + std::string(errorText_(status)));
}

}  // namespace longscan
