#include "allocator.h"

#include <algorithm>
#include <string>
#include <utility>

#include "bytes_text.h"
#include "error.h"
#include "stream.h"

namespace longscan {

namespace {

/// What a GPU maps memory by.
constexpr size_t largestStep = size_t{1} << 21;

// Eight classes per power of two, up to 16 MiB: at most 12.5 % is lost, and blocks of similar size serve each
// other. Of the large ones, such as all parameters, as much would be gigabytes.
size_t roundedSize(size_t bytes) {
  bytes = std::max<size_t>(bytes, 64);
  const size_t step =
      std::min(std::max<size_t>(64, size_t{1} << (63 - __builtin_clzll(bytes) - 3)), largestStep);
  return (bytes + step - 1) / step * step;
}

}  // namespace

Allocator::Allocator(std::unique_ptr<Memory> memory, MemoryChecks checks)
    : memory_(std::move(memory)), checks_(checks) {}

Block* Allocator::allocate(size_t bytes, Stream& home) {
  const size_t size = checks_.exact ? std::max<size_t>(bytes, 1) : roundedSize(bytes);
  Block* block = recording_ && !checks_.exact ? recording_->take(size, home) : nullptr;
  if (block == nullptr) {
    block = take(size, home);
    stats_.inUseBytes += block->bytes;
    stats_.peakBytes = std::max(stats_.peakBytes, stats_.inUseBytes);
    if (recording_) recording_->noteMade(block);
  }
  block->holder = ++numHolders_;
  if (checks_.poison) memory_->poison(block->data, block->bytes, home);
  return block;
}

Block* Allocator::take(size_t size, Stream& home) {
  reclaimPending();
  if (Block* block = checks_.exact ? nullptr : takeFrom(free_[&home], size)) return block;
  void* data = memory_->map(size);
  // Nothing that is recorded ever waits.
  if (data == nullptr && !recording_) data = mapAtAnyPrice(size);
  if (data == nullptr) {
    throw Error("E-MEMORY", "out of memory: " + bytesText(size) + " asked for, " +
                                bytesText(stats_.inUseBytes) + " in use" + memory_->describeShortage());
  }
  auto* block = new Block{data, size, &home, 0, 0, {}};
  blocks_.insert(block);
  stats_.reservedBytes += size;
  return block;
}

void Allocator::touch(Block* block, Stream& stream, uint64_t ticket) {
  if (block == nullptr) return;
  if (recording_ && blocks_.count(block) > 0) recording_->noteUse(block);
  if (block->home == &stream) return;
  if (recording_) return recording_->touch(block, stream, ticket);
  for (auto& use : block->foreignUses) {
    if (use.stream == &stream) {
      use.ticket = ticket;
      return;
    }
  }
  block->foreignUses.push_back({&stream, ticket});
}

void Allocator::release(Block* block) {
  if (recording_) return recording_->release(block);
  stats_.inUseBytes -= block->bytes;
  block->holder = 0;
  if (std::exchange(block->isLent, false)) {
    for (const auto& recorded : recorded_) {
      if (const auto memory = recorded.lock()) memory->isLentForSure = false;
    }
  }
  pending_.push_back(block);
  reclaimPending();
}

std::shared_ptr<RecordedMemory> Allocator::endRecording() {
  auto memory = std::make_shared<RecordedMemory>(recording_->finish());
  recording_.reset();
  for (const Loan& loan : memory->lent) loan.block->isLent = true;
  recorded_.push_back(memory);
  return memory;
}

bool Allocator::isLent(RecordedMemory& memory) const {
  const auto isWithHolder = [&](const Loan& loan) {
    return blocks_.count(loan.block) > 0 && loan.block->holder == loan.holder;
  };
  if (!memory.isLentForSure)
    memory.isLentForSure = std::all_of(memory.lent.begin(), memory.lent.end(), isWithHolder);
  return memory.isLentForSure;
}

void Allocator::noteRun(const RecordedMemory& memory) {
  for (const auto& [block, stream] : memory.foreignUses) touch(block, *stream, stream->last());
}

void Allocator::giveBack(RecordedMemory& memory) {
  if (memory.isGivenBack) return;
  memory.isGivenBack = true;
  for (Block* block : std::exchange(memory.blocks, {})) release(block);
}

void* Allocator::mapAtAnyPrice(size_t size) {
  dropFree();
  if (void* data = memory_->map(size)) return data;
  for (const auto& recorded : recorded_) {
    const auto memory = recorded.lock();
    if (memory != nullptr && !memory->isUnderWay) giveBack(*memory);
  }
  const auto isDone = [](const std::weak_ptr<RecordedMemory>& recorded) {
    const auto memory = recorded.lock();
    return memory == nullptr || memory->isGivenBack;
  };
  recorded_.erase(std::remove_if(recorded_.begin(), recorded_.end(), isDone), recorded_.end());
  dropFree();
  return memory_->map(size);
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
  // What other streams still work on is free as soon as they have done it.
  for (Block* block : pending_) {
    for (const Block::Use& use : block->foreignUses)
      if (!isHeld()) use.stream->waitFor(use.ticket);
  }
  reclaimPending();
  for (auto& [home, list] : free_) {
    // The home stream may still be working on blocks that were freed a moment ago.
    if (!isHeld()) home->waitFor(home->last());
    if (!home->done(home->last())) continue;
    for (auto& [bytes, block] : list) {
      memory_->unmap(block->data, bytes);
      stats_.reservedBytes -= bytes;
      blocks_.erase(block);
      delete block;
    }
    list.clear();
  }
}

Allocator::~Allocator() {
  for (Block* block : blocks_) {
    memory_->unmap(block->data, block->bytes);
    delete block;
  }
}

}  // namespace longscan
