#include "values.cuh"

namespace longscan {

namespace {

enum Role { roleK, roleB, roleE, roleDecay, roleQ, roleV };

template <int size, int channels, int erase, bool diagonal, bool reads>
class DeltaValues : public DeltaValueSweep<size, channels, false, diagonal, reads ? 1 : 0, 1> {
  using Sweep = DeltaValueSweep<size, channels, false, diagonal, reads ? 1 : 0, 1>;
  using typename Sweep::Each, typename Sweep::Left, typename Sweep::Numbers;
  const DeltaValuesCall& call;

 public:
  __device__ DeltaValues(const DeltaValuesCall& call, const DeltaStaging& staging, float* shared)
      : Sweep(call.shape, staging, numFreeOf(call), shared), call(call) {}

  __device__ void run() {
    enter();
    Sweep::run([&](const DeltaRow& row, Left& left) { advance(row, left); },
               [&](const float* from, int ofWarp, int first, int count) {
                 if (reads) this->storeSums(from, ofWarp, 0, call.o, first, count);
                 this->storeKnown(from, ofWarp, 0, call.kept, first, count);
               });
    leaveState();
  }

 private:
  /// Channels behind the values' are rows of the identity, of which M^T becomes.
  __device__ int identityRow(int r) const { return this->channel(r) - call.v.pitch; }

  __device__ void enter() {
    this->loadState(call.h0);
    if (call.factor == nullptr) return;
#pragma unroll
    for (int r = 0; r < channels; r++) {
      const int own = identityRow(r);
      this->eachNumber(r, [&](float& p, int c) {
        if (c == own) p = 1.0f;
      });
    }
  }

  __device__ void leaveState() {
    if (this->warp >= this->numWarps) return;
    this->storeState(call.ht);
    if (call.factor == nullptr) return;
    const int K = call.shape.K;
#pragma unroll
    for (int r = 0; r < channels; r++) {
      const int own = identityRow(r);
      if (own < 0 || own >= K) continue;
      float* to = call.factor + (this->bh * K + own) * K;
      this->eachNumber(r, [&](float& p, int c) {
        if (c < K) to[c] = p;
      });
    }
  }

  __device__ void advance(const DeltaRow& row, Left& left) {
    if (row.forgets) this->clear();
    const Numbers key = this->numbers(row, roleK), decays = this->decaysOf(row, roleDecay);
    Numbers eraser;
    if (erase != longscanDeltaEraseKey)
      eraser = this->numbers(row, roleB);
    else
      eraser = diagonal ? this->product(decays, key) : key;
    const Each shares = this->multiply(eraser);
    this->decay(decays);
    Each x = this->sumOverLanes(shares);
    if (erase == longscanDeltaEraseKey && !diagonal)
      x = this->each([&](int r) { return row.decay * x.x[r]; });
    const Each v = this->number(row, roleV), y = this->each([&](int r) { return v.x[r] - x.x[r]; });
    const Each& written = erase == longscanDeltaEraseDplr ? v : y;
    this->add(key, this->each([&](int r) { return row.beta * written.x[r]; }));
    if (erase == longscanDeltaEraseDplr) this->add(this->numbers(row, roleE), x);
    left.known[0] = erase == longscanDeltaEraseDplr ? x : y;
    if (reads) left.shares[0] = this->multiply(this->numbers(row, roleQ));
  }
};

template <int size, int channels, int erase, bool diagonal, bool reads>
__global__ void __launch_bounds__(deltaTokenThreads, 1)
    deltaValuesKernel(const __grid_constant__ DeltaValuesCall call,
                      const __grid_constant__ DeltaStaging staging) {
  extern __shared__ __align__(16) float shared[];
  DeltaValues<size, channels, erase, diagonal, reads>(call, staging, shared).run();
}

template <typename Sweep>
cudaError_t launch(void (*kernel)(DeltaValuesCall, DeltaStaging), const DeltaValuesCall& call,
                   cudaStream_t stream) {
  const int numFree = numFreeOf(call), numWarps = Sweep::warpsOf(call.shape.B, call.shape.H, numFree);
  DeltaStaging staging;
  for (const DeltaRows& rows : {call.k, call.b, call.e, call.shape.decay, call.q})
    staging.add(rows, false, Sweep::numContracted);
  staging.add(call.v, true, numWarps * Sweep::warpRows);
  return launchDeltaTokenSweep<Sweep>(kernel, call, staging, numFree, numWarps, stream);
}

}  // namespace

cudaError_t launchDeltaValues(const DeltaValuesCall& call, cudaStream_t stream) {
  return withDeltaKind(call.shape, numFreeOf(call), [&](auto size, auto channels, auto erase, auto diagonal) {
    const auto launchKind = [&](auto reads) {
      using Sweep = DeltaValues<size.value, channels.value, erase.value, diagonal.value, reads.value>;
      return launch<Sweep>(
          deltaValuesKernel<size.value, channels.value, erase.value, diagonal.value, reads.value>, call,
          stream);
    };
    return call.q.data ? launchKind(std::true_type()) : launchKind(std::false_type());
  });
}

}  // namespace longscan
