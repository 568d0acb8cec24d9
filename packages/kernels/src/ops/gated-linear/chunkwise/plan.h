#pragma once

#include <cuda_bf16.h>

#include "../cuda.h"
#include "../retrace/retrace.h"
#include "../reverse/reverse.h"
#include "../segments/trace.h"
#include "../sweep/sweep.h"
#include "cuda/combine.h"
#include "cuda/segments.h"
#include "cuda/workspace_parts.h"

// How a call is cut, and what its workspaces hold.

namespace longscan {

using Bf16 = __nv_bfloat16;

constexpr int fewestChunks = 4;
/// Values that one sweep contracts.
constexpr int mostContracted = 256;

struct Plan {
  int numChunks, chunksPerSegment, numSegments;
  int64_t heads, stateSize;
  bool diagonal, hasGradient;
  bool traces;    // outputs come from a sweep that knows no documents
  bool atOnce;    // one sweep gives all gradients
  bool retraces;  // and takes the states back from the last one
  int valueTile;  // where values are the free axis: SweepCall::freeTile

  explicit Plan(const LongscanGatedLinear& call)
      : numChunks(static_cast<int>((call.T + chunkTokens - 1) / chunkTokens)),
        heads(call.B * call.H),
        stateSize(int64_t{call.K} * call.V),
        diagonal(call.decay == longscanDecayDiagonal),
        hasGradient(diagonal || call.decay == longscanDecayScalar),
        traces(!diagonal && call.resets == nullptr && traceFits(call.K, call.V)),
        atOnce(!diagonal && reverseSweepFits(call.K, call.V)),
        retraces(traces && call.decay == longscanDecayIdentity && retraceFits(call.K, call.V)),
        valueTile(freeTile(call.K, call.V, diagonal && wideSweepFits())) {
    const int64_t room = wantedMultiprocessors * residentBlocks(call.K, call.V);
    const int64_t segments = room / (heads * ((call.V + valueTile - 1) / valueTile));
    chunksPerSegment = static_cast<int>(segments > 1 ? (numChunks + segments - 1) / segments : numChunks);
    if (chunksPerSegment < fewestChunks) chunksPerSegment = fewestChunks;
    if (retraces && chunksPerSegment > mostRetraced) {
      const int wanted = (numChunks + mostRetraced - 1) / mostRetraced;
      chunksPerSegment = (numChunks + wanted - 1) / wanted;
    }
    numSegments = (numChunks + chunksPerSegment - 1) / chunksPerSegment;
  }

  /// Of all states that enter segments.
  int64_t statesSize() const { return heads * numSegments * stateSize; }
};

/// Of a diagonal decay, inside chunks.
struct Decayed {
  /// dv reads scores of which nothing is to be seen in its own rounding.
  static constexpr int mostTerms = 2;

  Bf16 *query = nullptr, *key = nullptr, *scores = nullptr;
  int scoreTerms = 0;
  /// What rounding takes off whichever of them the slice's summary is made of.
  Bf16* rest = nullptr;
  float* gamma = nullptr;
  /// S before every chunk, as products read it: what makes o leaves it for the backward pass. Null: each pass
  /// is for itself.
  unsigned char* stateImages = nullptr;

  Decayed(const LongscanGatedLinear& call, const Plan& plan, int scoreTerms, WorkspaceParts& parts)
      : scoreTerms(scoreTerms) {
    if (!plan.diagonal) return;
    query = parts.take<Bf16>(call.B * call.T * call.H * call.K);
    key = parts.take<Bf16>(call.B * call.T * call.H * call.K);
    gamma = parts.take<float>(plan.heads * plan.numChunks * call.K);
    scores = parts.take<Bf16>(plan.heads * plan.numChunks * scoreTerms * chunkTokens * chunkTokens);
  }

  /// What the forward pass leaves for the backward pass.
  static Decayed ofBoth(const LongscanGatedLinear& call, const Plan& plan, WorkspaceParts& parts) {
    Decayed decayed(call, plan, mostTerms, parts);
    if (plan.diagonal)
      decayed.stateImages =
          parts.take<unsigned char>(plan.heads * plan.numChunks * imageBytes(call.K, call.V));
    return decayed;
  }

