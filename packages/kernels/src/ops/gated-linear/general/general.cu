#include "general.h"

#include "../chunkwise/plan.h"
#include "cuda/sum_parts.cuh"
#include "tokens.h"

namespace longscan {

namespace {

using Call = LongscanGatedLinear;

/// How a slice is cut.
struct TokenPlan {
  int64_t heads, stateSize, numChunks, segmentTokens;
  int numSegments;
  bool diagonal, hasGradient;

  explicit TokenPlan(const Call& call)
      : heads(call.B * call.H),
        stateSize(int64_t{call.K} * call.V),
        numChunks((call.T + chunkTokens - 1) / chunkTokens),
        diagonal(call.decay == longscanDecayDiagonal),
        hasGradient(diagonal || call.decay == longscanDecayScalar) {
    constexpr int64_t blocksEach = 4;  // of a multiprocessor, beside each other
    const int64_t blocks = heads * ((call.V + 63) / 64);
    const int64_t segments = blocksEach * wantedMultiprocessors / blocks;
    const int64_t chunks = segments > 1 ? (numChunks + segments - 1) / segments : numChunks;
    segmentTokens = chunks * chunkTokens;
    numSegments = static_cast<int>((numChunks + chunks - 1) / chunks);
  }
};

struct TokenForward {
  WorkspaceParts parts;
  Summaries summaries;

  TokenForward(const Call& call, const TokenPlan& plan, void* base)
      : parts(base), summaries(call, plan, parts) {}
};

struct TokenBackward {
  WorkspaceParts parts;
  Summaries summaries;
  float *adjoints, *sweptQuery, *sweptKey, *kept = nullptr, *ends = nullptr, *weightShares = nullptr;

