#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <unordered_map>
#include <unordered_set>
#include <vector>

#include "memory.h"

namespace longscan {

/// One piece of memory, shared by a tensor and its views. Owned by the JavaScript thread.
struct Block {
  void* data;
  size_t bytes;  // as rounded
  Stream* home;  // the stream on which it is first touched and in whose order it is reused
  int numTensors = 0;
  struct Use {
    Stream* stream;
    uint64_t ticket;
  };
  std::vector<Use> foreignUses;  // newest use on each other stream
};

struct AllocatorStats {
  size_t inUseBytes = 0;
  size_t peakBytes = 0;
  size_t reservedBytes = 0;
};

/// What recorded work has of memory beside what lives on: nobody else's until it is given back or memory is
/// short; the work cannot run then any more.
struct RecordedMemory {
  std::vector<Block*> blocks;
  bool isGivenBack = false;
};

/// Caching, stream-ordered allocator. A freed block is reused at once by work on its home stream, since a
/// stream is in order; if other streams used it, only after their tickets are done. All calls are on the
/// JavaScript thread.
class Allocator {
 public:
  Allocator(std::unique_ptr<Memory> memory, bool poison);
  ~Allocator();
  Allocator(const Allocator&) = delete;
  Allocator& operator=(const Allocator&) = delete;

  /// Throws E-MEMORY. With poisoning on, the memory is filled with NaN in stream order.
  Block* allocate(size_t bytes, Stream& home);
  void release(Block* block);
  /// Notes that work with this ticket on `stream` touches the block.
  static void touch(Block* block, Stream& stream, uint64_t ticket);

  /// From here to `endRecording`, work is recorded that will run again: blocks that are released go round
  /// among that work and are its memory then. Blocks that were there before are only kept: each run reads
  /// them anew.
  void beginRecording() { recording_ = std::make_unique<Recording>(); }
  std::shared_ptr<RecordedMemory> endRecording();
  void giveBack(RecordedMemory& memory);
  bool isRecording() const { return recording_ != nullptr; }

  const AllocatorStats& stats() const { return stats_; }
  void resetPeak() { stats_.peakBytes = stats_.inUseBytes; }

 private:
  using FreeList = std::multimap<size_t, Block*>;
  struct Recording {
    std::unordered_set<Block*> made;  // since it began
    std::unordered_map<Stream*, FreeList> free;
    std::vector<Block*> kept;
  };
  Block* takeFrom(FreeList& list, size_t size) const;
  Block* take(size_t size, Stream& home);
  void reclaimPending();
  void dropFree();
  void* mapAtAnyPrice(size_t size);

  const std::unique_ptr<Memory> memory_;
  const bool poison_;
  /// Blocks are no larger than asked for and none serves twice, so that compute-sanitizer sees what reads or
  /// writes beside a tensor (LONGSCAN_EXACT_MEMORY=1).
  const bool exact_;
  AllocatorStats stats_;
  std::unordered_set<Block*> blocks_;  // all of them
  std::unordered_map<Stream*, FreeList> free_;
  std::vector<Block*> pending_;  // freed, but another stream may still use them
  std::unique_ptr<Recording> recording_;
  std::vector<std::weak_ptr<RecordedMemory>> recorded_;
};

}  // namespace longscan
