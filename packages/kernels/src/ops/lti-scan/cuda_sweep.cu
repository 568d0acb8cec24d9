#include "cuda_sweep.h"

#include "cuda_lanes.cuh"

namespace longscan {

namespace {

/// One block: some channels of a segment.
template <typename Element, bool isComplex, int perLane, bool backward, bool outputs>
__global__ void __launch_bounds__(ltiThreads, 4)
    sweepKernel(const LongscanLtiScan call, const LtiPlan plan, const LtiSweep sweep) {
  using S = Signal<isComplex>;
  using C = ComplexNumber;
  __shared__ LtiTile<isComplex> in, out;
  const LtiPlace place(call, plan);
  C lambda[perLane], w[perLane], state[perLane];
  place.loadLambda(call, plan, lambda);
  place.load(call, plan, backward || outputs ? call.w : nullptr, w);
  place.load(call, plan, sweep.entering ? sweep.entering + place.ofSegment(plan) : nullptr, state);

  LtiPart<Element, isComplex> part;
  bool anyStart = false;
  const int numStages = (place.count + ltiStage - 1) / ltiStage;
  const auto firstOf = [&](int step) { return (backward ? numStages - 1 - step : step) * ltiStage; };
  part.load(call, plan, place, sweep.from, firstOf(0));
  for (int step = 0; step < numStages; step++) {
    const int first = firstOf(step), count = min(ltiStage, place.count - first);
    part.put(call, plan, place, first, in);
    __syncthreads();
    if (step + 1 < numStages) part.load(call, plan, place, sweep.from, firstOf(step + 1));
    const unsigned starts = startsOfStage(call, place, first);
    anyStart = anyStart || starts != 0;
#pragma unroll 2
    for (int i = 0; i < count; i++) {
      const int row = backward ? count - 1 - i : i;
      const bool fresh = starts >> row & 1;
      const C signal = in.at(row, plan.channels, place.own);
      C sum{0.0f, 0.0f};
#pragma unroll
      for (int j = 0; j < perLane; j++) {
        if (backward) {
          const C total = S::addConjugateProduct(state[j], w[j], signal);
          sum.re += total.re;
          if (isComplex) sum.im += total.im;
          state[j] = C::addConjugateProduct(total, lambda[j], total);
          if (fresh) state[j] = {0.0f, 0.0f};  // no earlier token had a part in it
        } else {
          if (fresh) state[j] = {0.0f, 0.0f};
          state[j] = state[j] + C::addProduct(isComplex ? signal : C{signal.re, 0.0f}, lambda[j], state[j]);
          if (outputs) sum = S::addProduct(sum, w[j], state[j]);
        }
      }
      if (!outputs) continue;
      sum.re = sumOverLanes(sum.re, plan.lanes);
      if (isComplex) sum.im = sumOverLanes(sum.im, plan.lanes);
      if (place.lane == 0) out.put(row, plan.channels, place.own, sum);
    }
    __syncthreads();
    if (outputs) LtiPart<Element, isComplex>::store(call, plan, place, first, out, sweep.to);
  }
  if (sweep.leaving) place.store(call, plan, state, sweep.leaving + place.ofSegment(plan));
  if (sweep.reset && blockIdx.x % plan.channelBlocks == 0 && threadIdx.x == 0)
    sweep.reset[place.b * plan.numSegments + place.segment] = anyStart;
}

/// One thread a number: lambda^tokens from the logarithm, for as many steps of rounding would not be that.
__device__ ComplexNumber power(const float* logLambda, int64_t number, int64_t tokens) {
  const double re = tokens * static_cast<double>(logLambda[2 * number]);
  const double im = tokens * static_cast<double>(logLambda[2 * number + 1]);
  return {static_cast<float>(exp(re) * cos(im)), static_cast<float>(exp(re) * sin(im))};
}

__global__ void __launch_bounds__(ltiThreads)
    foldKernel(const LongscanLtiScan call, const LtiPlan plan, const LtiFold fold) {
  const int64_t numbers = call.C * call.N, at = static_cast<int64_t>(blockIdx.x) * ltiThreads + threadIdx.x;
  if (at >= call.B * numbers) return;
  const int64_t b = at / numbers, number = at % numbers;
  const auto place = [&](int64_t segment) {
    return (b * plan.numSegments + segment) * plan.stateSize + 2 * number;
  };
  ComplexNumber state{0.0f, 0.0f};
  if (fold.incoming) state = {fold.incoming[2 * at], fold.incoming[2 * at + 1]};
  const int64_t lastTokens = call.T - (plan.numSegments - 1) * plan.segmentTokens;
  const ComplexNumber whole = power(call.logLambda, number, plan.segmentTokens);
  const ComplexNumber ofLast = power(call.logLambda, number, lastTokens);
#pragma unroll 4
  for (int i = 0; i < plan.numSegments; i++) {
    const int segment = fold.backward ? plan.numSegments - 1 - i : i;
    const int64_t to = place(segment);
    if (fold.entering) fold.entering[to] = state.re, fold.entering[to + 1] = state.im;
    if (fold.effects == nullptr) continue;
    const ComplexNumber effect{fold.effects[to], fold.effects[to + 1]};
    const ComplexNumber factor = segment == plan.numSegments - 1 ? ofLast : whole;
    if (fold.reset[b * plan.numSegments + segment])
      state = effect;
    else
      state = fold.backward ? ComplexNumber::addConjugateProduct(effect, factor, state)
                            : ComplexNumber::addProduct(effect, factor, state);
  }
  if (fold.outgoing) fold.outgoing[2 * at] = state.re, fold.outgoing[2 * at + 1] = state.im;
}

__global__ void __launch_bounds__(ltiThreads) factorKernel(const LongscanLtiScan call, float* factor) {
  const int64_t at = static_cast<int64_t>(blockIdx.x) * ltiThreads + threadIdx.x;
  if (at >= call.B * call.C * call.N) return;
  const ComplexNumber value = power(call.logLambda, at % (call.C * call.N), call.T);
  factor[2 * at] = value.re, factor[2 * at + 1] = value.im;
}

}  // namespace

cudaError_t launchLtiSweep(const LongscanLtiScan& call, const LtiPlan& plan, const LtiSweep& sweep,
                           cudaStream_t stream) {
  return withLtiKernel(call, plan, [&](auto* element, auto isComplex, auto perLane) {
    using Element = std::remove_pointer_t<decltype(element)>;
    constexpr bool complex = isComplex.value;
    constexpr int size = perLane.value;
    const auto kernel = sweep.backward ? sweep.to ? sweepKernel<Element, complex, size, true, true>
                                                  : sweepKernel<Element, complex, size, true, false>
                        : sweep.to ? sweepKernel<Element, complex, size, false, true>
                                       : sweepKernel<Element, complex, size, false, false>;
    kernel<<<ltiBlocks(call, plan), ltiThreads, 0, stream>>>(call, plan, sweep);
    return cudaGetLastError();
  });
}

cudaError_t launchLtiFold(const LongscanLtiScan& call, const LtiPlan& plan, const LtiFold& fold,
                          cudaStream_t stream) {
  const int64_t blocks = (call.B * call.C * call.N + ltiThreads - 1) / ltiThreads;
  foldKernel<<<static_cast<unsigned>(blocks), ltiThreads, 0, stream>>>(call, plan, fold);
  return cudaGetLastError();
}

cudaError_t launchLtiFactor(const LongscanLtiScan& call, float* factor, cudaStream_t stream) {
  const int64_t blocks = (call.B * call.C * call.N + ltiThreads - 1) / ltiThreads;
  factorKernel<<<static_cast<unsigned>(blocks), ltiThreads, 0, stream>>>(call, factor);
  return cudaGetLastError();
}

}  // namespace longscan
