#include <vector>

#include "../transport_collectives.h"
#include "pieces.h"

namespace longscan {

void TransportCollectives::broadcast(void* data, size_t bytes, int root) {
  if (size() == 1 || bytes == 0) return;
  auto* target = static_cast<char*>(data);
  const int place = ((rank() - root) % size() + size()) % size();  // in the chain, the root first
  const bool isLast = place == size() - 1;
  if (place == 0) {
    wait(transport_->isend(neighbour(1), target, bytes));
    return;
  }
  std::vector<Request> arrivals;
  forEachPiece(bytes, [&](size_t offset, size_t pieceSize) {
    arrivals.push_back(transport_->irecv(neighbour(-1), target + offset, pieceSize));
  });
  Request last = arrivals.back();
  forEachPiece(bytes, [&](size_t offset, size_t pieceSize) {
    wait(arrivals[offset / pieceBytes]);
    if (!isLast) last = transport_->isend(neighbour(1), target + offset, pieceSize);
  });
  wait(last);
}

}  // namespace longscan
