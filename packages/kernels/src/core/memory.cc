#include "memory.h"

#include <sys/mman.h>

#include <cstdlib>
#include <cstring>

#include "stream.h"

namespace longscan {

namespace {
constexpr size_t smallBytes = 1 << 20;
constexpr size_t hugePageBytes = 2 << 20;
}  // namespace

void* HostMemory::map(size_t bytes) {
  if (bytes < smallBytes) return std::aligned_alloc(64, (bytes + 63) / 64 * 64);
  void* data = mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (data == MAP_FAILED) return nullptr;
  if (bytes >= 2 * hugePageBytes) madvise(data, bytes, MADV_HUGEPAGE);
  return data;
}

void HostMemory::unmap(void* data, size_t bytes) {
  if (bytes < smallBytes) {
    std::free(data);
  } else {
    munmap(data, bytes);
  }
}

void HostMemory::poison(void* data, size_t bytes, Stream& stream) {
  // Nobody works on a block of a stream that is idle, and to wake its thread costs more than a small block.
  if (bytes < smallBytes && stream.idle()) {
    std::memset(data, 0xff, bytes);
    return;
  }
  stream.enqueue("poison", [data, bytes] { std::memset(data, 0xff, bytes); });
}

std::string HostMemory::describeShortage() const {
  return "";
}

}  // namespace longscan
