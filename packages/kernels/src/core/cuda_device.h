#pragma once

#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "cuda_clock.h"
#include "cuda_driver.h"
#include "cuda_kernels.h"
#include "memory.h"

namespace longscan {

/// One GPU as one context of ours holds it: CUDA's primary context of it, which the kernels' runtime shares.
class CudaDevice {
 public:
  /// GPUs that the driver shows. Throws E-CUDA-DRIVER, or E-CUDA-DEVICE if there is none.
  static int count();

  /// Throws E-CUDA-DRIVER, or E-CUDA-DEVICE if there is no such GPU.
  explicit CudaDevice(int index);
  ~CudaDevice();
  CudaDevice(const CudaDevice&) = delete;
  CudaDevice& operator=(const CudaDevice&) = delete;

  const CudaDriver& driver() const { return driver_; }
  int index() const { return index_; }
  const std::string& name() const { return name_; }
  int capability() const { return capability_; }  // 90: compute capability 9.0
  int numMultiprocessors() const { return numMultiprocessors_; }
  size_t totalBytes() const { return totalBytes_; }
  size_t freeBytes() const;

  /// Makes this GPU the current one of the calling thread.
  void use() const;

  /// The kernels, opened by the first call. On the JavaScript thread. Throws E-CUDA-LIBRARY, or E-CUDA-DEVICE
  /// if they are not built for this GPU.
  const CudaKernels& kernels();

  /// Its clock beside the host's, made by the first call; on a thread whose current GPU this is. Throws
  /// E-CUDA.
  CudaClock& clock();

  /// Page-locked host memory of `stagingBytes`, which copies can go to while the calling thread goes on.
  /// Given back when the last owner lets go of it; none outlives the device.
  std::shared_ptr<void> staging();
  static constexpr size_t stagingBytes = 64 << 10;

 private:
  const CudaDriver& driver_;
  const int index_;
  int device_ = 0;
  CUctx_st* context_ = nullptr;
  std::string name_;
  int capability_ = 0;
  int numMultiprocessors_ = 0;
  size_t totalBytes_ = 0;
  std::unique_ptr<CudaKernels> kernels_;
  std::mutex clockMutex_;
  std::unique_ptr<CudaClock> clock_;
  std::mutex stagingMutex_;
  std::vector<void*> freeStaging_;
};

class CudaMemory : public Memory {
 public:
  explicit CudaMemory(CudaDevice& device) : device_(device) {}
  void* map(size_t bytes) override;
  void unmap(void* data, size_t bytes) override;
  void poison(void* data, size_t bytes, Stream& stream) override;
  std::string describeShortage() const override;

 private:
  CudaDevice& device_;
};

}  // namespace longscan
