#include "peer_chains.h"

#include <cstdio>
#include <cstring>
#include <fstream>
#include <vector>

namespace longscan {

namespace {

/// What ranks tell each other before they map anything. All of it, so that each comes to the same result.
struct Card {
  PeerMode mode;
  char host[48];                 // names this start of the host's kernel
  CudaDriver::IpcHandle handle;  // of the landing
  char problem[160];             // why there is none; empty: there is
};

/// What came of mapping.
struct Verdict {
  char problem[160];  // empty: none
};

template <size_t size>
void assign(char (&target)[size], const std::string& text) {
  std::snprintf(target, size, "%s", text.c_str());
}

/// Processes in different containers have it in common; whether they can share memory shows when they try.
std::string hostName() {
  std::string id;
  std::getline(std::ifstream("/proc/sys/kernel/random/boot_id"), id);
  return id;
}

/// The first problem of a rank, with the rank's name; empty: there is none.
template <typename Told>
std::string firstProblem(const std::vector<Told>& ranks) {
  for (size_t rank = 0; rank < ranks.size(); rank++) {
    if (ranks[rank].problem[0] != '\0') return "rank " + std::to_string(rank) + ": " + ranks[rank].problem;
  }
  return "";
}

std::string obstacleIn(const std::vector<Card>& cards) {
  for (size_t rank = 1; rank < cards.size(); rank++) {
    if (std::strcmp(cards[rank].host, cards[rank - 1].host) == 0) continue;
    return "ranks " + std::to_string(rank - 1) + " and " + std::to_string(rank) + " are on different hosts";
  }
  return firstProblem(cards);
}

/// Every rank's, in rank order.
template <typename Told>
std::vector<Told> gatherAll(const PeerChains::Gather& gather, const Told& own, int size) {
  std::vector<Told> all(static_cast<size_t>(size));
  gather(&own, all.data(), sizeof(own));
  return all;
}

/// Makes this rank's memory, unless that is switched off or fails.
Card prepare(PeerMode mode, const PeerKernels& kernels, CudaTimeline& timeline,
             std::unique_ptr<PeerMemory>& memory) {
  Card card{};
  card.mode = mode;
  assign(card.host, hostName());
  if (mode == PeerMode::off) {
    assign(card.problem, "switched off (LONGSCAN_PEER_MEMORY)");
    return card;
  }
  try {
    memory = std::make_unique<PeerMemory>(timeline);
    card.handle = memory->handle();
    kernels.library->check(kernels.load());
  } catch (const Error& error) {
    assign(card.problem, error.what());
  }
  return card;
}

Verdict mapNeighbours(PeerMemory& memory, const std::vector<Card>& cards, int rank) {
  Verdict verdict{};
  const auto handleOf = [&](int peer) {
    const bool isRank = peer >= 0 && peer < static_cast<int>(cards.size());
    return isRank ? &cards[static_cast<size_t>(peer)].handle : nullptr;
  };
  try {
    memory.map(handleOf(rank - 1), handleOf(rank + 1));
  } catch (const Error& error) {
    assign(verdict.problem, error.what());
  }
  return verdict;
}

}  // namespace

PeerChains::Agreement PeerChains::agree(PeerMode mode, const PeerKernels& kernels, CudaTimeline& timeline,
                                        int rank, int size, const Gather& gather) {
  std::unique_ptr<PeerMemory> memory;
  const auto cards = gatherAll(gather, prepare(mode, kernels, timeline, memory), size);
  Agreement agreement;
  for (const Card& card : cards) agreement.isRequired |= card.mode == PeerMode::required;
  agreement.obstacle = obstacleIn(cards);
  if (agreement.obstacle.empty()) {
    const Verdict verdict = mapNeighbours(*memory, cards, rank);
    agreement.obstacle = firstProblem(gatherAll(gather, verdict, size));
    if (agreement.obstacle.empty()) {
      agreement.chains.reset(new PeerChains(kernels, std::move(memory), rank));
      return agreement;
    }
    memory->unmap();
    // Once all have come here nobody has anything mapped.
    gatherAll(gather, verdict, size);
  }
  if (memory != nullptr) memory->release();
  return agreement;
}

void PeerChains::launch(const Collectives::Chain& chain, CUstream_st* stream) {
  LongscanPeerChain call{};
  call.task = chain.segment;
  call.numRows = chain.numRows;
  call.incoming = chain.incoming;
  memory_->fill(call, chain.step);
  kernels_.library->check(kernels_.run(&call, stream));
}

int PeerChains::lostPeer() const {
  const int side = memory_->lostSide();
  return side == 0 ? -1 : rank_ + side;
}

}  // namespace longscan
