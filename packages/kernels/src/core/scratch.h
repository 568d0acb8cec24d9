#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>

#include "parallel.h"

namespace longscan {

/// `pool.run` with `bytes` of scratch memory, 64-byte aligned and not initialised, for each thread's range.
/// @throws Error E-MEMORY
void runWithScratch(ThreadPool& pool, int64_t count, size_t bytes,
                    const std::function<void(int64_t begin, int64_t end, void* scratch)>& body);

}  // namespace longscan
