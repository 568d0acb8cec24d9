#include "cuda_general_values.cuh"

namespace longscan {

namespace {

enum Role { roleK, roleB, roleE, roleDecay, roleKeyReads, roleValueReads };

template <int size, int erase, bool diagonal>
class DeltaValueAdjoints : public DeltaValueSweep<size, diagonal> {
  using Sweep = DeltaValueSweep<size, diagonal>;
  using Sweep::P;
  const DeltaValueAdjointsCall& call;

 public:
  __device__ DeltaValueAdjoints(const DeltaValueAdjointsCall& call, const DeltaStaging& staging, int numFree,
                                float* shared)
      : Sweep(call.shape, staging, true, numFree, 0, shared), call(call) {}

  __device__ void run() {
    this->loadState(call.dht);
    Sweep::run([&](const DeltaRow& row) { advance(row); }, [](int) {});
    this->storeState(call.dh0);
  }

 private:
  __device__ void advance(const DeltaRow& row) {
    if (row.isLast) {
      const float reads[2] = {call.scale * this->number(row, roleValueReads, 0),
                              call.scale * this->number(row, roleValueReads, 1)};
      this->add(this->numbers(row, roleKeyReads), reads);
    }
    const auto key = this->numbers(row, roleK);
    float dy[2], dx[2];
    this->multiply(key, dy);
    sumOverLanes<Sweep::lanes>(dy);
    if (erase == longscanDeltaEraseDplr) {
      this->multiply(this->numbers(row, roleE), dx);
      sumOverLanes<Sweep::lanes>(dx);
    }
#pragma unroll
    for (int r = 0; r < 2; r++) {
      dy[r] *= row.beta;
      if (erase != longscanDeltaEraseDplr) dx[r] = -dy[r];
    }
    if (erase == longscanDeltaEraseKey) this->add(key, dx);
    this->decayNumbers(row, roleDecay);
    if (erase != longscanDeltaEraseKey) this->add(this->numbers(row, roleB), dx);
    if (call.dv.data) this->storeKnown(call.dv, row.number, dy);
    if (call.dx.data) this->storeKnown(call.dx, row.number, dx);
    // What came before this document had no part in it.
    if (row.forgets) this->clear();
  }
};

template <int size, int erase, bool diagonal>
__global__ void __launch_bounds__(256)
    deltaValueAdjointsKernel(const __grid_constant__ DeltaValueAdjointsCall call,
                             const __grid_constant__ DeltaStaging staging) {
  extern __shared__ __align__(16) float shared[];
  DeltaValueAdjoints<size, erase, diagonal>(call, staging, numFreeOf(call), shared).run();
}

}  // namespace

cudaError_t launchDeltaValueAdjoints(const DeltaValueAdjointsCall& call, cudaStream_t stream) {
  return withDeltaKind(call.shape, [&](auto size, auto erase, auto diagonal) {
    using Layout = DeltaTokenLayout<size.value>;
    const int numFree = numFreeOf(call), numWarps = Layout::warpsOf(call.shape.B, call.shape.H, numFree);
    DeltaStaging staging;
    for (const DeltaRows& rows : {call.k, call.b, call.e, call.shape.decay, call.keyReads})
      staging.add(rows, false, size.value);
    staging.add(call.valueReads, true, numWarps * Layout::warpRows);
    return launchDeltaTokenSweep<size.value>(
        deltaValueAdjointsKernel<size.value, erase.value, diagonal.value>, call, staging, numFree, numWarps,
        0, stream);
  });
}

}  // namespace longscan
