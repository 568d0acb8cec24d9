#include "scratch.h"

#include <cstdlib>
#include <memory>
#include <string>

#include "error.h"

namespace longscan {

void runWithScratch(ThreadPool& pool, int64_t count, size_t bytes,
                    const std::function<void(int64_t begin, int64_t end, void* scratch)>& body) {
  const size_t rounded = (bytes + 63) / 64 * 64;
  pool.run(count, [&](int64_t begin, int64_t end) {
    if (begin == end) return;
    std::unique_ptr<void, decltype(&std::free)> scratch(std::aligned_alloc(64, rounded), &std::free);
    if (scratch == nullptr)
      throw Error("E-MEMORY", "no memory for " + std::to_string(rounded) + " bytes of scratch");
    body(begin, end, scratch.get());
  });
}

}  // namespace longscan
