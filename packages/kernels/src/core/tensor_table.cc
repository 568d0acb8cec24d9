#include "tensor_table.h"

#include <string>

#include "error.h"

namespace longscan {

namespace {
constexpr uint64_t numSlots = uint64_t{1} << 24;
constexpr uint64_t numGenerations = uint64_t{1} << 28;
}  // namespace

double TensorTable::add(const TensorRef& tensor, Allocator& allocator) {
  size_t slot;
  if (freeSlots_.empty()) {
    slot = slots_.size();
    if (slot >= numSlots) throw Error("E-TENSOR", "more than 16,777,216 tensors are alive");
    slots_.emplace_back();
  } else {
    slot = freeSlots_.back();
    freeSlots_.pop_back();
  }
  Slot& entry = slots_[slot];
  entry.tensor = tensor;
  entry.allocator = &allocator;
  entry.tensor.block->numTensors++;
  numAlive_++;
  return static_cast<double>(entry.generation * numSlots + slot);
}

size_t TensorTable::slotOf(double id) const {
  if (id >= 0 && id < static_cast<double>(numSlots * numGenerations)) {
    const auto whole = static_cast<uint64_t>(id);
    const size_t slot = whole % numSlots;
    if (slot < slots_.size() && slots_[slot].allocator != nullptr &&
        slots_[slot].generation == whole / numSlots) {
      return slot;
    }
  }
  throw Error("E-TENSOR",
              "tensor " + std::to_string(id) + " is not alive: it was released, or is not a tensor");
}

const TensorRef& TensorTable::get(double id) const {
  return slots_[slotOf(id)].tensor;
}

void TensorTable::release(double id) {
  const size_t index = slotOf(id);
  Slot& slot = slots_[index];
  Block* block = slot.tensor.block;
  if (--block->numTensors == 0) slot.allocator->release(block);
  slot.allocator = nullptr;
  slot.generation = slot.generation % (numGenerations - 1) + 1;
  freeSlots_.push_back(index);
  numAlive_--;
}

void TensorTable::forget(Allocator& allocator) {
  for (size_t i = 0; i < slots_.size(); i++) {
    if (slots_[i].allocator != &allocator) continue;
    slots_[i].allocator = nullptr;
    slots_[i].generation = slots_[i].generation % (numGenerations - 1) + 1;
    freeSlots_.push_back(i);
    numAlive_--;
  }
}

}  // namespace longscan