  TokenBackward(const Call& call, const TokenPlan& plan, void* base)
      : parts(base), summaries(call, plan, parts) {
    adjoints = parts.take<float>(plan.heads * plan.numSegments * plan.stateSize);
    sweptQuery = parts.take<float>(call.B * call.T * call.H * call.K);
    sweptKey = parts.take<float>(call.B * call.T * call.H * call.K);
    if (plan.hasGradient) {
      kept = parts.take<float>(keptTokenNumbers(call.B, call.T, call.H, call.V, call.K));
      ends = parts.take<float>(plan.heads * plan.numChunks * call.K);
    }
    if (call.bonus) weightShares = parts.take<float>(plan.numChunks * plan.heads * call.K);
  }
};

TokenDecay decayOf(const Call& call, bool freeIsKey) {
  switch (call.decay) {
    case longscanDecayFixedScalar:
      return TokenDecay::fixed;
    case longscanDecayScalar:
      return TokenDecay::scalar;
    case longscanDecayDiagonal:
      return freeIsKey ? TokenDecay::free : TokenDecay::contracted;
    default:
      return TokenDecay::none;
  }
}

TokensCall tokensOf(const Call& call, const TokenPlan& plan, bool freeIsKey, bool backward) {
  TokensCall tokens{};
  tokens.B = call.B;
  tokens.T = call.T;
  tokens.H = call.H;
  tokens.contracted = freeIsKey ? call.V : call.K;
  tokens.free = freeIsKey ? call.K : call.V;
  tokens.f32 = call.type == longscanF32;
  tokens.decay = decayOf(call, freeIsKey);
  tokens.order = call.bonus ? TokenOrder::readDecayWrite
                 : backward ? TokenOrder::writeReadDecay
                            : TokenOrder::decayWriteRead;
  tokens.backward = backward;
  tokens.outScale = tokens.zScale = 1.0f;
  tokens.g = call.g;
  tokens.resets = call.resets;
  tokens.numSegments = plan.numSegments;
  tokens.segmentTokens = plan.segmentTokens;
  tokens.freeIsKey = freeIsKey;
  return tokens;
}

#define LONGSCAN_TRY(expression) \
  if (const cudaError_t error = (expression)) return error

/// What each segment makes of a zero state, or a zero adjoint.
cudaError_t summarizeTokens(const Call& call, const TokenPlan& plan, const Summaries& to, const void* dO,
                            cudaStream_t stream) {
  const bool backward = dO != nullptr;
  TokensCall tokens = tokensOf(call, plan, false, backward);
  tokens.y = {backward ? call.q : call.k, call.G};
  tokens.z = {backward ? dO : call.v, call.H};
  if (backward) tokens.zScale = call.scale;
  tokens.last = to.states;
  tokens.lastOfEach = true;
  LONGSCAN_TRY(launchTokens(tokens, stream));
  return launchTokenFactors({call.B, call.T, call.H, call.K, tokens.decay, call.g, call.resets,
                             plan.numSegments, plan.segmentTokens, to.factor, to.reset},
                            stream);
}

/// The states that enter the segments, from the one that enters the slice.
cudaError_t combineTokens(const Call& call, const TokenPlan& plan, const Summaries& from, bool summarized,
                          const float* incoming, bool backward, const void* dO, float* states,
                          cudaStream_t stream) {
  CombineCall fold = combineOf(call, plan, from, backward);
  if (plan.numSegments == 1)
    fold.summaries = nullptr;
  else if (!summarized)
    LONGSCAN_TRY(summarizeTokens(call, plan, from, dO, stream));
  fold.incoming = incoming;
  fold.states = states;
  return launchCombine(fold, stream);
}

/// A read of the states with time: along the keys by queries, which gives o, or along the values by dO, which
/// gives dq.
struct TokenRead {
  const void* by;
  bool alongValues;
  const float* states;
  void* out;
  bool f32Out;
  float *last, *kept;
};

cudaError_t readTokens(const Call& call, const TokenPlan& plan, const TokenRead& read, cudaStream_t stream) {
  TokensCall tokens = tokensOf(call, plan, read.alongValues, false);
  const TokenRows keys{call.k, call.G}, values{call.v, call.H};
  tokens.x = {read.by, read.alongValues ? call.H : call.G};
  tokens.y = read.alongValues ? values : keys;
  tokens.z = read.alongValues ? keys : values;
  tokens.outScale = call.scale;
  tokens.weight = read.alongValues ? nullptr : call.bonus;
  tokens.out = read.out;
  tokens.f32Out = read.f32Out;
  tokens.states = read.states;
  tokens.last = read.last;
  tokens.kept = read.kept;
  return launchTokens(tokens, stream);
}

/// A read of the adjoints against time: along the values by v, which gives dk, or along the keys by k, which
/// gives dv.
TokensCall againstTime(const Call& call, const TokenPlan& plan, bool alongValues, const void* dO,
                       const float* adjoints) {
  TokensCall tokens = tokensOf(call, plan, alongValues, true);
  const TokenRows queries{call.q, call.G}, gradients{dO, call.H};
  tokens.x = alongValues ? TokenRows{call.v, call.H} : TokenRows{call.k, call.G};
  tokens.y = alongValues ? gradients : queries;
  tokens.z = alongValues ? queries : gradients;
  tokens.zScale = call.scale;
  tokens.states = adjoints;
  return tokens;
}

}  // namespace

size_t generalStatesBytes(const Call& call) {
  const TokenPlan plan(call);
  return sizeof(float) * plan.heads * plan.numSegments * plan.stateSize;
}
size_t generalWorkspaceBytes(const Call& call) {
  return TokenForward(call, TokenPlan(call), nullptr).parts.used();
}
size_t generalBackwardWorkspaceBytes(const Call& call) {
  return TokenBackward(call, TokenPlan(call), nullptr).parts.used();
}

cudaError_t generalForward(const Call& call, const LongscanGatedLinearForward& io, cudaStream_t stream) {
  return generalForwardBy(call, call.q, false, io, stream);
}

cudaError_t generalForwardBy(const Call& call, const void* by, bool alongValues,
                             const LongscanGatedLinearForward& io, cudaStream_t stream) {
  const TokenPlan plan(call);
  const TokenForward work(call, plan, io.workspace);
  LONGSCAN_TRY(
      combineTokens(call, plan, work.summaries, io.prepared != 0, io.h0, false, nullptr, io.states, stream));
  return readTokens(call, plan, {by, alongValues, io.states, io.o, false, io.ht, nullptr}, stream);
}

cudaError_t generalOutput(const Call& call, const float* states, void* out, cudaStream_t stream) {
  return readTokens(call, TokenPlan(call), {call.q, false, states, out, false, nullptr, nullptr}, stream);
}

cudaError_t generalBackward(const Call& call, const LongscanGatedLinearBackward& io, cudaStream_t stream) {
  const TokenPlan plan(call);
  const TokenBackward work(call, plan, io.workspace);
  LONGSCAN_TRY(combineTokens(call, plan, work.summaries, io.prepared != 0, io.dht, true, io.dO, work.adjoints,
                             stream));
  LONGSCAN_TRY(
      readTokens(call, plan, {io.dO, true, io.states, work.sweptQuery, true, nullptr, work.kept}, stream));

  TokensCall ofKey = againstTime(call, plan, true, io.dO, work.adjoints);
  ofKey.out = work.sweptKey;
  ofKey.f32Out = true;
  ofKey.keptForward = work.kept;
  ofKey.ends = work.ends;
  LONGSCAN_TRY(launchTokens(ofKey, stream));

  TokensCall ofValue = againstTime(call, plan, false, io.dO, work.adjoints);
  ofValue.weight = call.bonus;
  ofValue.out = io.dv;
  ofValue.last = io.dh0;
  LONGSCAN_TRY(launchTokens(ofValue, stream));

  LONGSCAN_TRY(
      launchTokenGradient({sizesOf(call), ofKey.f32, io.fromZero != 0, plan.diagonal, call.scale, call.q,
                           call.k, call.v, io.dO, call.bonus, call.resets, work.sweptQuery, work.sweptKey,
                           work.ends, io.dq, io.dk, plan.hasGradient ? io.dg : nullptr, work.weightShares},
                          stream));
  if (call.bonus == nullptr) return cudaSuccess;
  return launchSumParts<float>({work.weightShares, plan.numChunks, plan.heads, call.K, 1}, io.dbonus, stream);
}

cudaError_t generalSummarize(const Call& call, const LongscanGatedLinearSummary& io, cudaStream_t stream) {
  const TokenPlan plan(call);
  const TokenForward work(call, plan, io.workspace);
  LONGSCAN_TRY(summarizeTokens(call, plan, work.summaries, nullptr, stream));
  CombineCall fold = combineOf(call, plan, work.summaries, false);
  fold.outgoing = io.state;
  LONGSCAN_TRY(launchCombine(fold, stream));
  return launchCombineFactors(fold, call.H, io.factor, io.reset, stream);
}

cudaError_t generalSummarizeBackward(const Call& call, const LongscanGatedLinearSummaryBackward& io,
                                     cudaStream_t stream) {
  const TokenPlan plan(call);
  const TokenBackward work(call, plan, io.workspace);
  LONGSCAN_TRY(summarizeTokens(call, plan, work.summaries, io.dO, stream));
  CombineCall fold = combineOf(call, plan, work.summaries, true);
  fold.outgoing = io.adjoint;
  return launchCombine(fold, stream);
}

#undef LONGSCAN_TRY

}  // namespace longscan
