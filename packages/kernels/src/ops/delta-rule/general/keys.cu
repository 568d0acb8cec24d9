#include "sweep.cuh"

// Sweeps whose free axis is the keys': everything that is written is known by now, so rows of the sequence
// wait for no sum, and sums over values stay inside a block.

namespace longscan {

namespace {

template <int size, int channels, bool backward, int numSums>
class DeltaKeySweep : public DeltaTokenSweep<size, channels, backward, numSums, 0> {
 protected:
  using Base = DeltaTokenSweep<size, channels, backward, numSums, 0>;
  using Base::Base, Base::P;
  using typename Base::Each, typename Base::Numbers;

  __device__ void loadState(const float* from) {
    if (from == nullptr) return;
    const int K = this->shape.K, V = this->shape.V;
#pragma unroll
    for (int r = 0; r < channels; r++) {
      const int key = this->channel(r);
      if (key >= K) continue;
      const float* column = from + this->bh * V * K + key;
      this->eachNumber(r, [&](float& p, int c) {
        if (c < V) p = column[int64_t{c} * K];
      });
    }
  }

  __device__ Each decayOf(const DeltaRow& row, int roleDecay) const {
    if (diagonal) return this->number(row, roleDecay);
    return this->each([&](int) { return row.decay; });
  }
  __device__ void decayAndAdd(const Numbers& u, const Each& decays, const Each& factors) {
#pragma unroll
    for (int r = 0; r < channels; r++) {
#pragma unroll
      for (int j = 0; j < 4; j++) {
#pragma unroll
        for (int i = 0; i < 4; i++) P[r][j][i] = decays.x[r] * P[r][j][i] + factors.x[r] * u.x[j].x[i];
      }
    }
  }

  __device__ int64_t chunkOf(const DeltaRow& row) const {
    const int64_t numChunks = (this->shape.T + deltaGateTokens - 1) / deltaGateTokens;
    return this->bh * numChunks + row.token / deltaGateTokens;
  }
  /// Where this thread has its first four numbers of what is kept of the chunk; the next are 128 further.
  __device__ int64_t keptPlace(const DeltaRow& row) const {
    const int warps = (this->shape.K + Base::warpRows - 1) / Base::warpRows;
    const int own = this->firstFree / Base::warpRows + this->warp;
    return (chunkOf(row) * warps + own) * (512 * channels) + threadIdx.x % 32 * 4;
  }
  __device__ bool hasChannels() const {
    return this->firstFree + this->warp * Base::warpRows < this->shape.K;
  }

  const bool diagonal = this->shape.decay.data != nullptr;
};

enum KeyRole { keyY, keyX, keyReads, keyDx, keyK, keyE, keyDecay };

template <int size, int channels, bool writesTwice, bool readsBefore>
class DeltaKeys : public DeltaKeySweep<size, channels, false, readsBefore ? 2 : 1> {
  using Sweep = DeltaKeySweep<size, channels, false, readsBefore ? 2 : 1>;
  using typename Sweep::Each, typename Sweep::Left, typename Sweep::Numbers;
  const DeltaKeysCall& call;
  const bool keeps, byKey;

 public:
  __device__ DeltaKeys(const DeltaKeysCall& call, const DeltaStaging& staging, float* shared)
      : Sweep(call.shape, staging, call.shape.K, shared),
        call(call),
        keeps(call.kept != nullptr && this->hasChannels()),
        byKey(call.shape.erase == longscanDeltaEraseKey) {}

  __device__ void run() {
    this->loadState(call.h0);
    Sweep::run([&](const DeltaRow& row, Left& left) { advance(row, left); },
               [&](const float* from, int ofWarp, int first, int count) {
                 this->storeSums(from, ofWarp, 0, call.outputs[0], first, count);
                 if (readsBefore) this->storeSums(from, ofWarp, 1, call.outputs[1], first, count);
               });
  }

