#include "nccl_collectives.h"

#include <algorithm>
#include <numeric>
#include <thread>

namespace longscan {

namespace {

int ncclType(DType dtype) {
  switch (dtype) {
    case DType::f32:
      return ncclFloat32;
    case DType::f64:
      return ncclFloat64;
    default:
      throw Error("E-ARGUMENT",
                  std::string("no sum over ranks for ") + dtypeName(dtype) + ", only f32 and f64");
  }
}

std::string sized(const char* verb, size_t bytes) {
  return std::string(verb) + " of " + std::to_string(bytes) + " bytes";
}

/// `a receive of 16 bytes from rank 2`, or how many messages there are.
NcclWork describe(const std::vector<Collectives::Send>& sends,
                  const std::vector<Collectives::Receive>& receives) {
  NcclWork work;
  size_t bytes = 0;
  const auto add = [&](const auto& message) {
    bytes += message.bytes;
    if (std::find(work.peers.begin(), work.peers.end(), message.peer) == work.peers.end())
      work.peers.push_back(message.peer);
  };
  for (const auto& send : sends) add(send);
  for (const auto& receive : receives) add(receive);
  if (sends.size() + receives.size() > 1) {
    work.name = "an exchange of " + std::to_string(sends.size() + receives.size()) + " messages, " +
                std::to_string(bytes) + " bytes, with " + (work.peers.size() == 1 ? "rank" : "ranks");
    for (const int peer : work.peers) work.name += " " + std::to_string(peer);
  } else {
    work.name = sized(sends.empty() ? "a receive" : "a send", bytes) + (sends.empty() ? " from" : " to") +
                " rank " + std::to_string(work.peers[0]);
  }
  return work;
}

/// The messages that have bytes; both ends leave the others out.
template <typename Message>
std::vector<Message> withBytes(const std::vector<Message>& messages) {
  std::vector<Message> some;
  std::copy_if(messages.begin(), messages.end(), std::back_inserter(some),
               [](const Message& message) { return message.bytes > 0; });
  return some;
}

/// Makes calls until one fails; gives its status.
class FirstFailure {
 public:
  void operator()(int status) {
    if (status_ == ncclSuccess && status != ncclInProgress) status_ = status;
  }
  int status() const { return status_; }

