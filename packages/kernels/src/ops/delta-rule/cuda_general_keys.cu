#include "cuda_general_sweep.cuh"

// Sweeps whose free axis is the keys': everything that is written is known by now, so rows of the sequence
// wait for no sum, and sums over values stay inside a block.

namespace longscan {

namespace {

template <int size, bool backward, int numSums>
class DeltaKeySweep : public DeltaTokenSweep<size, backward, numSums, 0> {
 protected:
  using Base = DeltaTokenSweep<size, backward, numSums, 0>;
  using Base::Base, Base::P;
  using typename Base::Numbers;

  __device__ void loadState(const float* from) {
    const int K = this->shape.K, V = this->shape.V, key = this->channel();
    if (from == nullptr || key >= K) return;
    const float* column = from + this->bh * V * K + key;
    this->eachNumber([&](float& p, int c) {
      if (c < V) p = column[int64_t{c} * K];
    });
  }

  __device__ float decayOf(const DeltaRow& row, int roleDecay) const {
    return diagonal && row.isFirst ? this->number(row, roleDecay) : row.decay;
  }
  __device__ void decayAndAdd(const Numbers& u, float decay, float factor) {
#pragma unroll
    for (int j = 0; j < 4; j++) {
#pragma unroll
      for (int i = 0; i < 4; i++) P[j][i] = decay * P[j][i] + factor * u.x[j].x[i];
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
    return (chunkOf(row) * warps + own) * 512 + threadIdx.x % 32 * 4;
  }
  __device__ bool hasChannels() const {
    return this->firstFree + this->warp * Base::warpRows < this->shape.K;
  }

  const bool diagonal = this->shape.decay.data != nullptr;
};

enum KeyRole { keyY, keyX, keyReads, keyDx, keyK, keyE, keyDecay };

template <int size, bool writesTwice, bool readsBefore>
class DeltaKeys : public DeltaKeySweep<size, false, readsBefore ? 2 : 1> {
  using Sweep = DeltaKeySweep<size, false, readsBefore ? 2 : 1>;
  using typename Sweep::Left, typename Sweep::Numbers;
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
    const float decay = this->decayOf(row, keyDecay);
    if (readsBefore) {
      const float factor = byKey ? call.dxFactor * decay : call.dxFactor;
      left.shares[1] = factor * this->multiply(this->numbers(row, keyDx));
    }
    this->decayAndAdd(this->numbers(row, keyY), decay, row.beta * this->number(row, keyK));
    if (writesTwice) this->add(this->numbers(row, keyX), this->number(row, keyE));
    if (row.isLast) left.shares[0] = this->multiply(this->numbers(row, keyReads));
  }

  __device__ void keep(const DeltaRow& row) const {
    float* to = call.kept + this->keptPlace(row);
#pragma unroll
    for (int j = 0; j < 4; j++) {
      const float* own = this->P[j];
      storePack(to + j * 128, Pack<float, 4>{{own[0], own[1], own[2], own[3]}});
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

template <int size, bool writesTwice>
class DeltaKeyAdjoints : public DeltaKeySweep<size, true, writesTwice ? 2 : 1> {
  using Sweep = DeltaKeySweep<size, true, writesTwice ? 2 : 1>;
  using typename Sweep::Left, typename Sweep::Numbers;
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
    if (row.isLast)
      this->add(this->numbers(row, adjointValueReads), call.scale * this->number(row, adjointKeyReads));
    left.shares[0] = this->multiply(this->numbers(row, adjointY));
    if (writesTwice) left.shares[1] = this->multiply(this->numbers(row, adjointX));
    const float decay = this->decayOf(row, adjointDecay);
    const float eraser = byKey ? decay * this->number(row, adjointK) : this->number(row, adjointB);
    this->decayAndAdd(this->numbers(row, adjointDx), decay, call.dxFactor * eraser);
    if (row.forgets) this->clear();
    if (meets && row.beginsChunk) meet(row);
  }

  __device__ void meet(const DeltaRow& row) const {
    const float* from = call.kept + this->keptPlace(row);
    Numbers kept;
#pragma unroll
    for (int j = 0; j < 4; j++) kept.x[j] = loadPack<4>(from + j * 128);
    const float sum = this->sumOverLanes(this->multiply(kept));
    if (this->lane == 0 && this->channel() < call.shape.K)
      call.meets[this->chunkOf(row) * call.shape.K + this->channel()] = sum;
  }
};

template <int size, bool writesTwice, bool readsBefore>
__global__ void __launch_bounds__(deltaTokenThreads, 1)
    deltaKeysKernel(const __grid_constant__ DeltaKeysCall call,
                    const __grid_constant__ DeltaStaging staging) {
  extern __shared__ __align__(16) float shared[];
  DeltaKeys<size, writesTwice, readsBefore>(call, staging, shared).run();
}

template <int size, bool writesTwice>
__global__ void __launch_bounds__(deltaTokenThreads, 1)
    deltaKeyAdjointsKernel(const __grid_constant__ DeltaKeyAdjointsCall call,
                           const __grid_constant__ DeltaStaging staging) {
  extern __shared__ __align__(16) float shared[];
  DeltaKeyAdjoints<size, writesTwice>(call, staging, shared).run();
}

/// run(size, whether a row writes twice), as constants
template <typename Run>
cudaError_t withKeyKind(const DeltaShape& shape, Run&& run) {
  const auto ofSize = [&](auto size) {
    return shape.erase == longscanDeltaEraseDplr ? run(size, std::true_type()) : run(size, std::false_type());
  };
  return shape.V > 256 ? ofSize(std::integral_constant<int, 512>()) : withDeltaSize(shape.V, ofSize);
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
  int64_t warps = 0;
  withKeyKind(shape, [&](auto size, auto) {
    constexpr int rows = DeltaTokenLayout<size.value>::warpRows;
    warps = (shape.K + rows - 1) / rows;
    return cudaSuccess;
  });
  return shape.B * shape.H * ((shape.T + deltaGateTokens - 1) / deltaGateTokens) * warps * 512;
}

cudaError_t launchDeltaKeys(const DeltaKeysCall& call, cudaStream_t stream) {
  return withKeyKind(call.shape, [&](auto size, auto writesTwice) {
    const auto launchKind = [&](auto readsBefore) {
      using Sweep = DeltaKeys<size.value, writesTwice.value, readsBefore.value>;
      return launch<Sweep>(deltaKeysKernel<size.value, writesTwice.value, readsBefore.value>, call, stream);
    };
    return call.dx.data ? launchKind(std::true_type()) : launchKind(std::false_type());
  });
}

cudaError_t launchDeltaKeyAdjoints(const DeltaKeyAdjointsCall& call, cudaStream_t stream) {
  return withKeyKind(call.shape, [&](auto size, auto writesTwice) {
    using Sweep = DeltaKeyAdjoints<size.value, writesTwice.value>;
    const int numWarps = Sweep::warpsOf(call.shape.B, call.shape.H, call.shape.K);
    DeltaStaging staging;
    for (const DeltaRows& rows : {call.y, call.x, call.valueReads, call.dx})
      staging.add(rows, false, size.value);
    for (const DeltaRows& rows : {call.k, call.b, call.shape.decay, call.keyReads})
      staging.add(rows, true, numWarps * Sweep::warpRows);
    return launchDeltaTokenSweep<Sweep>(deltaKeyAdjointsKernel<size.value, writesTwice.value>, call, staging,
                                        call.shape.K, numWarps, stream);
  });
}

}  // namespace longscan