 private:
  __device__ void advance(const DeltaRow& row, Left& left) {
    if (row.forgets) this->clear();
    if (keeps && row.beginsChunk) keep(row);
    const Each decays = this->decayOf(row, keyDecay), k = this->number(row, keyK);
    if (readsBefore) {
      const Each shares = this->multiply(this->numbers(row, keyDx));
      left.shares[1] = this->each(
          [&](int r) { return (byKey ? call.dxFactor * decays.x[r] : call.dxFactor) * shares.x[r]; });
    }
    this->decayAndAdd(this->numbers(row, keyY), decays, this->each([&](int r) { return row.beta * k.x[r]; }));
    if (writesTwice) this->add(this->numbers(row, keyX), this->number(row, keyE));
    left.shares[0] = this->multiply(this->numbers(row, keyReads));
  }

  __device__ void keep(const DeltaRow& row) const {
    float* to = call.kept + this->keptPlace(row);
#pragma unroll
    for (int r = 0; r < channels; r++) {
#pragma unroll
      for (int j = 0; j < 4; j++) {
        const float* own = this->P[r][j];
        storePack(to + (r * 4 + j) * 128, Pack<float, 4>{{own[0], own[1], own[2], own[3]}});
      }
    }
  }
};

enum AdjointRole {
  adjointY,
  adjointX,
  adjointValueReads,
  adjointDx,
  adjointK,
  adjointB,
  adjointDecay,
  adjointKeyReads
};

template <int size, int channels, bool writesTwice>
class DeltaKeyAdjoints : public DeltaKeySweep<size, channels, true, writesTwice ? 2 : 1> {
  using Sweep = DeltaKeySweep<size, channels, true, writesTwice ? 2 : 1>;
  using typename Sweep::Each, typename Sweep::Left, typename Sweep::Numbers;
  const DeltaKeyAdjointsCall& call;
  const bool meets, byKey;

 public:
  __device__ DeltaKeyAdjoints(const DeltaKeyAdjointsCall& call, const DeltaStaging& staging, float* shared)
      : Sweep(call.shape, staging, call.shape.K, shared),
        call(call),
        meets(call.kept != nullptr && this->hasChannels()),
        byKey(call.shape.erase == longscanDeltaEraseKey) {}

  __device__ void run() {
    this->loadState(call.dht);
    Sweep::run([&](const DeltaRow& row, Left& left) { advance(row, left); },
               [&](const float* from, int ofWarp, int first, int count) {
                 this->storeSums(from, ofWarp, 0, call.outputs[0], first, count);
                 if (writesTwice) this->storeSums(from, ofWarp, 1, call.outputs[1], first, count);
               });
  }

 private:
  __device__ void advance(const DeltaRow& row, Left& left) {
    const Each reads = this->number(row, adjointKeyReads);
    this->add(this->numbers(row, adjointValueReads),
              this->each([&](int r) { return call.scale * reads.x[r]; }));
    left.shares[0] = this->multiply(this->numbers(row, adjointY));
    if (writesTwice) left.shares[1] = this->multiply(this->numbers(row, adjointX));
    const Each decays = this->decayOf(row, adjointDecay);
    const Each erasers = this->number(row, byKey ? adjointK : adjointB);
    this->decayAndAdd(this->numbers(row, adjointDx), decays, this->each([&](int r) {
      return call.dxFactor * (byKey ? decays.x[r] * erasers.x[r] : erasers.x[r]);
    }));
    if (row.forgets) this->clear();
    if (meets && row.beginsChunk) meet(row);
  }

