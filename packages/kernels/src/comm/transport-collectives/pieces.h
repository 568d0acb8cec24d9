#pragma once

#include <algorithm>
#include <cstddef>

namespace longscan {

/// Up to this size a collective exchanges directly between all pairs instead of around the ring
/// (transport_collectives.h).
constexpr size_t directBytes = 32 << 10;

/// Blocks travel around a ring in pieces of this size, so that a rank passes on the first piece while the
/// rest arrives; small enough that a piece is summed from the second-level cache. A multiple of every element
/// size.
constexpr size_t pieceBytes = 256 << 10;

/// Calls `body(offset, bytes)` for each piece of a block.
template <typename Body>
void forEachPiece(size_t bytes, Body body) {
  for (size_t offset = 0; offset < bytes; offset += pieceBytes)
    body(offset, std::min(pieceBytes, bytes - offset));
}

}  // namespace longscan
