#pragma once

#include <cstdint>

namespace longscan {

/// Channels that a thread takes at a time where one lane is one channel: the lanes of the widest vector, so
/// that what a thread does depends on no instruction set.
constexpr int64_t laneBlock = 16;

}  // namespace longscan
