#include "values.cuh"

namespace longscan {

namespace {

enum Role { roleK, roleB, roleE, roleDecay, roleKeyReads, roleValueReads };

template <int size, int channels, int erase, bool diagonal>
class DeltaValueAdjoints : public DeltaValueSweep<size, channels, true, diagonal, 0, 2> {
  using Sweep = DeltaValueSweep<size, channels, true, diagonal, 0, 2>;
  using typename Sweep::Each, typename Sweep::Left, typename Sweep::Numbers;
  const DeltaValueAdjointsCall& call;

 public:
  __device__ DeltaValueAdjoints(const DeltaValueAdjointsCall& call, const DeltaStaging& staging,
                                float* shared)
      : Sweep(call.shape, staging, numFreeOf(call), shared), call(call) {}

  __device__ void run() {
    this->loadState(call.dht);
    Sweep::run([&](const DeltaRow& row, Left& left) { advance(row, left); },
               [&](const float* from, int ofWarp, int first, int count) {
                 this->storeKnown(from, ofWarp, 0, call.dv, first, count);
                 this->storeKnown(from, ofWarp, 1, call.dx, first, count);
               });
    if (this->warp < this->numWarps) this->storeState(call.dh0);
  }

 private:
  __device__ void advance(const DeltaRow& row, Left& left) {
    const Each reads = this->number(row, roleValueReads);
    this->add(this->numbers(row, roleKeyReads), this->each([&](int r) { return call.scale * reads.x[r]; }));
    const Numbers key = this->numbers(row, roleK), decays = this->decaysOf(row, roleDecay);
    const Each dyShares = this->multiply(key);
    Each dx;
    if (erase == longscanDeltaEraseDplr) dx = this->multiply(this->numbers(row, roleE));
    this->decay(decays);
    Each dy = this->sumOverLanes(dyShares);
    dy = this->each([&](int r) { return row.beta * dy.x[r]; });
    if (erase == longscanDeltaEraseDplr)
      dx = this->sumOverLanes(dx);
    else
      dx = this->each([&](int r) { return -dy.x[r]; });
    if (erase != longscanDeltaEraseKey)
      this->add(this->numbers(row, roleB), dx);
    else if (diagonal)
      this->add(this->product(decays, key), dx);
    else
      this->add(key, this->each([&](int r) { return row.decay * dx.x[r]; }));
    left.known[0] = dy;
    left.known[1] = dx;
    // What came before this document had no part in it.
    if (row.forgets) this->clear();
  }
};

template <int size, int channels, int erase, bool diagonal>
__global__ void __launch_bounds__(deltaTokenThreads, 1)
    deltaValueAdjointsKernel(const __grid_constant__ DeltaValueAdjointsCall call,
                             const __grid_constant__ DeltaStaging staging) {
  extern __shared__ __align__(16) float shared[];
  DeltaValueAdjoints<size, channels, erase, diagonal>(call, staging, shared).run();
}

}  // namespace

cudaError_t launchDeltaValueAdjoints(const DeltaValueAdjointsCall& call, cudaStream_t stream) {
  return withDeltaKind(call.shape, numFreeOf(call), [&](auto size, auto channels, auto erase, auto diagonal) {
    using Sweep = DeltaValueAdjoints<size.value, channels.value, erase.value, diagonal.value>;
    const int numFree = numFreeOf(call), numWarps = Sweep::warpsOf(call.shape.B, call.shape.H, numFree);
    DeltaStaging staging;
    for (const DeltaRows& rows : {call.k, call.b, call.e, call.shape.decay, call.keyReads})
      staging.add(rows, false, size.value);
    staging.add(call.valueReads, true, numWarps * Sweep::warpRows);
    return launchDeltaTokenSweep<Sweep>(
        deltaValueAdjointsKernel<size.value, channels.value, erase.value, diagonal.value>, call, staging,
        numFree, numWarps, stream);
  });
}

}  // namespace longscan