 private:
  int status_ = ncclSuccess;
};

}  // namespace

NcclCollectives::NcclCollectives(const Nccl& nccl, const std::string& name, int rank, int size,
                                 Stream& stream, std::chrono::milliseconds timeout)
    : rank_(rank),
      size_(size),
      timeline_(*stream.timeline()),
      guard_(NcclGuard::start(nccl, name + " rank " + std::to_string(rank) + " of " + std::to_string(size),
                              rank, size, stream, timeout)) {}

NcclCollectives::~NcclCollectives() {
  guard_->detach();
}

void NcclCollectives::connect(const Nccl::UniqueId& id, std::chrono::milliseconds timeout) {
  guard_->connect(id, timeout);
}

void NcclCollectives::shareMemory(PeerMode mode, const PeerKernels& kernels,
                                  std::chrono::milliseconds timeout) {
  PeerChains::Agreement agreement = PeerChains::agree(
      mode, kernels, timeline_, rank_, size_,
      [&](const void* own, void* all, size_t bytes) { gatherOnHost(own, all, bytes, timeout); });
  guard_->restartNumbers();
  chainObstacle_ = agreement.obstacle;
  chains_ = std::move(agreement.chains);
  if (chains_ == nullptr) {
    if (agreement.isRequired)
      throw CommError("E-PEER-MEMORY",
                      guard_->label() + ": memory cannot be shared with the neighbours: " + chainObstacle_ +
                          ". Fix: run the ranks of a sequence on GPUs of one host that reach "
                          "each other (nvidia-smi topo -p2p r), or do not require it in "
                          "LONGSCAN_PEER_MEMORY");
    return;
  }
  guard_->watchOver({[chains = chains_] { chains->memory().stop(); },
                     [chains = chains_] { chains->memory().leave(); },
                     [chains = chains_] { return chains->lostPeer(); }});
}

void NcclCollectives::gatherOnHost(const void* own, void* all, size_t bytes,
                                   std::chrono::milliseconds timeout) {
  const CudaDriver& driver = timeline_.device().driver();
  const auto size = static_cast<size_t>(size_);
  CudaDriver::Pointer data = 0;
  driver.check(driver.memAlloc(&data, (1 + size) * bytes), "cuMemAlloc");
  auto* gathered = reinterpret_cast<char*>(data);
  timeline_.copyFromHost(own, gathered + size * bytes, bytes);
  guard_->launch({"the agreement on shared memory", {}, timeout}, [&](ncclComm* comm, CUstream_st* stream) {
    return nccl().allGather(gathered + size * bytes, gathered, bytes, ncclBytes, comm, stream);
  });
  timeline_.copyToHost(gathered, all, size * bytes);
  driver.check(driver.memFree(data), "cuMemFree");
}

void NcclCollectives::releaseMemory() {
  try {
    timeline_.synchronize();
    chains_->memory().unmap();
    barrier();
    CUevent_st* behind = timeline_.recordPoint();
    for (int i = 0; !timeline_.reached(behind); i++) {
      if (guard_->hasFailed() || std::chrono::milliseconds(i) > NcclGuard::closePatience / 2) return;
      std::this_thread::sleep_for(std::chrono::milliseconds(1));
    }
    timeline_.returnPoint(behind);
    chains_->memory().release();
  } catch (const Error&) {
    // Peers may still be at work in it. What has failed is known to the guard or the context.
  }
}

void NcclCollectives::close() {
  if (chains_ != nullptr && !guard_->hasFailed()) releaseMemory();
  guard_->close();
}

void NcclCollectives::chain(const Chain& chain) {
  if (chains_ == nullptr) return Collectives::chain(chain);
  const int prev = rank_ - chain.step, next = rank_ + chain.step;
  const auto isRank = [&](int rank) { return rank >= 0 && rank < size_; };
  const size_t bytes = static_cast<size_t>(chain.numRows * chain.segment.rowLength) * sizeof(float);
  NcclWork work{sized("a chain", bytes), {}};
  for (const int peer : {prev, next})
    if (isRank(peer)) work.peers.push_back(peer);
  if (isRank(next)) bytesSent_.fetch_add(bytes, std::memory_order_relaxed);
  guard_->launchOwn(std::move(work), [&](CUstream_st* stream) { chains_->launch(chain, stream); });
}

void NcclCollectives::launch(NcclWork work, uint64_t bytes, const NcclGuard::Calls& calls) {
  bytesSent_.fetch_add(bytes, std::memory_order_relaxed);
  guard_->launch(std::move(work), calls);
}

void NcclCollectives::allGather(const void* input, void* output, size_t bytes) {
  if (bytes == 0) return;
  launch({sized("an all-gather", bytes), {}}, (size_ - 1) * bytes, [&](ncclComm* comm, CUstream_st* stream) {
    return nccl().allGather(input, output, bytes, ncclBytes, comm, stream);
  });
}

void NcclCollectives::reduceScatter(const void* input, void* output, const std::vector<size_t>& counts,
                                    DType dtype) {
  const size_t total = std::accumulate(counts.begin(), counts.end(), size_t{0});
  if (total == 0) return;
  const int type = ncclType(dtype);
  const size_t own = counts[static_cast<size_t>(rank_)];
  const bool isEven = std::all_of(counts.begin(), counts.end(), [&](size_t count) { return count == own; });
  launch({sized("a reduce-scatter", total * dtypeBytes(dtype)), {}}, (total - own) * dtypeBytes(dtype),
         [&](ncclComm* comm, CUstream_st* stream) {
           if (isEven) {
             return nccl().reduceScatter(input, output, own, type, ncclSum, comm, stream);
           }
           // A reduction to each rank, all at once.
           FirstFailure check;
           const auto* block = static_cast<const char*>(input);
           for (int root = 0; root < size_; root++) {
             const size_t count = counts[static_cast<size_t>(root)];
             if (count > 0) check(nccl().reduce(block, output, count, type, ncclSum, root, comm, stream));
             block += count * dtypeBytes(dtype);
           }
           return check.status();
         });
}

void NcclCollectives::allReduce(void* data, size_t count, DType dtype) {
  if (count == 0) return;
  const size_t bytes = count * dtypeBytes(dtype);
  const int type = ncclType(dtype);
  launch({sized("an all-reduce", bytes), {}}, 2 * (bytes - bytes / static_cast<size_t>(size_)),
         [&](ncclComm* comm, CUstream_st* stream) {
           return nccl().allReduce(data, data, count, type, ncclSum, comm, stream);
         });
}

void NcclCollectives::broadcast(void* data, size_t bytes, int root) {
  if (bytes == 0) return;
  const bool isLast = (rank_ + 1) % size_ == root;
  launch({sized("a broadcast", bytes), {}}, isLast ? 0 : bytes, [&](ncclComm* comm, CUstream_st* stream) {
    return nccl().broadcast(data, data, bytes, ncclBytes, root, comm, stream);
  });
}

void NcclCollectives::barrier() {
  launch({"a barrier", {}}, size_ > 1 ? 2 : 0, [&](ncclComm* comm, CUstream_st* stream) {
    void* byte = guard_->byte();
    return nccl().allReduce(byte, byte, 1, ncclBytes, ncclSum, comm, stream);
  });
}

void NcclCollectives::exchange(const std::vector<Send>& allSends, const std::vector<Receive>& allReceives) {
  const auto sends = withBytes(allSends);
  const auto receives = withBytes(allReceives);
  if (sends.empty() && receives.empty()) return;
  uint64_t bytes = 0;
  for (const Send& send : sends) bytes += send.bytes;
  launch(describe(sends, receives), bytes, [&](ncclComm* comm, CUstream_st* stream) {
    FirstFailure check;
    for (const Receive& receive : receives)
      check(nccl().recv(receive.data, receive.bytes, ncclBytes, receive.peer, comm, stream));
    for (const Send& send : sends)
      check(nccl().send(send.data, send.bytes, ncclBytes, send.peer, comm, stream));
    return check.status();
  });
}

}  // namespace longscan
