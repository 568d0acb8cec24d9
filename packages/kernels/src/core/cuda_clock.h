#pragma once

#include <chrono>
#include <mutex>

#include "cuda_driver.h"

namespace longscan {

/// From one event with a time to another, both passed, by the GPU's clock, which counts half microseconds.
/// Throws E-CUDA.
std::chrono::nanoseconds cudaElapsed(const CudaDriver& driver, CUevent_st* begin, CUevent_st* end);

/// A GPU's clock beside the host's. It has a stream of its own with nothing on it, so that taking a time
/// neither waits for other work nor holds it up. May be called by several threads, whose current GPU this is.
class CudaClock {
 public:
  /// Throws E-CUDA.
  explicit CudaClock(const CudaDriver& driver);
  ~CudaClock();
  CudaClock(const CudaClock&) = delete;
  CudaClock& operator=(const CudaClock&) = delete;

  /// The host's time of an event that has passed. Throws E-CUDA.
  std::chrono::steady_clock::time_point onHost(CUevent_st* event);

 private:
  void recordSpare();

  const CudaDriver& driver_;
  CUstream_st* stream_ = nullptr;
  std::mutex mutex_;
  CUevent_st* anchor_ = nullptr;
  CUevent_st* spare_ = nullptr;
  std::chrono::steady_clock::time_point anchorOnHost_;
};

}  // namespace longscan
