#include "recorded_memory.h"

#include <algorithm>

#include "allocator.h"

namespace longscan {

Block* takeFrom(FreeBlocks& list, size_t size) {
  const auto found = list.lower_bound(size);
  if (found == list.end() || found->first > size + size / 4) return nullptr;
  Block* block = found->second;
  list.erase(found);
  return block;
}

Block* MemoryRecording::take(size_t size, Stream& home) {
  return takeFrom(free_[&home], size);
}

void MemoryRecording::touch(Block* block, Stream& stream, uint64_t point) {
  if (block->home != &stream) foreignUses_[block][&stream] = point;
}

void MemoryRecording::order(const Stream& later, const Stream& earlier, uint64_t point) {
  uint64_t& ordered = ordered_[{&later, &earlier}];
  ordered = std::max(ordered, point);
  const auto firstFree =
      std::partition(waiting_.begin(), waiting_.end(), [&](Block* block) { return !isFree(block); });
  std::for_each(firstFree, waiting_.end(), [&](Block* block) { goRound(block); });
  waiting_.erase(firstFree, waiting_.end());
}

bool MemoryRecording::isFree(const Block* block) const {
  const auto uses = foreignUses_.find(const_cast<Block*>(block));
  if (uses == foreignUses_.end()) return true;
  return std::all_of(uses->second.begin(), uses->second.end(), [&](const auto& use) {
    const auto ordered = ordered_.find({block->home, use.first});
    return ordered != ordered_.end() && ordered->second >= use.second;
  });
}

void MemoryRecording::goRound(Block* block) {
  free_[block->home].emplace(block->bytes, block);
}

void MemoryRecording::release(Block* block) {
  if (made_.count(block) == 0) {
    kept_.push_back(block);
  } else if (isFree(block)) {
    goRound(block);
  } else {
    waiting_.push_back(block);
  }
}

RecordedMemory MemoryRecording::finish() {
  RecordedMemory memory;
  memory.blocks = std::move(kept_);
  memory.blocks.insert(memory.blocks.end(), waiting_.begin(), waiting_.end());
  for (const auto& [home, list] : free_) {
    for (const auto& [bytes, block] : list) memory.blocks.push_back(block);
  }
  const std::unordered_set<Block*> own(memory.blocks.begin(), memory.blocks.end());
  for (Block* block : used_) {
    if (own.count(block) == 0) memory.lent.push_back({block, block->holder});
  }
  for (const auto& [block, uses] : foreignUses_) {
    for (const auto& [stream, point] : uses) memory.foreignUses.push_back({block, stream});
  }
  return memory;
}

}  // namespace longscan