  /// Where the call has a place for both passes, else among `parts`.
  static Decayed ofPass(const LongscanGatedLinear& call, const Plan& plan, int scoreTerms,
                        WorkspaceParts& parts) {
    WorkspaceParts shared(call.decayed);
    return call.decayed ? ofBoth(call, plan, shared) : Decayed(call, plan, scoreTerms, parts);
  }
};

/// Of the segments of a slice; of whichever plan.
struct Summaries {
  float *states, *factor;
  int* reset;

  template <typename AnyPlan>
  Summaries(const LongscanGatedLinear& call, const AnyPlan& plan, WorkspaceParts& parts)
      : states(parts.take<float>(plan.heads * plan.numSegments * plan.stateSize)),
        factor(parts.take<float>(plan.heads * plan.numSegments * (plan.diagonal ? call.K : 1))),
        reset(parts.take<int>(plan.heads * plan.numSegments)) {}
};

struct ForwardWorkspace {
  WorkspaceParts parts;
  Decayed decayed;
  Summaries summaries;
  ForwardWorkspace(const LongscanGatedLinear& call, const Plan& plan, void* base)
      : parts(base), decayed(Decayed::ofPass(call, plan, 1, parts)), summaries(call, plan, parts) {
    if (plan.diagonal) decayed.rest = parts.take<Bf16>(call.B * call.T * call.H * call.K);
  }
};

struct BackwardWorkspace {
  WorkspaceParts parts;
  Decayed decayed;
  Summaries summaries;
  float* adjoints;  // as they enter the segments against time
  /// The states before every chunk and, of a diagonal decay, the adjoints after it, as products read them.
  unsigned char *stateImages = nullptr, *adjointImages = nullptr;
  float* bonusShares = nullptr;  // of every chunk
  /// Of a scalar decay where `atOnce` is not possible.
  uint4* kept = nullptr;
  float *ends = nullptr, *queryDots = nullptr, *keyDots = nullptr;

  BackwardWorkspace(const LongscanGatedLinear& call, const Plan& plan, void* base)
      : parts(base),
        decayed(Decayed::ofPass(call, plan, Decayed::mostTerms, parts)),
        summaries(call, plan, parts),
        adjoints(parts.take<float>(plan.heads * plan.numSegments * plan.stateSize)) {
    const int64_t chunks = plan.heads * plan.numChunks;
    if (plan.retraces) return;
    if (decayed.stateImages)
      stateImages = decayed.stateImages;
    else if (plan.atOnce || plan.diagonal)
      stateImages = parts.take<unsigned char>(chunks * imageBytes(call.K, call.V));
    if (plan.diagonal) {
      adjointImages = parts.take<unsigned char>(chunks * imageBytes(call.K, call.V));
      decayed.rest = reinterpret_cast<Bf16*>(adjointImages);  // before the sweeps
      if (call.bonus) bonusShares = parts.take<float>(chunks * call.K);
    }
    if (plan.atOnce || plan.diagonal || !plan.hasGradient) return;
    kept = parts.take<uint4>(chunks * keptBytes(call.V, call.K) / 16);
    ends = parts.take<float>(chunks * endParts(call.V, call.K));
    queryDots = parts.take<float>(plan.heads * call.T * dotParts(call.V, call.K));
    keyDots = parts.take<float>(plan.heads * call.T * dotParts(call.V, call.K));
  }
};

/// The fold of a slice's segments, from a state or adjoint of zero; of whichever plan.
template <typename AnyPlan>
CombineCall combineOf(const LongscanGatedLinear& call, const AnyPlan& plan, const Summaries& from,
                      bool backward) {
  CombineCall fold{};
  fold.heads = plan.heads;
  fold.K = call.K;
  fold.V = call.V;
  fold.numSegments = plan.numSegments;
  fold.backward = backward;
  fold.summaries = from.states;
  fold.factor = from.factor;
  fold.reset = from.reset;
  fold.diagonal = plan.diagonal;
  fold.incomingScale = fold.outgoingScale = 1.0f;
  return fold;
}

}  // namespace longscan
