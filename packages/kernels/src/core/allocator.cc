#include "allocator.h"

#include <sys/mman.h>

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <string>

#include "error.h"
#include "stream.h"

namespace longscan {

namespace {

constexpr size_t smallBytes = 1 << 20;
constexpr size_t hugePageBytes = 2 << 20;

// Eight classes per power of two: at most 12.5 % is lost, and blocks of similar size serve each other.
size_t roundedSize(size_t bytes) {
  bytes = std::max<size_t>(bytes, 64);
  const size_t step = std::max<size_t>(64, size_t{1} << (63 - __builtin_clzll(bytes) - 3));
  return (bytes + step - 1) / step * step;
}

}  // namespace

void* Allocator::map(size_t bytes) {
  if (bytes < smallBytes) return std::aligned_alloc(64, (bytes + 63) / 64 * 64);
  void* data = mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (data == MAP_FAILED) return nullptr;
  if (bytes >= 2 * hugePageBytes) madvise(data, bytes, MADV_HUGEPAGE);
  return data;
}

void Allocator::unmap(void* data, size_t bytes) {
  if (bytes < smallBytes) {
    std::free(data);
  } else {
    munmap(data, bytes);
  }
}

Block* Allocator::allocate(size_t bytes, Stream& home) {
  reclaimPending();
  const size_t size = roundedSize(bytes);
  FreeList& list = free_[&home];
  Block* block = nullptr;
  if (auto it = list.lower_bound(size); it != list.end() && it->first <= size + size / 4) {
    block = it->second;
    list.erase(it);
  } else {
    void* data = map(size);
    if (data == nullptr) {
      dropFree();
      data = map(size);
    }
    if (data == nullptr) {
      throw Error("E-MEMORY", "out of memory: " + std::to_string(size) + " bytes asked for, " +
                                  std::to_string(stats_.inUseBytes) + " in use");
    }
    block = new Block{data, size, &home, 0, {}};
    stats_.reservedBytes += size;
  }
  stats_.inUseBytes += block->bytes;
  stats_.peakBytes = std::max(stats_.peakBytes, stats_.inUseBytes);
  if (poison_) {
    void* data = block->data;
    const size_t length = block->bytes;
    home.enqueue("poison", [data, length] { std::memset(data, 0xff, length); });
  }
  return block;
}

void Allocator::touch(Block* block, Stream& stream, uint64_t ticket) {
  if (block == nullptr || block->home == &stream) return;
  for (auto& use : block->foreignUses) {
    if (use.stream == &stream) {
      use.ticket = ticket;
      return;
    }
  }
  block->foreignUses.push_back({&stream, ticket});
}

void Allocator::release(Block* block) {
  stats_.inUseBytes -= block->bytes;
  pending_.push_back(block);
  reclaimPending();
}

void Allocator::reclaimPending() {
  auto usable = [](Block* block) {
    return std::all_of(block->foreignUses.begin(), block->foreignUses.end(),
                       [](const Block::Use& use) { return use.stream->done(use.ticket); });
  };
  auto rest = std::partition(pending_.begin(), pending_.end(), [&](Block* block) { return !usable(block); });
  for (auto it = rest; it != pending_.end(); ++it) {
    (*it)->foreignUses.clear();
    free_[(*it)->home].emplace((*it)->bytes, *it);
  }
  pending_.erase(rest, pending_.end());
}

void Allocator::dropFree() {
  for (auto& [home, list] : free_) {
    // The home stream may still be working on blocks that were freed a moment ago.
    home->waitFor(home->last());
    for (auto& [bytes, block] : list) {
      unmap(block->data, bytes);
      stats_.reservedBytes -= bytes;
      delete block;
    }
    list.clear();
  }
}

Allocator::~Allocator() {
  for (auto& [home, list] : free_) {
    for (auto& [bytes, block] : list) {
      unmap(block->data, bytes);
      delete block;
    }
  }
  for (Block* block : pending_) {
    unmap(block->data, block->bytes);
    delete block;
  }
}

}  // namespace longscan
