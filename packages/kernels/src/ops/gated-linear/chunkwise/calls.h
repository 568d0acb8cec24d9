#pragma once

#include "../diagonal/diagonal.h"
#include "../segments/sum.h"
#include "plan.h"

// From a call to those of the chunkwise kernels, and what its two passes have in common.

namespace longscan {

using Call = LongscanGatedLinear;

inline SweepRows rowsOf(const void* data, int heads, int channels) {
  return {static_cast<const Bf16*>(data), heads, channels, heads * channels};
}

/// Elements from a token to the next of q, k or v with so many heads and channels, and of its gradient.
inline int pitchOf(const Call& call, int heads, int channels) {
  return call.joined ? call.H * (2 * call.K + call.V) : heads * channels;
}
inline SweepRows inputRowsOf(const Call& call, const void* data, int heads, int channels) {
  return {static_cast<const Bf16*>(data), heads, channels, pitchOf(call, heads, channels)};
}

/// The tensors that the sweeps read.
struct Inputs {
  SweepRows q, k, v;
  /// Of a diagonal decay: decayed to the border of their chunk.
  SweepRows decayedQuery, decayedKey;

  Inputs(const Call& call, const Decayed& decayed)
      : q(inputRowsOf(call, call.q, call.G, call.K)),
        k(inputRowsOf(call, call.k, call.G, call.K)),
        v(inputRowsOf(call, call.v, call.H, call.V)),
        decayedQuery(decayed.query ? rowsOf(decayed.query, call.H, call.K) : q),
        decayedKey(decayed.key ? rowsOf(decayed.key, call.H, call.K) : k) {}
};

inline SweepCall sweepOf(const Call& call, const Plan& plan, bool freeIsKey) {
  SweepCall sweep{};
  sweep.B = call.B;
  sweep.T = call.T;
  sweep.H = call.H;
  sweep.contracted = freeIsKey ? call.V : call.K;
  sweep.free = freeIsKey ? call.K : call.V;
  sweep.kind = plan.diagonal ? SweepDecay::contracted : SweepDecay::scalar;
  sweep.scale = call.scale;
  sweep.g = plan.diagonal ? nullptr : call.g;
  sweep.gatePerToken = call.decay == longscanDecayScalar;
  sweep.resets = call.resets;
  sweep.numSegments = plan.numSegments;
  sweep.chunksPerSegment = plan.chunksPerSegment;
  sweep.stateStride = plan.stateSize;
  sweep.freeTile = freeIsKey ? freeTile(call.V, call.K) : plan.valueTile;
  sweep.numTasks = 1;
  return sweep;
}

/// A call of a kernel with a block for each segment: the sizes are set, nothing else.
template <typename KernelCall>
KernelCall segmentedCall(const Call& call, const Plan& plan) {
  KernelCall segmented{};
  static_cast<SegmentedCall&>(segmented) = {sizesOf(call), plan.numSegments, plan.chunksPerSegment};
  return segmented;
}

inline DiagonalCall diagonalOf(const Call& call, const Decayed& to) {
  DiagonalCall diagonal{sizesOf(call)};
  diagonal.scale = call.scale;
  diagonal.q = static_cast<const Bf16*>(call.q);
  diagonal.k = static_cast<const Bf16*>(call.k);
  diagonal.g = call.g;
  diagonal.resets = call.resets;
  diagonal.decayedQuery = to.query;
  diagonal.decayedKey = to.key;
  diagonal.gamma = to.gamma;
  diagonal.scores = to.scores;
  diagonal.scoreTerms = to.scoreTerms;
  diagonal.bonus = call.bonus;
  return diagonal;
}

/// Whether segments are to be summarized, and how: what is handed to other slices is not to show bf16's
/// rounding.
enum class Summarize { no, forSegments, forSlices };

inline SweepRows restOf(const Call& call, const Plan& plan, const Decayed& decayed, Summarize how) {
  const bool wanted = plan.diagonal && how == Summarize::forSlices;
  return rowsOf(wanted ? decayed.rest : nullptr, call.H, call.K);
}

/// Sweeps of scalar kinds put the scale on what they read, so their adjoint state is that of o / scale.
inline float adjointScale(const Call& call, const Plan& plan) {
  return plan.diagonal ? 1.0f : call.scale;
}

/// What each segment makes of a zero state: `y` and `z` are k and v, or against time q and dO.
inline SweepTask summaryTask(const Summaries& to, SweepRows y, SweepRows z, const float* gamma,
                             bool backward) {
  SweepTask task{};
  task.y = y;
  task.z = z;
  task.gamma = gamma;
  task.backward = backward;
  task.last = to.states;
  task.factor = to.factor;
  task.reset = to.reset;
  return task;
}

/// The same of a slice without documents and of a scalar decay or none.
inline cudaError_t sumSegments(const Call& call, const Plan& plan, const Summaries& to, SweepRows y,
                               SweepRows z, bool backward, cudaStream_t stream) {
  SegmentSumCall sum = segmentedCall<SegmentSumCall>(call, plan);
  sum.backward = backward;
  sum.y = y;
  sum.z = z;
  sum.g = call.g;
  sum.gatePerToken = call.decay == longscanDecayScalar;
  sum.states = to.states;
  sum.factor = to.factor;
  sum.reset = to.reset;
  return launchSegmentSum(sum, stream);
}

/// The states before every chunk, from those that enter the segments.
inline SweepTask imagesTask(const Call& call, const Decayed& decayed, const float* states,
                            unsigned char* images) {
  const Inputs inputs(call, decayed);
  SweepTask task{};
  task.y = inputs.decayedKey;
  task.z = inputs.v;
  task.gamma = decayed.gamma;
  task.states = states;
  task.images = images;
  return task;
}

/// The states that enter the segments, and the one that leaves the slice if it is cut at all: scaled as it
/// came (`outgoing`) and as it is (`last`), each if not null.
inline cudaError_t combine(const Call& call, const Plan& plan, const Summaries& from, const float* incoming,
                           float incomingScale, bool backward, float* states, float* outgoing, float* last,
                           cudaStream_t stream) {
  CombineCall fold = combineOf(call, plan, from, backward);
  const bool cut = plan.numSegments > 1;
  if (!cut) fold.summaries = nullptr;
  fold.incoming = incoming;
  fold.incomingScale = incomingScale;
  fold.outgoingScale = 1.0f / incomingScale;
  fold.states = states;
  fold.outgoing = cut ? outgoing : nullptr;
  fold.last = cut ? last : nullptr;
  return launchCombine(fold, stream);
}

inline Summarize segmentsOf(const Plan& plan) {
  return plan.numSegments > 1 ? Summarize::forSegments : Summarize::no;
}

/// All of the forward pass that needs no incoming state.
cudaError_t prepareForward(const Call& call, const Plan& plan, const ForwardWorkspace& work, Summarize how,
                           cudaStream_t stream);
/// o, and the last state if the slice is not cut, from the states that enter the segments.
cudaError_t outputOf(const Call& call, const Plan& plan, const Decayed& decayed, const float* states, void* o,
                     float* last, cudaStream_t stream);

cudaError_t forward(const Call& call, const LongscanGatedLinearForward& io, cudaStream_t stream);
cudaError_t backward(const Call& call, const LongscanGatedLinearBackward& io, cudaStream_t stream);
cudaError_t summarize(const Call& call, const LongscanGatedLinearSummary& io, cudaStream_t stream);
cudaError_t summarizeBackward(const Call& call, const LongscanGatedLinearSummaryBackward& io,
                              cudaStream_t stream);

}  // namespace longscan
