#include "cuda.h"

#include <cuda_bf16.h>

#include "cuda_combine.h"
#include "cuda_decay_gradient.h"
#include "cuda_diagonal.h"
#include "cuda_sweep.h"

namespace longscan {

namespace {

using Call = LongscanGatedLinear;
using Bf16 = __nv_bfloat16;

/// Blocks that keep the chip busy when B * H alone does not. Fixed: the same shape is always cut in the same
/// way.
constexpr int64_t wantedBlocks = 256;
constexpr int fewestChunks = 4;

/// How a slice is cut, and what of its tensors is counted in.
struct Plan {
  int numChunks, chunksPerSegment, numSegments;
  int keptEvery;  // chunks: sums for the decay's gradient run over as many
  int64_t heads, stateSize;
  bool diagonal, hasGradient;

  explicit Plan(const Call& call)
      : numChunks(static_cast<int>((call.T + chunkTokens - 1) / chunkTokens)),
        heads(call.B * call.H),
        stateSize(int64_t{call.K} * call.V),
        diagonal(call.decay == longscanDecayDiagonal),
        hasGradient(diagonal || call.decay == longscanDecayScalar) {
    keptEvery = 1;
    const int64_t blocks = heads * freeTiles(call.K, call.V);
    int64_t segments = (wantedBlocks + blocks - 1) / blocks;
    if (2 * blocks > wantedBlocks) segments = 1;
    chunksPerSegment = static_cast<int>((numChunks + segments - 1) / segments);
    if (chunksPerSegment < fewestChunks) chunksPerSegment = fewestChunks;
    numSegments = (numChunks + chunksPerSegment - 1) / chunksPerSegment;
  }
};

bool supported(const Call& call) {
  const auto headSize = [](int size) { return size > 0 && size <= 256 && size % 8 == 0; };
  return call.B > 0 && call.T > 0 && call.H > 0 && headSize(call.K) && headSize(call.V) && call.decay >= 0 &&
         call.decay <= longscanDecayDiagonal;
}

/// Hands out parts of a workspace; counts them if there is none.
class Arena {
 public:
  explicit Arena(void* base) : base_(static_cast<char*>(base)) {}

  template <typename Element>
  Element* take(int64_t count) {
    Element* const part = base_ ? reinterpret_cast<Element*>(base_ + used_) : nullptr;
    used_ += (count * sizeof(Element) + 255) / 256 * 256;
    return part;
  }
  size_t used() const { return used_; }

 private:
  char* base_;
  size_t used_ = 0;
};

/// Of a diagonal decay, inside chunks.
struct Decayed {
  Bf16 *query = nullptr, *key = nullptr, *scores = nullptr;
  float* gamma = nullptr;

  Decayed(const Call& call, const Plan& plan, Arena& arena) {
    if (!plan.diagonal) return;
    query = arena.take<Bf16>(call.B * call.T * call.H * call.K);
    key = arena.take<Bf16>(call.B * call.T * call.H * call.K);
    gamma = arena.take<float>(plan.heads * plan.numChunks * call.K);
    scores = arena.take<Bf16>(plan.heads * plan.numChunks * chunkTokens * chunkTokens);
  }
};

/// Of the segments of a slice.
struct Summaries {
  float *states, *factor;
  int* reset;

  Summaries(const Call& call, const Plan& plan, Arena& arena)
      : states(arena.take<float>(plan.heads * plan.numSegments * plan.stateSize)),
        factor(arena.take<float>(plan.heads * plan.numSegments * (plan.diagonal ? call.K : 1))),
        reset(arena.take<int>(plan.heads * plan.numSegments)) {}
};

struct ForwardWorkspace {
  Arena arena;
  Decayed decayed;
  Summaries summaries;
  ForwardWorkspace(const Call& call, const Plan& plan, void* base)
      : arena(base), decayed(call, plan, arena), summaries(call, plan, arena) {}
};

struct BackwardWorkspace {
  Arena arena;
  Decayed decayed;
  Summaries summaries;
  float* adjoints;  // as they enter the segments against time
  uint4* kept = nullptr;
  float *ends = nullptr, *queryDots = nullptr, *keyDots = nullptr, *sweptQuery = nullptr, *sweptKey = nullptr;

