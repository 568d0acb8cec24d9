#include <cstring>

#include "../transport_collectives.h"
#include "pieces.h"

namespace longscan {

void TransportCollectives::allGather(const void* input, void* output, size_t bytes) {
  auto* data = static_cast<char*>(output);
  char* own = data + static_cast<size_t>(rank()) * bytes;
  if (input != own && bytes > 0) std::memcpy(own, input, bytes);
  Blocks blocks;
  for (int i = 0; i < size(); i++) blocks.push_back({static_cast<size_t>(i) * bytes, bytes});
  gatherBlocks(data, blocks);
}

void TransportCollectives::gatherBlocks(char* data, const Blocks& blocks) {
  if (size() == 1) return;
  // Decided on what all ranks know alike, so that all decide the same.
  if (blocks[0].bytes <= directBytes) {
    gatherDirect(data, blocks);
  } else {
    gatherRing(data, blocks);
  }
}

void TransportCollectives::gatherDirect(char* data, const Blocks& blocks) {
  const Block& own = blocks[static_cast<size_t>(rank())];
  std::vector<Request> requests;
  for (int distance = 1; distance < size(); distance++) {
    const int peer = neighbour(-distance);
    const Block& block = blocks[static_cast<size_t>(peer)];
    requests.push_back(transport_->irecv(peer, data + block.offset, block.bytes));
  }
  for (int distance = 1; distance < size(); distance++) {
    requests.push_back(transport_->isend(neighbour(distance), data + own.offset, own.bytes));
  }
  wait(requests);
}

void TransportCollectives::gatherRing(char* data, const Blocks& blocks) {
  const int prev = neighbour(-1);
  const int next = neighbour(1);
  // In step s the block of the rank s+1 places back arrives; all but the last are passed on, piece by piece.
  const auto blockAt = [&](int step) { return blocks[static_cast<size_t>(neighbour(-1 - step))]; };
  const int lastStep = size() - 2;
  std::vector<Request> arrivals;
  for (int step = 0; step < lastStep; step++) {
    const Block block = blockAt(step);
    forEachPiece(block.bytes, [&](size_t offset, size_t bytes) {
      arrivals.push_back(transport_->irecv(prev, data + block.offset + offset, bytes));
    });
  }
  const Block final = blockAt(lastStep);
  const Request lastArrival = transport_->irecv(prev, data + final.offset, final.bytes);
  const Block& own = blocks[static_cast<size_t>(rank())];
  Request lastSend = transport_->isend(next, data + own.offset, own.bytes);
  size_t arrival = 0;
  for (int step = 0; step < lastStep; step++) {
    const Block block = blockAt(step);
    forEachPiece(block.bytes, [&](size_t offset, size_t bytes) {
      wait(arrivals[arrival++]);
      lastSend = transport_->isend(next, data + block.offset + offset, bytes);
    });
  }
  wait({lastArrival, lastSend});
}

}  // namespace longscan
