#pragma once

#include <cuda_runtime.h>

#include <cstdint>

// Copies from memory to shared memory that go on while the thread does. They carry no registers, so a thread
// can have more under way than it could hold.

namespace longscan {

/// One pack of the thread's own; zeros if not `there`, when nothing is read. Packs of 4, 8 or 16 bytes,
/// aligned to their size, come while the thread goes on; it waits for one of two bytes, for which there is no
/// such copy.
template <typename Pack>
__device__ inline void copyAsync(Pack* shared, const void* from, bool there) {
  constexpr int bytes = sizeof(Pack);
  if constexpr (bytes < 4) {
    *shared = there ? *static_cast<const Pack*>(from) : Pack{};
  } else {
    const auto address = static_cast<uint32_t>(__cvta_generic_to_shared(shared));
    const int size = there ? bytes : 0;
    asm volatile("cp.async.ca.shared.global [%0], [%1], %2, %3;" ::"r"(address), "l"(from), "n"(bytes),
                 "r"(size)
                 : "memory");
  }
}

/// Closes a group of copies of this thread.
__device__ inline void commitCopies() {
  asm volatile("cp.async.commit_group;" ::: "memory");
}

/// Waits until at most `open` of this thread's groups are under way.
template <int open>
__device__ inline void awaitCopies() {
  asm volatile("cp.async.wait_group %0;" ::"n"(open) : "memory");
}

}  // namespace longscan