  BackwardWorkspace(const Call& call, const Plan& plan, void* base)
      : arena(base),
        decayed(call, plan, arena),
        summaries(call, plan, arena),
        adjoints(arena.take<float>(plan.heads * plan.numSegments * plan.stateSize)) {
    if (!plan.hasGradient) return;
    const int numKept = (plan.numChunks + plan.keptEvery - 1) / plan.keptEvery;
    kept = arena.take<uint4>(plan.heads * numKept * keptBytes(call.V, call.K) / 16);
    ends = arena.take<float>(plan.heads * numKept * call.K);
    if (plan.diagonal) {
      sweptQuery = arena.take<float>(call.B * call.T * call.H * call.K);
      sweptKey = arena.take<float>(call.B * call.T * call.H * call.K);
    } else {
      queryDots = arena.take<float>(plan.heads * call.T * dotParts(call.V, call.K));
      keyDots = arena.take<float>(plan.heads * call.T * dotParts(call.V, call.K));
    }
  }
};

SweepCall sweepOf(const Call& call, const Plan& plan, SweepDecay kind, bool freeIsKey) {
  SweepCall sweep{};
  sweep.B = call.B;
  sweep.T = call.T;
  sweep.H = call.H;
  sweep.contracted = freeIsKey ? call.V : call.K;
  sweep.free = freeIsKey ? call.K : call.V;
  sweep.kind = kind;
  sweep.scale = call.scale;
  sweep.g = plan.diagonal ? nullptr : call.g;
  sweep.gatePerToken = call.decay == longscanDecayScalar;
  sweep.resets = call.resets;
  sweep.numSegments = plan.numSegments;
  sweep.chunksPerSegment = plan.chunksPerSegment;
  sweep.keptEvery = plan.keptEvery;
  sweep.numTasks = 1;
  return sweep;
}

DiagonalCall diagonalOf(const Call& call, const Decayed& to, bool backwardOrder) {
  return {call.B,
          call.T,
          call.H,
          call.K,
          call.V,
          call.scale,
          static_cast<const Bf16*>(call.q),
          static_cast<const Bf16*>(call.k),
          call.g,
          call.resets,
          backwardOrder,
          to.query,
          to.key,
          to.gamma,
          to.scores};
}

/// What each segment makes of a zero state: `y` and `z` are k and v, or against time q and dO.
cudaError_t summarize(const Call& call, const Plan& plan, const Summaries& to, const void* y, const void* z,
                      const float* gamma, bool backward, cudaStream_t stream) {
  SweepCall sweep = sweepOf(call, plan, plan.diagonal ? SweepDecay::contracted : SweepDecay::scalar, false);
  SweepTask& task = sweep.tasks[0];
  task.y = static_cast<const Bf16*>(y);
  task.z = static_cast<const Bf16*>(z);
  task.gamma = gamma;
  task.backward = backward;
  task.last = to.states;
  task.factor = to.factor;
  task.reset = to.reset;
  return launchSummary(sweep, stream);
}

/// The states that enter the segments, and the one that leaves the slice if it is cut at all.
cudaError_t combine(const Call& call, const Plan& plan, const Summaries& from, const float* incoming,
                    float incomingScale, bool backward, float* states, float* outgoing, cudaStream_t stream) {
  const bool cut = plan.numSegments > 1;
  const CombineCall fold{plan.heads,    call.K,
                         call.V,        plan.numSegments,
                         backward,      cut ? from.states : nullptr,
                         from.factor,   from.reset,
                         plan.diagonal, incoming,
                         incomingScale, 1.0f / incomingScale,
                         states,        cut ? outgoing : nullptr};
  return launchCombine(fold, stream);
}

#define LONGSCAN_TRY(expression) \
  if (const cudaError_t error = (expression)) return error

cudaError_t forward(const Call& call, const LongscanGatedLinearForward& io, cudaStream_t stream) {
  const Plan plan(call);
  const ForwardWorkspace work(call, plan, io.workspace);
  const Decayed& decayed = work.decayed;
  if (plan.diagonal) LONGSCAN_TRY(launchDiagonalPrepare(diagonalOf(call, decayed, false), stream));
  if (plan.numSegments > 1)
    LONGSCAN_TRY(summarize(call, plan, work.summaries, plan.diagonal ? decayed.key : call.k, call.v,
                           decayed.gamma, false, stream));
  LONGSCAN_TRY(combine(call, plan, work.summaries, io.h0, 1.0f, false, io.states, io.ht, stream));

  SweepCall sweep = sweepOf(call, plan, plan.diagonal ? SweepDecay::contracted : SweepDecay::scalar, false);
  SweepTask& task = sweep.tasks[0];
  task.x = plan.diagonal ? decayed.query : static_cast<const Bf16*>(call.q);
  task.y = plan.diagonal ? decayed.key : static_cast<const Bf16*>(call.k);
  task.z = static_cast<const Bf16*>(call.v);
  task.scores = decayed.scores;
  task.gamma = decayed.gamma;
  task.out = io.o;
  task.states = io.states;
  task.last = plan.numSegments > 1 ? nullptr : io.ht;
  task.lastScale = 1.0f;
  return launchSweep(sweep, stream);
}

/// dq: with time, from the forward states.
SweepTask queryGradientTask(const Call& call, const Plan& plan, const LongscanGatedLinearBackward& io,
                            const BackwardWorkspace& work) {
  SweepTask task{};
  task.x = static_cast<const Bf16*>(io.dO);
  task.y = static_cast<const Bf16*>(call.v);
  task.z = plan.diagonal ? work.decayed.key : static_cast<const Bf16*>(call.k);
  task.gamma = work.decayed.gamma;
  task.out = plan.diagonal ? static_cast<void*>(work.sweptQuery) : io.dq;
  task.states = io.states;
  task.freeIsKey = true;
  task.kept = work.kept;
  if (plan.hasGradient && !plan.diagonal) task.partner = static_cast<const Bf16*>(call.q);
  task.dots = work.queryDots;
  return task;
}

SweepTask keyGradientTask(const Call& call, const Plan& plan, const LongscanGatedLinearBackward& io,
                          const BackwardWorkspace& work) {
  SweepTask task{};
  task.x = static_cast<const Bf16*>(call.v);
  task.y = static_cast<const Bf16*>(io.dO);
  task.z = plan.diagonal ? work.decayed.query : static_cast<const Bf16*>(call.q);
  task.gamma = work.decayed.gamma;
  task.out = plan.diagonal ? static_cast<void*>(work.sweptKey) : io.dk;
  task.states = work.adjoints;
  task.freeIsKey = true;
  task.backward = true;
  task.keptForward = work.kept;
  task.ends = work.ends;
  if (plan.hasGradient && !plan.diagonal) task.partner = static_cast<const Bf16*>(call.k);
  task.dots = work.keyDots;
  return task;
}

SweepTask valueGradientTask(const Call& call, const Plan& plan, const LongscanGatedLinearBackward& io,
                            const BackwardWorkspace& work) {
  SweepTask task{};
  task.x = plan.diagonal ? work.decayed.key : static_cast<const Bf16*>(call.k);
  task.y = plan.diagonal ? work.decayed.query : static_cast<const Bf16*>(call.q);
  task.z = static_cast<const Bf16*>(io.dO);
  task.scores = work.decayed.scores;
  task.gamma = work.decayed.gamma;
  task.out = io.dv;
  task.states = work.adjoints;
  task.backward = true;
  task.last = plan.numSegments > 1 ? nullptr : io.dh0;
  task.lastScale = plan.diagonal ? 1.0f : call.scale;
  return task;
}

cudaError_t sweepBackward(const Call& call, const Plan& plan, const LongscanGatedLinearBackward& io,
                          const BackwardWorkspace& work, cudaStream_t stream) {
  const SweepDecay onKeys = plan.diagonal ? SweepDecay::free : SweepDecay::scalar;
  SweepCall ofQuery = sweepOf(call, plan, onKeys, true);
  ofQuery.tasks[0] = queryGradientTask(call, plan, io, work);
  LONGSCAN_TRY(launchSweep(ofQuery, stream));

  SweepCall ofKey = sweepOf(call, plan, onKeys, true);
  ofKey.tasks[0] = keyGradientTask(call, plan, io, work);
  SweepCall ofValue = sweepOf(call, plan, plan.diagonal ? SweepDecay::contracted : SweepDecay::scalar, false);
  ofValue.tasks[0] = valueGradientTask(call, plan, io, work);
  // Of equal sizes, both are one launch: neither waits for the other's last blocks.
  if (!plan.diagonal && call.K == call.V) {
    ofKey.tasks[ofKey.numTasks++] = ofValue.tasks[0];
    return launchSweep(ofKey, stream);
  }
  LONGSCAN_TRY(launchSweep(ofKey, stream));
  return launchSweep(ofValue, stream);
}

cudaError_t backward(const Call& call, const LongscanGatedLinearBackward& io, cudaStream_t stream) {
  const Plan plan(call);
  const BackwardWorkspace work(call, plan, io.workspace);
  const Decayed& decayed = work.decayed;
  if (plan.diagonal) LONGSCAN_TRY(launchDiagonalPrepare(diagonalOf(call, decayed, true), stream));
  if (plan.numSegments > 1)
    LONGSCAN_TRY(summarize(call, plan, work.summaries, plan.diagonal ? decayed.query : call.q, io.dO,
                           decayed.gamma, true, stream));
  // Sweeps of scalar kinds put the scale on what they read, so their adjoint state is that of o / scale.
  LONGSCAN_TRY(combine(call, plan, work.summaries, io.dht, plan.diagonal ? 1.0f : 1.0f / call.scale, true,
                       work.adjoints, io.dh0, stream));
  LONGSCAN_TRY(sweepBackward(call, plan, io, work, stream));
  if (!plan.hasGradient) return cudaSuccess;
  if (plan.diagonal)
    return launchDiagonalGradient(
        {diagonalOf(call, decayed, true), static_cast<const Bf16*>(call.v), static_cast<const Bf16*>(io.dO),
         work.sweptQuery, work.sweptKey, work.ends, io.fromZero != 0, static_cast<Bf16*>(io.dq),
         static_cast<Bf16*>(io.dk), io.dg},
        stream);
  return launchDecayGradient(
      {call.B, call.T, call.H, call.K, dotParts(call.V, call.K), plan.keptEvery * chunkTokens, work.queryDots,
       work.keyDots, work.ends, call.scale, call.resets, io.fromZero != 0, io.dg},
      stream);
}

#undef LONGSCAN_TRY

}  // namespace

}  // namespace longscan

using namespace longscan;

size_t longscanGatedLinearStatesBytes(const LongscanGatedLinear* call) {
  if (!supported(*call)) return 0;
  const Plan plan(*call);
  return sizeof(float) * plan.heads * plan.numSegments * plan.stateSize;
}

size_t longscanGatedLinearWorkspaceBytes(const LongscanGatedLinear* call) {
  return supported(*call) ? ForwardWorkspace(*call, Plan(*call), nullptr).arena.used() : 0;
}

size_t longscanGatedLinearBackwardWorkspaceBytes(const LongscanGatedLinear* call) {
  return supported(*call) ? BackwardWorkspace(*call, Plan(*call), nullptr).arena.used() : 0;
}

int longscanGatedLinearForward(const LongscanGatedLinear* call, const LongscanGatedLinearForward* io,
                               CUstream_st* stream) {
  return supported(*call) ? forward(*call, *io, stream) : cudaErrorInvalidValue;
}

int longscanGatedLinearBackward(const LongscanGatedLinear* call, const LongscanGatedLinearBackward* io,
                                CUstream_st* stream) {
  return supported(*call) ? backward(*call, *io, stream) : cudaErrorInvalidValue;
}
