#include "cuda_lanes.cuh"
#include "cuda_sweep.h"

// The gradients of lambda and w, with time: s = dh / d log lambda is carried beside h, s_t = lambda (s_{t-1}
// + h_{t-1}), from zero in every segment; what the segment's last state passes on meets its adjoint.

namespace longscan {

namespace {

template <typename Element, bool isComplex, int perLane>
__global__ void __launch_bounds__(ltiThreads, perLane == 1 ? 4 : 2)
    sharesKernel(const LongscanLtiScan call, const LtiPlan plan, const LtiShares shares) {
  using S = Signal<isComplex>;
  using C = ComplexNumber;
  __shared__ LtiTile<isComplex> inputs, gradients;
  const LtiPlace place(call, plan);
  const int64_t ofSegment = place.ofSegment(plan);
  C lambda[perLane], state[perLane], slope[perLane], ofLambda[perLane], ofW[perLane];
  place.loadLambda(call, plan, lambda);
  place.load(call, plan, shares.states + ofSegment, state);
#pragma unroll
  for (int j = 0; j < perLane; j++) slope[j] = ofLambda[j] = ofW[j] = {0.0f, 0.0f};

  LtiPart<Element, isComplex> u, dy;
  u.load(call, plan, place, call.u, 0);
  dy.load(call, plan, place, shares.dy, 0);
  for (int first = 0; first < place.count; first += ltiStage) {
    u.put(call, plan, place, first, inputs);
    dy.put(call, plan, place, first, gradients);
    __syncthreads();
    if (first + ltiStage < place.count) {
      u.load(call, plan, place, call.u, first + ltiStage);
      dy.load(call, plan, place, shares.dy, first + ltiStage);
    }
    const unsigned starts = startsOfStage(call, place, first);
    const int count = min(ltiStage, place.count - first);
    for (int row = 0; row < count; row++) {
      const C signal = inputs.at(row, plan.channels, place.own);
      const C gradient = gradients.at(row, plan.channels, place.own);
      const bool fresh = starts >> row & 1;
#pragma unroll
      for (int j = 0; j < perLane; j++) {
        if (fresh) state[j] = slope[j] = {0.0f, 0.0f};
        const C both = slope[j] + state[j];
        slope[j] = C::addProduct(both, lambda[j], both);
        state[j] = state[j] + C::addProduct(isComplex ? signal : C{signal.re, 0.0f}, lambda[j], state[j]);
        ofW[j] = S::addConjugateProduct(ofW[j], state[j], gradient);
        ofLambda[j] = S::addConjugateProduct(ofLambda[j], slope[j], gradient);
      }
    }
    __syncthreads();
  }

  C w[perLane], adjoint[perLane];
  place.load(call, plan, call.w, w);
  place.load(call, plan, shares.adjoints + ofSegment, adjoint);
#pragma unroll
  for (int j = 0; j < perLane; j++)
    ofLambda[j] = C::addConjugateProduct(C::conjugateTimes(w[j], ofLambda[j]), slope[j], adjoint[j]);
  place.store(call, plan, ofLambda, shares.lambda + ofSegment);
  place.store(call, plan, ofW, shares.w + ofSegment);
}

}  // namespace

cudaError_t launchLtiShares(const LongscanLtiScan& call, const LtiPlan& plan, const LtiShares& shares,
                            cudaStream_t stream) {
  return withLtiKernel(call, plan, [&](auto* element, auto isComplex, auto perLane) {
    const auto kernel =
        sharesKernel<std::remove_pointer_t<decltype(element)>, isComplex.value, perLane.value>;
    kernel<<<ltiBlocks(call, plan), ltiThreads, 0, stream>>>(call, plan, shares);
    return cudaGetLastError();
  });
}

}  // namespace longscan
