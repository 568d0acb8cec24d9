#pragma once

#include <atomic>
#include <memory>
#include <string>

#include "../collectives.h"
#include "../peer/peer_chains.h"
#include "nccl_guard.h"

namespace longscan {

/// Collectives on a GPU's memory, on its stream, by NCCL. What `bytesSent` counts is what NCCL's rings send,
/// P = ranks, n = bytes of the whole vector, b = bytes of one rank's block; what NCCL really sends, by trees
/// or with headers, it does not say:
///
/// allGather (P-1) b, reduceScatter n - own block, allReduce 2 n (P-1)/P, broadcast n (the last rank 0),
/// exchange the messages themselves, barrier an allReduce of one byte; chain the state, by all ranks but the
/// last.
///
/// Sums are in an order that NCCL chooses by group, size and hardware: the same from run to run on the same
/// machines.
class NcclCollectives final : public Collectives {
 public:
  NcclCollectives(const Nccl& nccl, const std::string& name, int rank, int size, Stream& stream,
                  std::chrono::milliseconds timeout);
  ~NcclCollectives() override;

  /// On the stream's thread, before the first verb. Throws CommError E-COMM-CONNECT, E-NCCL.
  void connect(const Nccl::UniqueId& id, std::chrono::milliseconds timeout);
  /// Then, on all ranks if on one: lets chains go through memory that neighbours have mapped, where that can
  /// be. Throws CommError E-PEER-MEMORY, on every rank, if a rank requires it and it cannot.
  void shareMemory(PeerMode mode, const PeerKernels& kernels, std::chrono::milliseconds timeout);

  int rank() const override { return rank_; }
  int size() const override { return size_; }
  void allGather(const void* input, void* output, size_t bytes) override;
  void reduceScatter(const void* input, void* output, const std::vector<size_t>& counts,
                     DType dtype) override;
  void allReduce(void* data, size_t count, DType dtype) override;
  void broadcast(void* data, size_t bytes, int root) override;
  void barrier() override;
  void exchange(const std::vector<Send>& sends, const std::vector<Receive>& receives) override;
  void chain(const Chain& chain) override;
  std::string chainObstacle() const override { return chainObstacle_; }

  uint64_t bytesSent() const override { return bytesSent_.load(std::memory_order_relaxed); }
  void abort(const std::string& reason) override { guard_->abort(reason); }
  void close() override;
  void expectClose() override { guard_->expectClose(); }
  void detach() override { guard_->detach(); }

 private:
  /// Counts the bytes and launches the calls.
  void launch(NcclWork work, uint64_t bytes, const NcclGuard::Calls& calls);
  const Nccl& nccl() const { return guard_->nccl(); }
  /// `all` [P, bytes] = every rank's `own` [bytes], in host memory.
  void gatherOnHost(const void* own, void* all, size_t bytes, std::chrono::milliseconds timeout);
  /// Gives the shared memory back, with the other ranks.
  void releaseMemory();

  const int rank_, size_;
  CudaTimeline& timeline_;  // on the stream's thread only
  const std::shared_ptr<NcclGuard> guard_;
  std::shared_ptr<PeerChains> chains_;  // null: none; the guard's thread may have it for longer
  std::string chainObstacle_ = "its ranks were not asked to share memory";
  std::atomic<uint64_t> bytesSent_{0};
};

}  // namespace longscan
