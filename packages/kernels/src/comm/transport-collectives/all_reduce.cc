#include <cstring>

#include "../transport_collectives.h"
#include "pieces.h"
#include "sum.h"

namespace longscan {

void TransportCollectives::allReduce(void* data, size_t count, DType dtype) {
  auto* bytes = static_cast<char*>(data);
  if (size() == 1 || count == 0) return;
  if (count * dtypeBytes(dtype) <= directBytes) {
    allReduceDirect(bytes, count * dtypeBytes(dtype), dtype);
    return;
  }
  const Blocks blocks = evenBlocks(count, dtype);
  reduceBlocks(bytes, bytes + blocks[static_cast<size_t>(rank())].offset, blocks, dtype);
  gatherBlocks(bytes, blocks);
}

TransportCollectives::Blocks TransportCollectives::evenBlocks(size_t count, DType dtype) const {
  const auto numBlocks = static_cast<size_t>(size());
  Blocks blocks;
  size_t offset = 0;
  for (size_t i = 0; i < numBlocks; i++) {
    const size_t bytes = (count / numBlocks + (i < count % numBlocks ? 1 : 0)) * dtypeBytes(dtype);
    blocks.push_back({offset, bytes});
    offset += bytes;
  }
  return blocks;
}

void TransportCollectives::allReduceDirect(char* data, size_t bytes, DType dtype) {
  char* vectors = scratch(bytes * static_cast<size_t>(size()));
  const auto from = [&](int peer) { return vectors + bytes * static_cast<size_t>(peer); };
  std::vector<Request> requests;
  for (int distance = 1; distance < size(); distance++) {
    requests.push_back(transport_->irecv(neighbour(-distance), from(neighbour(-distance)), bytes));
  }
  for (int distance = 1; distance < size(); distance++) {
    requests.push_back(transport_->isend(neighbour(distance), data, bytes));
  }
  std::memcpy(from(rank()), data, bytes);
  wait(requests);
  // In rank order on every rank, so that all hold the same bits.
  sum(data, from(0), from(1), bytes, dtype);
  for (int peer = 2; peer < size(); peer++) sum(data, data, from(peer), bytes, dtype);
}

}  // namespace longscan
