#pragma once

#include <stdint.h>

#include "../../ops/transition/cuda.h"

// A chain over ranks as one kernel on each of them, and the memory that they share for it, as plain C. See
// README.md, "Chains through mapped memory".

#ifdef __cplusplus
extern "C" {
#endif

struct CUstream_st;

enum {
  longscanPeerLanes = 32,         // at most: parts of a state, each with a chain of its own
  longscanPeerSlots = 4,          // blocks under way on a lane
  longscanPeerSlotFloats = 8192,  // of a block, at most; not less than a row
};

/// A number that only ever rises, alone in its cache line.
struct LongscanPeerCounter {
  uint64_t count;
  uint64_t unused[15];
};

/// What a neighbour writes into this rank's memory.
struct LongscanPeerInbox {
  struct LongscanPeerCounter arrived[longscanPeerLanes];  // blocks that it has written to `slots`
  struct LongscanPeerCounter taken[longscanPeerLanes];    // blocks of this rank's that it has read
  struct LongscanPeerCounter gone;                        // not 0: it has given up
  float slots[longscanPeerLanes][longscanPeerSlots][longscanPeerSlotFloats];
};

/// A rank's memory for chains. Zero before the first one, but for the slots.
struct LongscanPeerLanding {
  struct LongscanPeerInbox fromLower, fromUpper;  // from rank - 1 and from rank + 1
  uint64_t passed[2][longscanPeerLanes];          // its own: blocks that it has done, up and down the ranks
};

/// The two ends of a link; null where there is no such neighbour.
struct LongscanPeerLink {
  int side;                          // -1: with rank - 1, 1: with rank + 1
  struct LongscanPeerInbox* own;     // what the neighbour writes here
  struct LongscanPeerInbox* theirs;  // what this rank writes there
};

struct LongscanPeerChain {
  struct LongscanTransition task;  // E and M; S and out are not looked at
  int64_t numRows;                 // B H R
  float* incoming;  // [B, H, R, N], the state that enters this rank; null where the chain begins
  struct LongscanPeerLink prev, next;
  uint64_t* passed;  // [lanes], in this rank's landing
  const int* abort;  // page-locked host memory: not 0 ends the kernel wherever it waits
  int* lost;  // page-locked host memory: not 0 once a neighbour was seen to have given up, -1 the lower
              // and 1 the upper one
};

/// Receives a state, writes M S + E (E where the chain begins) to the next rank. One launch, which may be
/// under way for as long as the ranks before this one take. Returns 0 or a cudaError_t.
int longscanPeerChain(const struct LongscanPeerChain* chain, struct CUstream_st* stream);

/// Loads every kernel of it into the current GPU: not while one waits, since loading may wait for the GPU.
int longscanPeerChainLoad(void);

#ifdef __cplusplus
}
#endif
