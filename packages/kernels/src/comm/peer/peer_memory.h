#pragma once

#include <mutex>

#include "../../core/cuda_timeline.h"
#include "chain.h"

namespace longscan {

/// One rank's memory for chains: its landing, those of its neighbours as far as they are mapped here, and two
/// words in host memory by which kernels and host stop each other.
class PeerMemory {
 public:
  /// Makes the landing, with NaN in the slots. On the stream's thread. Throws E-CUDA.
  explicit PeerMemory(CudaTimeline& timeline);
  /// Leaves to the end of the process what `release` has not given back: kernels and peers may be at work
  /// there.
  ~PeerMemory() = default;
  PeerMemory(const PeerMemory&) = delete;
  PeerMemory& operator=(const PeerMemory&) = delete;

  /// Names the landing to other processes.
  CudaDriver::IpcHandle handle() const;
  /// Maps the landings of rank - 1 and rank + 1, where there are such ranks. Throws E-CUDA.
  void map(const CudaDriver::IpcHandle* lower, const CudaDriver::IpcHandle* upper);
  /// Gives the mappings back: nothing of this rank's may be under way.
  void unmap();
  /// Gives the landing and the words back: no peer may have it mapped.
  void release();

  /// The ends of a chain up the ranks (`step` 1) or down (-1), in `chain`.
  void fill(LongscanPeerChain& chain, int step) const;

  // From any thread; nothing after `release`.
  /// Ends this rank's kernels wherever they wait.
  void stop();
  /// Tells the neighbours that this rank gives up.
  void leave();
  /// Not 0 once a neighbour was seen to have given up: -1 the lower one, 1 the upper one.
  int lostSide() const;

 private:
  LongscanPeerLink lowerLink() const;
  LongscanPeerLink upperLink() const;

  CudaDevice& device_;
  const CudaDriver& driver_;
  mutable std::mutex mutex_;                // of what follows, once other threads know of it
  LongscanPeerLanding* landing_ = nullptr;  // device memory, as are those of the neighbours
  LongscanPeerLanding *lower_ = nullptr, *upper_ = nullptr;
  volatile int* words_ = nullptr;  // page-locked: stop, lost
  CUstream_st* notices_ = nullptr;
};

}  // namespace longscan
