#pragma once

#include <chrono>
#include <memory>
#include <vector>

#include "collectives.h"
#include "transport.h"

namespace longscan {

/// Collectives on host memory over a Transport. P = ranks, r = this rank, n = bytes of the whole vector, b =
/// bytes of one rank's block.
///
///   collective       algorithm                                sent by rank r                steps
///   allGather        direct: everybody to everybody           (P-1) b                       1
///                    ring above `directBytes`                 (P-1) b                       P-1
///   reduceScatter    direct / ring                            n - own block                 1 / P-1
///   allReduce        direct: whole vectors, small n           (P-1) n                       1
///                    reduceScatter + allGather                ~ 2 n (P-1)/P                 2 (P-1)
///   broadcast        chain from the root, in pieces           n, the last rank 0            P-1 + pieces
///   barrier          dissemination                            ceil(log2 P)                  ceil(log2 P)
///
/// Direct exchange needs one round of messages whatever P is, which wins while latency counts; the ring sends
/// every byte over the link to the next rank only, which wins between hosts that carry several ranks each.
/// Both send the same number of bytes.
///
/// Sums are left folds in an order that depends on P and the position only, never on timing.
class TransportCollectives final : public Collectives {
 public:
  /// Every wait inside a collective gets `timeout`.
  TransportCollectives(std::unique_ptr<Transport> transport, std::chrono::milliseconds timeout)
      : transport_(std::move(transport)), timeout_(timeout) {}

  int rank() const override { return transport_->rank(); }
  int size() const override { return transport_->size(); }

  void allGather(const void* input, void* output, size_t bytes) override;
  void reduceScatter(const void* input, void* output, const std::vector<size_t>& counts,
                     DType dtype) override;
  void allReduce(void* data, size_t count, DType dtype) override;
  void broadcast(void* data, size_t bytes, int root) override;
  void barrier() override;
  void exchange(const std::vector<Send>& sends, const std::vector<Receive>& receives) override;

  uint64_t bytesSent() const override { return transport_->bytesSent(); }
  void abort(const std::string& reason) override { transport_->abort(reason); }
  void close() override { transport_->close(); }

 private:
  /// Blocks of one vector, one per rank: `[offset, offset + bytes)`.
  struct Block {
    size_t offset;
    size_t bytes;
  };
  using Blocks = std::vector<Block>;

  void gatherBlocks(char* data, const Blocks& blocks);
  void gatherDirect(char* data, const Blocks& blocks);
  void gatherRing(char* data, const Blocks& blocks);
  void reduceBlocks(const char* input, char* output, const Blocks& blocks, DType dtype);
  void reduceDirect(const char* input, char* output, const Blocks& blocks, DType dtype);
  void reduceRing(const char* input, char* output, const Blocks& blocks, DType dtype);
  void allReduceDirect(char* data, size_t bytes, DType dtype);
  Blocks evenBlocks(size_t count, DType dtype) const;

  /// The rank `distance` places on, around the ring.
  int neighbour(int distance) const { return ((rank() + distance) % size() + size()) % size(); }
  char* scratch(size_t bytes);
  void wait(const Request& request) { transport_->wait(&request, 1, Clock::now() + timeout_); }
  void wait(const std::vector<Request>& requests) {
    transport_->wait(requests.data(), requests.size(), Clock::now() + timeout_);
  }

  const std::unique_ptr<Transport> transport_;
  const std::chrono::milliseconds timeout_;
  std::unique_ptr<char[]> scratch_;  // grows to the largest use
  size_t scratchBytes_ = 0;
};

}  // namespace longscan
