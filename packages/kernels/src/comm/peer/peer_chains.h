#pragma once

#include <functional>
#include <memory>
#include <string>

#include "../collectives.h"
#include "peer_memory.h"

namespace longscan {

/// Whether ranks of a group share memory for chains.
enum class PeerMode : int {
  unused = 0,   // the group has no chains
  off = 1,      // no
  allowed = 2,  // where all neighbours can
  required = 3  // or the group does not come about
};

/// Our kernels for chains, out of their library.
struct PeerKernels {
  decltype(&longscanPeerChain) run = nullptr;
  decltype(&longscanPeerChainLoad) load = nullptr;
  const CudaKernels* library = nullptr;
};

/// Chains through mapped memory for one rank of a group, once all ranks have agreed on them: they run on
/// every link of the group or on none.
class PeerChains {
 public:
  /// `all` [P, bytes] = every rank's `own` [bytes], host memory; returns when it is there.
  using Gather = std::function<void(const void* own, void* all, size_t bytes)>;
  struct Agreement {
    std::unique_ptr<PeerChains> chains;  // null: there are none
    std::string obstacle;                // why; the same on all ranks
    bool isRequired = false;             // by one of them
  };

  /// On the stream's thread of every rank. Throws what `gather` throws.
  static Agreement agree(PeerMode mode, const PeerKernels& kernels, CudaTimeline& timeline, int rank,
                         int size, const Gather& gather);

  /// Launches this rank's part. Throws E-CUDA.
  void launch(const Collectives::Chain& chain, CUstream_st* stream);
  PeerMemory& memory() { return *memory_; }
  /// The neighbour that was seen to have given up; -1: none.
  int lostPeer() const;

 private:
  PeerChains(const PeerKernels& kernels, std::unique_ptr<PeerMemory> memory, int rank)
      : kernels_(kernels), memory_(std::move(memory)), rank_(rank) {}

  const PeerKernels kernels_;
  const std::unique_ptr<PeerMemory> memory_;
  const int rank_;
};

}  // namespace longscan
