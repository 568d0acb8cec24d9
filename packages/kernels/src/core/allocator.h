#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <unordered_map>
#include <unordered_set>
#include <vector>

#include "memory.h"
#include "recorded_memory.h"

namespace longscan {

/// One piece of memory, shared by a tensor and its views. Owned by the JavaScript thread.
struct Block {
  void* data;
  size_t bytes;  // as rounded
  Stream* home;  // the stream on which it is first touched and in whose order it is reused
  int numTensors = 0;
  uint64_t holder = 0;  // who has it, another number each time that it is taken; 0: nobody
  struct Use {
    Stream* stream;
    uint64_t ticket;
  };
  std::vector<Use> foreignUses;  // newest use on each other stream
  bool isLent = false;           // recorded work uses it which may run again
};

/// What helps to find wrong accesses.
struct MemoryChecks {
  /// Fresh memory is filled with NaN, in stream order.
  bool poison = false;
  /// Blocks are no larger than asked for and none serves twice, so that compute-sanitizer sees what reads or
  /// writes beside a tensor.
  bool exact = false;
};

struct AllocatorStats {
  size_t inUseBytes = 0;
  size_t peakBytes = 0;
  size_t reservedBytes = 0;
};

/// Caching, stream-ordered allocator. A freed block is reused at once by work on its home stream, since a
/// stream is in order; if other streams used it, only after their tickets are done. All calls are on the
/// JavaScript thread.
class Allocator {
 public:
  Allocator(std::unique_ptr<Memory> memory, MemoryChecks checks);
  ~Allocator();
  Allocator(const Allocator&) = delete;
  Allocator& operator=(const Allocator&) = delete;

  /// Throws E-MEMORY.
  Block* allocate(size_t bytes, Stream& home);
  void release(Block* block);
  /// Notes that work with this ticket on `stream` touches the block.
  void touch(Block* block, Stream& stream, uint64_t ticket);

  /// From here to `endRecording`, work is recorded that will run again, and what is taken and released is its
  /// memory (MemoryRecording). Tickets that `touch` is given are points of the recording meanwhile.
  void beginRecording() { recording_ = std::make_unique<MemoryRecording>(); }
  std::shared_ptr<RecordedMemory> endRecording();
  /// While there is one.
  MemoryRecording& recording() { return *recording_; }
  /// Whether memory that the work uses beside its own is still with those who had it. Looks at all of it only
  /// when some of recorded work's was released since the last time.
  bool isLent(RecordedMemory& memory) const;
  /// Notes that the work, or a part of it, is enqueued once more.
  void noteRun(const RecordedMemory& memory);
  void giveBack(RecordedMemory& memory);
  bool isRecording() const { return recording_ != nullptr; }

  /// While the caller keeps it, streams are held until the JavaScript thread lets them go on: memory that
  /// runs out is not waited for.
  std::shared_ptr<void> hold() { return hold_; }

  const AllocatorStats& stats() const { return stats_; }
  void resetPeak() { stats_.peakBytes = stats_.inUseBytes; }

 private:
  Block* take(size_t size, Stream& home);
  void reclaimPending();
  bool isHeld() const { return hold_.use_count() > 1; }
  void dropFree();
  void* mapAtAnyPrice(size_t size);

  const std::unique_ptr<Memory> memory_;
  const MemoryChecks checks_;
  AllocatorStats stats_;
  uint64_t numHolders_ = 0;
  std::unordered_set<Block*> blocks_;  // all of them
  std::unordered_map<Stream*, FreeBlocks> free_;
  std::vector<Block*> pending_;  // freed, but another stream may still use them
  const std::shared_ptr<void> hold_ = std::make_shared<char>();
  std::unique_ptr<MemoryRecording> recording_;
  std::vector<std::weak_ptr<RecordedMemory>> recorded_;
};

}  // namespace longscan
