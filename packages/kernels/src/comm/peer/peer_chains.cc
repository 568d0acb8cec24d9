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

}  // namespace

PeerChains::Agreement PeerChains::agree(PeerMode mode, const PeerKernels& kernels, CudaTimeline& timeline,
                                        int rank, int size, const Gather& gather) {
  Card card{};
  card.mode = mode;
  assign(card.host, hostName());
  std::unique_ptr<PeerMemory> memory;
  if (mode == PeerMode::off) {
    assign(card.problem, "switched off (LONGSCAN_PEER_MEMORY)");
  } else {
    try {
      memory = std::make_unique<PeerMemory>(timeline);
      card.handle = memory->handle();
      kernels.library->check(kernels.load());
    } catch (const Error& error) {
      assign(card.problem, error.what());
    }
  }
  std::vector<Card> cards(static_cast<size_t>(size));
  gather(&card, cards.data(), sizeof(card));
  Agreement agreement;
  for (const Card& each : cards) agreement.isRequired |= each.mode == PeerMode::required;
  agreement.obstacle = obstacleIn(cards);
  if (agreement.obstacle.empty()) {
    Verdict verdict{};
    try {
      const auto handleOf = [&](int peer) {
        return peer < 0 || peer >= size ? nullptr : &cards[static_cast<size_t>(peer)].handle;
      };
      memory->map(handleOf(rank - 1), handleOf(rank + 1));
    } catch (const Error& error) {
      assign(verdict.problem, error.what());
      memory->unmap();
    }
    std::vector<Verdict> verdicts(static_cast<size_t>(size));
    gather(&verdict, verdicts.data(), sizeof(verdict));
    agreement.obstacle = firstProblem(verdicts);
    if (agreement.obstacle.empty()) {
      agreement.chains.reset(new PeerChains(kernels, std::move(memory), rank));
      return agreement;
    }
    memory->unmap();
    gather(&verdict, verdicts.data(), sizeof(verdict));  // nobody has anything mapped now
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
