#include "cuda_general_values.cuh"

namespace longscan {

namespace {

enum Role { roleK, roleB, roleE, roleDecay, roleQ, roleV };

template <int size, int erase, bool diagonal, bool reads>
class DeltaValues : public DeltaValueSweep<size, false, diagonal, reads ? 1 : 0, 1> {
  using Sweep = DeltaValueSweep<size, false, diagonal, reads ? 1 : 0, 1>;
  using typename Sweep::Left, typename Sweep::Numbers;
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
  __device__ int identityRow() const { return this->channel() - call.v.pitch; }

  __device__ void enter() {
    this->loadState(call.h0);
    const int own = identityRow();
    if (call.factor == nullptr || own < 0) return;
    this->eachNumber([&](float& p, int c) { p = c == own ? 1.0f : 0.0f; });
  }

  __device__ void leaveState() {
    if (this->warp >= this->numWarps) return;
    this->storeState(call.ht);
    const int K = call.shape.K, own = identityRow();
    if (call.factor == nullptr || own < 0 || own >= K) return;
    float* to = call.factor + (this->bh * K + own) * K;
    this->eachNumber([&](float& p, int c) {
      if (c < K) to[c] = p;
    });
  }

  __device__ void advance(const DeltaRow& row, Left& left) {
    if (row.forgets) this->clear();
    const Numbers key = this->numbers(row, roleK), decays = this->decaysOf(row, roleDecay);
    Numbers eraser;
    if (erase != longscanDeltaEraseKey)
      eraser = this->numbers(row, roleB);
    else
      eraser = diagonal ? this->product(decays, key) : key;
    const float share = this->multiply(eraser);
    this->decay(decays);
    float x = this->sumOverLanes(share);
    if (erase == longscanDeltaEraseKey && !diagonal) x *= row.decay;
    const float v = this->number(row, roleV), y = v - x;
    this->add(key, row.beta * (erase == longscanDeltaEraseDplr ? v : y));
    if (erase == longscanDeltaEraseDplr) this->add(this->numbers(row, roleE), x);
    left.known[0] = erase == longscanDeltaEraseDplr ? x : y;
    if (reads && row.isLast) left.shares[0] = this->multiply(this->numbers(row, roleQ));
  }
};

template <int size, int erase, bool diagonal, bool reads>
__global__ void __launch_bounds__(deltaTokenThreads, 1)
    deltaValuesKernel(const __grid_constant__ DeltaValuesCall call,
                      const __grid_constant__ DeltaStaging staging) {
  extern __shared__ __align__(16) float shared[];
  DeltaValues<size, erase, diagonal, reads>(call, staging, shared).run();
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
  return withDeltaKind(call.shape, [&](auto size, auto erase, auto diagonal) {
    const auto launchKind = [&](auto reads) {
      using Sweep = DeltaValues<size.value, erase.value, diagonal.value, reads.value>;
      return launch<Sweep>(deltaValuesKernel<size.value, erase.value, diagonal.value, reads.value>, call,
                           stream);
    };
    return call.q.data ? launchKind(std::true_type()) : launchKind(std::false_type());
  });
}

}  // namespace longscan
