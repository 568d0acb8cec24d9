#pragma once

#include <vector>

#include "allocator.h"
#include "tensor.h"

namespace longscan {

/// Maps the numeric ids that JavaScript holds to tensors. An id is `generation * 2^24 + slot`, so a stale id
/// is recognised and never reaches another tensor's memory. One table per JavaScript environment, on its
/// thread only.
class TensorTable {
 public:
  double add(const TensorRef& tensor, Allocator& allocator);
  /// Throws E-TENSOR if the id is not (or no longer) alive.
  const TensorRef& get(double id) const;
  void release(double id);
  size_t numAlive() const { return numAlive_; }
  /// Forgets every tensor of this allocator, whose memory goes away as a whole.
  void forget(Allocator& allocator);

 private:
  struct Slot {
    TensorRef tensor;
    Allocator* allocator = nullptr;  // null: free
    uint64_t generation = 1;
  };
  size_t slotOf(double id) const;
  std::vector<Slot> slots_;
  std::vector<size_t> freeSlots_;
  size_t numAlive_ = 0;
};

}  // namespace longscan
