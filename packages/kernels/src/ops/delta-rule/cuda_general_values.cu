#include "cuda_general_values.cuh"

namespace longscan {

namespace {

enum Role { roleK, roleB, roleE, roleDecay, roleQ, roleV };

template <int size, int erase, bool diagonal>
class DeltaValues : public DeltaValueSweep<size, diagonal> {
  using Sweep = DeltaValueSweep<size, diagonal>;
  using Numbers = typename Sweep::Numbers;
  using Sweep::P;
  const DeltaValuesCall& call;

 public:
  __device__ DeltaValues(const DeltaValuesCall& call, const DeltaStaging& staging, int numFree, float* shared)
      : Sweep(call.shape, staging, false, numFree, 1, shared), call(call) {}

  __device__ void run() {
    enter();
    Sweep::run([&](const DeltaRow& row) { advance(row); },
               [&](int first) {
                 if (call.o.data) this->template store<1>(first, &call.o);
               });
    leaveState();
  }

 private:
  /// Rows behind the values' are those of the identity, of which M^T becomes.
  __device__ int identityRow(int r) const { return this->channel(r) - call.v.pitch; }

  __device__ void enter() {
    this->loadState(call.h0);
    if (call.factor == nullptr) return;
#pragma unroll
    for (int r = 0; r < 2; r++) {
      const int own = identityRow(r);
      this->eachNumber(r, [&](float& p, int c) {
        if (c == own) p = 1.0f;
      });
    }
  }

  __device__ void leaveState() {
    this->storeState(call.ht);
    if (call.factor == nullptr) return;
    const int K = call.shape.K;
#pragma unroll
    for (int r = 0; r < 2; r++) {
      const int own = identityRow(r);
      if (own < 0 || own >= K) continue;
      float* to = call.factor + (this->bh * K + own) * K;
      this->eachNumber(r, [&](float& p, int c) {
        if (c < K) to[c] = p;
      });
    }
  }

  __device__ void advance(const DeltaRow& row) {
    if (row.forgets) this->clear();
    if (erase == longscanDeltaEraseKey) this->decayNumbers(row, roleDecay);
    Numbers key = this->numbers(row, erase == longscanDeltaEraseKey ? roleK : roleB);
    float x[2], written[2], kept[2];
    this->multiply(key, x);
    sumOverLanes<Sweep::lanes>(x);
    if (erase != longscanDeltaEraseKey) {
      this->decayNumbers(row, roleDecay);
      key = this->numbers(row, roleK);
    }
#pragma unroll
    for (int r = 0; r < 2; r++) {
      const float v = this->number(row, roleV, r);
      kept[r] = erase == longscanDeltaEraseDplr ? x[r] : v - x[r];
      written[r] = row.beta * (erase == longscanDeltaEraseDplr ? v : kept[r]);
    }
    this->add(key, written);
    if (erase == longscanDeltaEraseDplr) this->add(this->numbers(row, roleE), x);
    if (call.kept.data) this->storeKnown(call.kept, row.number, kept);
    if (!row.isLast || call.o.data == nullptr) return;
    this->multiply(this->numbers(row, roleQ), x);
    this->leave(row, 1, 0, x);
  }
};

template <int size, int erase, bool diagonal>
__global__ void __launch_bounds__(256) deltaValuesKernel(const __grid_constant__ DeltaValuesCall call,
                                                         const __grid_constant__ DeltaStaging staging) {
  extern __shared__ __align__(16) float shared[];
  DeltaValues<size, erase, diagonal>(call, staging, numFreeOf(call), shared).run();
}

}  // namespace

cudaError_t launchDeltaValues(const DeltaValuesCall& call, cudaStream_t stream) {
  return withDeltaKind(call.shape, [&](auto size, auto erase, auto diagonal) {
    using Layout = DeltaTokenLayout<size.value>;
    const int numFree = numFreeOf(call), numWarps = Layout::warpsOf(call.shape.B, call.shape.H, numFree);
    DeltaStaging staging;
    for (const DeltaRows& rows : {call.k, call.b, call.e, call.shape.decay, call.q})
      staging.add(rows, false, size.value);
    staging.add(call.v, true, numWarps * Layout::warpRows);
    return launchDeltaTokenSweep<size.value>(deltaValuesKernel<size.value, erase.value, diagonal.value>, call,
                                             staging, numFree, numWarps, 1, stream);
  });
}

}  // namespace longscan
