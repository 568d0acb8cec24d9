#pragma once

#include <cstdint>

#include "cuda.h"
#include "cuda/workspace_parts.h"

// How a call is cut, and what its workspace holds.

namespace longscan {

constexpr int mlstmTokens = 64;  // of a chunk
constexpr int mlstmTile = 64;    // channels of a block

struct MlstmPlan {
  int64_t heads;
  int numChunks, tilesK, tilesV, chunksPerSegment, numSegments;
  int64_t stateSize;  // of C [K, V] and then n [K]

  explicit MlstmPlan(const LongscanMlstm& call)
      : heads(call.B * call.H),
        numChunks(static_cast<int>((call.T + mlstmTokens - 1) / mlstmTokens)),
        tilesK((call.K + mlstmTile - 1) / mlstmTile),
        tilesV((call.V + mlstmTile - 1) / mlstmTile),
        stateSize(int64_t{call.K} * (call.V + 1)) {
    // Two blocks stand beside each other on a multiprocessor; a fixed number of these, so that the same
    // shape always gives the same bits.
    constexpr int64_t wantedBlocks = 2 * 132;
    constexpr int fewestChunks = 4;
    const int64_t segments = wantedBlocks / (heads * tilesK * tilesV);
    chunksPerSegment = static_cast<int>(segments > 1 ? (numChunks + segments - 1) / segments : numChunks);
    if (chunksPerSegment < fewestChunks) chunksPerSegment = fewestChunks;
    numSegments = (numChunks + chunksPerSegment - 1) / chunksPerSegment;
  }
};

/// Where documents start in a chunk: its first and last such token, 64 and -1 if there is none.
struct ChunkStarts {
  int first, last;
};

/// What the gates amount to. Token j weighs exp(queryTerm_i + keyTerm_j) at token i of its chunk and
/// document; the sums behind these are f64, for they are differenced.
struct MlstmGates {
  double *queryTerm, *keyTerm;  // [B, T, H]
  float* fromStart;             // [B, T, H]: weight of the state before the chunk at a token, 0 if forgotten
  float* toEnd;                 // [B, T, H]: weight of a token in the state after the chunk, 0 if forgotten
  double* chunkForget;          // [B * H, chunks]: sum of all log forget gates
  double *sinceStart, *most;  // [B * H, chunks]: sum since the last start; the maximum that the tokens leave
  float* border;              // [B * H, chunks + 1]: the running maximum between chunks
  ChunkStarts* starts;        // [B, chunks]
  float* segmentFactor;       // [B * H, segments]
  int* segmentReset;          // [B * H, segments]

  MlstmGates(const LongscanMlstm& call, const MlstmPlan& plan, WorkspaceParts& parts) {
    const int64_t tokens = call.B * call.T * call.H, chunks = plan.heads * plan.numChunks;
    queryTerm = parts.take<double>(tokens);
    keyTerm = parts.take<double>(tokens);
    fromStart = parts.take<float>(tokens);
    toEnd = parts.take<float>(tokens);
    chunkForget = parts.take<double>(chunks);
    sinceStart = parts.take<double>(chunks);
    most = parts.take<double>(chunks);
    border = parts.take<float>(chunks + plan.heads);
    starts = parts.take<ChunkStarts>(call.B * plan.numChunks);
    segmentFactor = parts.take<float>(plan.heads * plan.numSegments);
    segmentReset = parts.take<int>(plan.heads * plan.numSegments);
  }
};

/// States between segments, [B * H, segments, stateSize], and at the borders of chunks.
struct MlstmStates {
  float *effects, *entering, *last;  // `last`: [B * H, stateSize]
  void* chunks;         // [B * H, chunks, K, V], of the element type: an operand is rounded anyway
  float* chunkVectors;  // [B * H, chunks, K]

  MlstmStates(const LongscanMlstm& call, const MlstmPlan& plan, WorkspaceParts& parts) {
    const int64_t segments = plan.heads * plan.numSegments,
                  chunkStates = plan.heads * plan.numChunks * call.K;
    effects = parts.take<float>(segments * plan.stateSize);
    entering = parts.take<float>(segments * plan.stateSize);
    last = parts.take<float>(plan.heads * plan.stateSize);
    chunks = parts.take<char>(chunkStates * call.V * (call.type == longscanElementBf16 ? 2 : 4));
    chunkVectors = parts.take<float>(chunkStates);
  }
};

struct MlstmWork {
  WorkspaceParts parts;
  MlstmGates gates;
  MlstmStates states;

  MlstmWork(const LongscanMlstm& call, const MlstmPlan& plan, void* base)
      : parts(base), gates(call, plan, parts), states(call, plan, parts) {}
};

struct MlstmBackwardWork : MlstmWork {
  MlstmStates adjoints;
  float *inverse, *sumGradient;  // [B, T, H]: 1 / divisor; the gradient of n . q

  MlstmBackwardWork(const LongscanMlstm& call, const MlstmPlan& plan, void* base)
      : MlstmWork(call, plan, base),
        adjoints(call, plan, parts),
        inverse(parts.take<float>(call.B * call.T * call.H)),
        sumGradient(parts.take<float>(call.B * call.T * call.H)) {}
};

}  // namespace longscan
