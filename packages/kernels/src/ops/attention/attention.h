#pragma once

#include <cstddef>
#include <cstdint>

#include "../../core/cpu.h"

namespace longscan {

/// Softmax attention of T queries over S keys; every query sees one contiguous range of keys, which only
/// moves forward with the query (see `seenKeys`), and with `kSelf` one more key of its own. All row-major.
template <typename Real>
struct Attention {
  int64_t B, T, H;  // H query heads
  int64_t S, G;     // G key heads, H a multiple of G
  int K, V;
  Real scale;
  int64_t keyOffset;         // index of query 0 among the tokens that the keys stand for
  int64_t window;            // keys that a query sees at most, its own included; 0: all
  int64_t chunk;             // > 0: key j stands for the end of a chunk of so many tokens
  const int32_t* positions;  // [B, T] within the document, or null: the index itself
  const int32_t* after;      // [B, T], tokens of the document after the query's that it sees too; null: none
  const Real* q;             // [B, T, H, K]
  const Real* k;             // [B, S, G, K]
  const Real* v;             // [B, S, G, V]
  const Real* kSelf;         // [B, T, G, K] or null
  const Real* vSelf;         // [B, T, G, V] or null
};

template <typename Real>
struct AttentionForward {
  Attention<Real> call;
  bool accumulate;  // o and lse hold the result over other keys: these are added to the same softmax
  Real* o;          // [B, T, H, V]
  Real* lse;        // [B, T, H], log of the sum of exponentials
};

template <typename Real>
struct AttentionBackward {
  Attention<Real> call;
  bool accumulate;  // gradients are added to what is there
  const Real* o;    // over all keys, of which the call may have some
  const Real* lse;
  const Real* dO;  // [B, T, H, V]
  Real* dq;        // [B, T, H, K]
  Real* dk;        // [B, S, G, K]
  Real* dv;        // [B, S, G, V]
  Real* dkSelf;    // [B, T, G, K] or null, as kSelf
  Real* dvSelf;    // [B, T, G, V] or null
};

/// Rows [b][s] of `from` [B, T, n] where a chunk of its document ends, each in slot `index / chunk` of [B,
/// slots, n]; other slots are zero. Two ends are at least `chunk` tokens apart, so no slot gets two.
template <typename Real>
struct ChunkEnds {
  int64_t B, T, slots, rowSize;
  int64_t chunk;
  int64_t tokenOffset;       // index of token 0; slot 0 is that of its chunk
  const int32_t* positions;  // [B, T], or null: the index itself
  bool backward;             // rows go from the slots to the tokens
  Real* tokens;              // [B, T, rowSize]
  Real* ends;                // [B, slots, rowSize]
};

/// Queries and keys that are worked on together.
constexpr int64_t attentionQueries = 32;
constexpr int64_t attentionKeys = 64;

/// Bytes of scratch that one thread needs.
size_t attentionScratchBytes(int K, int V, size_t elementBytes);

}  // namespace longscan

/// Blocks [begin, end) of the B * H * ceil(T / attentionQueries) blocks of queries; scratch is 64-byte
/// aligned.
#define LONGSCAN_ATTENTION(name, Task)                                                         \
  LONGSCAN_KERNEL(name, (const Task<float>& task, int64_t begin, int64_t end, void* scratch),  \
                  (task, begin, end, scratch))                                                 \
  LONGSCAN_KERNEL(name, (const Task<double>& task, int64_t begin, int64_t end, void* scratch), \
                  (task, begin, end, scratch))
LONGSCAN_ATTENTION(attentionForward, AttentionForward)
/// Key heads [begin, end) of the B * G.
LONGSCAN_ATTENTION(attentionBackward, AttentionBackward)
#undef LONGSCAN_ATTENTION

/// Batch rows [begin, end).
LONGSCAN_KERNEL(chunkEnds, (const ChunkEnds<float>& task, int64_t begin, int64_t end), (task, begin, end))
LONGSCAN_KERNEL(chunkEnds, (const ChunkEnds<double>& task, int64_t begin, int64_t end), (task, begin, end))
