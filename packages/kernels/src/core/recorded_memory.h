#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <unordered_map>
#include <unordered_set>
#include <utility>
#include <vector>

namespace longscan {

struct Block;
class Stream;

/// Free blocks of one stream by size.
using FreeBlocks = std::multimap<size_t, Block*>;
/// Takes the smallest block of `size` or a quarter more; null: there is none.
Block* takeFrom(FreeBlocks& list, size_t size);

/// A block, and by its number who had it.
struct Loan {
  Block* block;
  uint64_t holder;
};

/// What recorded work has of memory beside what lives on: nobody else's until it is given back or memory is
/// short; the work cannot run then any more.
struct RecordedMemory {
  std::vector<Block*> blocks;
  /// Those and others that streams use which are not their homes.
  std::vector<std::pair<Block*, Stream*>> foreignUses;
  /// Those that the work uses and that are not among its own.
  std::vector<Loan> lent;
  bool isGivenBack = false;
  /// A launch has begun whose other sections will come.
  bool isUnderWay = false;
  /// Whether all of `lent` was found with those who had it, and nothing lent was released since.
  bool isLentForSure = false;
};

/// Memory of work while it is recorded. Blocks that are released go round among that work, in the order in
/// which it will run: a block that another stream uses, once its own stream waits for that use. Blocks that
/// were there before are only kept: each run reads them anew.
class MemoryRecording {
 public:
  /// A block that has gone round; null: there is none.
  Block* take(size_t size, Stream& home);
  void noteMade(Block* block) { made_.insert(block); }
  /// Of blocks of this allocator: the work uses it.
  void noteUse(Block* block) { used_.insert(block); }
  /// Points count all recorded work.
  void touch(Block* block, Stream& stream, uint64_t point);
  /// What is recorded on `later` from now on comes after what was on `earlier` up to `point`.
  void order(const Stream& later, const Stream& earlier, uint64_t point);
  void release(Block* block);
  RecordedMemory finish();

 private:
  bool isFree(const Block* block) const;
  void goRound(Block* block);

  std::unordered_set<Block*> made_;
  std::unordered_set<Block*> used_;
  std::unordered_map<Stream*, FreeBlocks> free_;
  std::vector<Block*> waiting_;  // released; another stream may still use them
  std::vector<Block*> kept_;
  std::map<Block*, std::map<Stream*, uint64_t>> foreignUses_;  // the newest, by stream
  std::map<std::pair<const Stream*, const Stream*>, uint64_t> ordered_;
};

}  // namespace longscan
