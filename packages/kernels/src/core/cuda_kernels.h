#pragma once

#include <string>

namespace longscan {

/// Our kernels for GPUs, a library of its own (`longscan_cuda.so`) that holds plain C functions: those that
/// `cuda.h` in each op's folder declares. Only hosts with a GPU open it.
class CudaKernels {
 public:
  /// Opens it for the calling thread's current GPU; LONGSCAN_CUDA, if set, is the only path tried, else the
  /// file beside the addon. Throws E-CUDA-LIBRARY, E-CUDA-DRIVER or E-CUDA-DEVICE; E-CUDA if the GPU
  /// fails at once, as it does after an earlier failure.
  CudaKernels(const std::string& deviceName, int capability, int driverVersion);

  const std::string& path() const { return path_; }

  /// The address of a function. Throws E-CUDA-KERNEL, in the name of `op`, if the library has none.
  void* find(const char* function, const char* op) const;

  /// Throws E-CUDA unless `status`, which a function of the library returned, is 0.
  void check(int status) const;

 private:
  std::string path_;
  void* handle_ = nullptr;
  const char* (*errorText_)(int) = nullptr;
};

}  // namespace longscan
