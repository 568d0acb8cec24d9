#include <cstring>
#include <optional>

#include "../transport_collectives.h"
#include "pieces.h"
#include "sum.h"

namespace longscan {

void TransportCollectives::reduceScatter(const void* input, void* output, const std::vector<size_t>& counts,
                                         DType dtype) {
  Blocks blocks;
  size_t offset = 0;
  for (const size_t count : counts) {
    blocks.push_back({offset, count * dtypeBytes(dtype)});
    offset += blocks.back().bytes;
  }
  reduceBlocks(static_cast<const char*>(input), static_cast<char*>(output), blocks, dtype);
}

void TransportCollectives::reduceBlocks(const char* input, char* output, const Blocks& blocks, DType dtype) {
  if (size() == 1) {
    if (input != output && blocks[0].bytes > 0) std::memcpy(output, input, blocks[0].bytes);
  } else if (blocks.back().offset + blocks.back().bytes <= directBytes * static_cast<size_t>(size())) {
    reduceDirect(input, output, blocks, dtype);
  } else {
    reduceRing(input, output, blocks, dtype);
  }
}

void TransportCollectives::reduceDirect(const char* input, char* output, const Blocks& blocks, DType dtype) {
  const Block& own = blocks[static_cast<size_t>(rank())];
  char* landing = scratch(own.bytes * static_cast<size_t>(size()));
  const auto from = [&](int peer) { return landing + own.bytes * static_cast<size_t>(peer); };
  std::vector<Request> requests;
  for (int distance = 1; distance < size(); distance++) {
    const int peer = neighbour(-distance);
    requests.push_back(transport_->irecv(peer, from(peer), own.bytes));
  }
  for (int distance = 1; distance < size(); distance++) {
    const int peer = neighbour(distance);
    const Block& block = blocks[static_cast<size_t>(peer)];
    requests.push_back(transport_->isend(peer, input + block.offset, block.bytes));
  }
  if (own.bytes > 0) std::memcpy(from(rank()), input + own.offset, own.bytes);
  wait(requests);
  sum(output, from(0), from(1), own.bytes, dtype);
  for (int peer = 2; peer < size(); peer++) sum(output, output, from(peer), own.bytes, dtype);
}

// Block i starts at rank i+1 and comes to rank i last, each rank adding its own part on the way.
void TransportCollectives::reduceRing(const char* input, char* output, const Blocks& blocks, DType dtype) {
  const int prev = neighbour(-1);
  const int next = neighbour(1);
  size_t largest = 0;
  for (const Block& block : blocks) largest = std::max(largest, block.bytes);
  // Partial sums of one step are still being sent while those of the next arrive: two buffers in turn.
  char* partials[2] = {scratch(2 * largest), nullptr};
  partials[1] = partials[0] + largest;
  std::optional<Request> lastSend[2];

  const Block& first = blocks[static_cast<size_t>(prev)];
  Request last = transport_->isend(next, input + first.offset, first.bytes);
  for (int step = 0; step < size() - 1; step++) {
    const Block& block = blocks[static_cast<size_t>(neighbour(-2 - step))];
    char* partial = partials[step % 2];
    if (lastSend[step % 2]) wait(*lastSend[step % 2]);
    std::vector<Request> arrivals;
    forEachPiece(block.bytes, [&](size_t offset, size_t bytes) {
      arrivals.push_back(transport_->irecv(prev, partial + offset, bytes));
    });
    const bool final = step == size() - 2;
    forEachPiece(block.bytes, [&](size_t offset, size_t bytes) {
      wait(arrivals[offset / pieceBytes]);
      sum((final ? output : partial) + offset, partial + offset, input + block.offset + offset, bytes, dtype);
      if (!final) last = transport_->isend(next, partial + offset, bytes);
    });
    lastSend[step % 2] = last;
  }
  wait(last);
}

char* TransportCollectives::scratch(size_t bytes) {
  if (scratchBytes_ < bytes) {
    scratch_.reset(new char[bytes]);
    scratchBytes_ = bytes;
  }
  return scratch_.get();
}

}  // namespace longscan