  __device__ void meet(const DeltaRow& row) const {
    const float* from = call.kept + this->keptPlace(row);
    Each sums;
#pragma unroll
    for (int r = 0; r < channels; r++) {
      sums.x[r] = 0.0f;
#pragma unroll
      for (int j = 0; j < 4; j++) {
        const Pack<float, 4> kept = loadPack<4>(from + (r * 4 + j) * 128);
#pragma unroll
        for (int i = 0; i < 4; i++) sums.x[r] += kept.x[i] * this->P[r][j][i];
      }
    }
    sums = this->sumOverLanes(sums);
    if (this->lane != 0) return;
#pragma unroll
    for (int r = 0; r < channels; r++)
      if (this->channel(r) < call.shape.K)
        call.meets[this->chunkOf(row) * call.shape.K + this->channel(r)] = sums.x[r];
  }
};

template <int size, int channels, bool writesTwice, bool readsBefore>
__global__ void __launch_bounds__(deltaTokenThreads, 1)
    deltaKeysKernel(const __grid_constant__ DeltaKeysCall call,
                    const __grid_constant__ DeltaStaging staging) {
  extern __shared__ __align__(16) float shared[];
  DeltaKeys<size, channels, writesTwice, readsBefore>(call, staging, shared).run();
}

template <int size, int channels, bool writesTwice>
__global__ void __launch_bounds__(deltaTokenThreads, 1)
    deltaKeyAdjointsKernel(const __grid_constant__ DeltaKeyAdjointsCall call,
                           const __grid_constant__ DeltaStaging staging) {
  extern __shared__ __align__(16) float shared[];
  DeltaKeyAdjoints<size, channels, writesTwice>(call, staging, shared).run();
}

/// run(size, channels, whether a row writes twice), as constants
template <typename Run>
cudaError_t withKeyKind(const DeltaShape& shape, Run&& run) {
  return withDeltaSize(shape, shape.V, shape.K, [&](auto size, auto channels) {
    return shape.erase == longscanDeltaEraseDplr ? run(size, channels, std::true_type())
                                                 : run(size, channels, std::false_type());
  });
}

template <typename Sweep>
cudaError_t launch(void (*kernel)(DeltaKeysCall, DeltaStaging), const DeltaKeysCall& call,
                   cudaStream_t stream) {
  const int numWarps = Sweep::warpsOf(call.shape.B, call.shape.H, call.shape.K);
  DeltaStaging staging;
  for (const DeltaRows& rows : {call.y, call.x, call.reads, call.dx})
    staging.add(rows, false, Sweep::numContracted);
  for (const DeltaRows& rows : {call.k, call.e, call.shape.decay})
    staging.add(rows, true, numWarps * Sweep::warpRows);
  return launchDeltaTokenSweep<Sweep>(kernel, call, staging, call.shape.K, numWarps, stream);
}

}  // namespace

int64_t deltaKeptNumbers(const DeltaShape& shape) {
  int64_t ofHead = 0;
  withKeyKind(shape, [&](auto size, auto channels, auto) {
    constexpr int rows = DeltaTokenLayout<size.value, channels.value>::warpRows;
    ofHead = (shape.K + rows - 1) / rows * (512 * channels.value);
    return cudaSuccess;
  });
  return shape.B * shape.H * ((shape.T + deltaGateTokens - 1) / deltaGateTokens) * ofHead;
}

cudaError_t launchDeltaKeys(const DeltaKeysCall& call, cudaStream_t stream) {
  return withKeyKind(call.shape, [&](auto size, auto channels, auto writesTwice) {
    const auto launchKind = [&](auto readsBefore) {
      using Sweep = DeltaKeys<size.value, channels.value, writesTwice.value, readsBefore.value>;
      return launch<Sweep>(deltaKeysKernel<size.value, channels.value, writesTwice.value, readsBefore.value>,
                           call, stream);
    };
    return call.dx.data ? launchKind(std::true_type()) : launchKind(std::false_type());
  });
}

cudaError_t launchDeltaKeyAdjoints(const DeltaKeyAdjointsCall& call, cudaStream_t stream) {
  return withKeyKind(call.shape, [&](auto size, auto channels, auto writesTwice) {
    using Sweep = DeltaKeyAdjoints<size.value, channels.value, writesTwice.value>;
    const int numWarps = Sweep::warpsOf(call.shape.B, call.shape.H, call.shape.K);
    DeltaStaging staging;
    for (const DeltaRows& rows : {call.y, call.x, call.valueReads, call.dx})
      staging.add(rows, false, size.value);
    for (const DeltaRows& rows : {call.k, call.b, call.shape.decay, call.keyReads})
      staging.add(rows, true, numWarps * Sweep::warpRows);
    return launchDeltaTokenSweep<Sweep>(deltaKeyAdjointsKernel<size.value, channels.value, writesTwice.value>,
                                        call, staging, call.shape.K, numWarps, stream);
  });
}

}  // namespace longscan
