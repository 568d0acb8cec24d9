#include <cstdint>

#include "cuda_general_sweep.cuh"

// Sweeps whose free axis is the keys': everything that is written is known by now, so rows of the sequence
// wait for no sum, and sums over values stay inside a block.

namespace longscan {

namespace {

template <int size>
class DeltaKeySweep : public DeltaTokenSweep<size> {
 protected:
  using DeltaTokenSweep<size>::DeltaTokenSweep;

  __device__ void loadState(const float* from) {
    if (from == nullptr) return;
    const int K = this->shape.K, V = this->shape.V;
#pragma unroll
    for (int r = 0; r < 2; r++) {
      const int key = this->channel(r);
      if (key >= K) continue;
      const float* column = from + this->bh * V * K + key;
      this->eachNumber(r, [&](float& p, int c) {
        if (c < V) p = column[int64_t{c} * K];
      });
    }
  }

  __device__ float decayOf(const DeltaRow& row, int roleDecay, int r) const {
    return row.isFirst && this->has(roleDecay) ? this->number(row, roleDecay, r) : row.decay;
  }
  __device__ void decayAndAdd(const typename DeltaTokenSweep<size>::Numbers& u, const float (&decays)[2],
                              const float (&factors)[2]) {
#pragma unroll
    for (int r = 0; r < 2; r++) {
#pragma unroll
      for (int j = 0; j < 4; j++) {
#pragma unroll
        for (int i = 0; i < 4; i++)
          this->P[r][j][i] = decays[r] * this->P[r][j][i] + factors[r] * u.x[j].x[i];
      }
    }
  }

  __device__ bool beginsChunk(const DeltaRow& row) const {
    return row.isFirst && this->tokenOf(row.number) % deltaGateTokens == 0;
  }
  __device__ int64_t numChunks() const {
    return (this->shape.T + deltaGateTokens - 1) / deltaGateTokens;
  }
  /// Where this thread has its first four numbers of what is kept of the chunk; the next are 128 further.
  __device__ int64_t keptPlace(const DeltaRow& row) const {
    const int64_t chunk = this->bh * numChunks() + this->tokenOf(row.number) / deltaGateTokens;
    const int numWarps = (this->shape.K + this->warpRows - 1) / this->warpRows;
    return (chunk * numWarps + this->firstFree / this->warpRows + this->warp) * 1024 + threadIdx.x % 32 * 4;
  }
  __device__ bool hasChannels() const {
    return this->channel(0) - this->group < this->shape.K;
  }
};

enum KeyRole { keyY, keyX, keyReads, keyDx, keyK, keyE, keyDecay };

template <int size, bool writesTwice>
class DeltaKeys : public DeltaKeySweep<size> {
  using Sweep = DeltaKeySweep<size>;
  const DeltaKeysCall& call;

 public:
  __device__ DeltaKeys(const DeltaKeysCall& call, const DeltaStaging& staging, float* shared)
      : Sweep(call.shape, staging, false, call.shape.K, 2, shared), call(call) {}

  __device__ void run() {
    this->loadState(call.h0);
    Sweep::run([&](const DeltaRow& row) { advance(row); },
               [&](int first) { this->template store<2>(first, call.outputs); });
  }

 private:
  __device__ void advance(const DeltaRow& row) {
    if (row.forgets) this->clear();
    if (call.kept && this->beginsChunk(row) && this->hasChannels()) keep(row);
    float sums[2], decays[2], written[2];
#pragma unroll
    for (int r = 0; r < 2; r++) {
      decays[r] = this->decayOf(row, keyDecay, r);
      written[r] = row.beta * this->number(row, keyK, r);
    }
    if (call.dx.data) {
      this->multiply(this->numbers(row, keyDx), sums);
#pragma unroll
      for (int r = 0; r < 2; r++)
        sums[r] *= call.shape.erase == longscanDeltaEraseKey ? call.dxFactor * decays[r] : call.dxFactor;
      this->leave(row, 2, 1, sums);
    }
    this->decayAndAdd(this->numbers(row, keyY), decays, written);
    if (writesTwice) {
      const float extra[2] = {this->number(row, keyE, 0), this->number(row, keyE, 1)};
      this->add(this->numbers(row, keyX), extra);
    }
    if (!row.isLast || call.outputs[0].data == nullptr) return;
    this->multiply(this->numbers(row, keyReads), sums);
    this->leave(row, 2, 0, sums);
  }

  __device__ void keep(const DeltaRow& row) const {
    float* to = call.kept + this->keptPlace(row);
#pragma unroll
    for (int r = 0; r < 2; r++) {
#pragma unroll
      for (int j = 0; j < 4; j++)
        storePack(to + (r * 4 + j) * 128,
                  Pack<float, 4>{{this->P[r][j][0], this->P[r][j][1], this->P[r][j][2], this->P[r][j][3]}});
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
class DeltaKeyAdjoints : public DeltaKeySweep<size> {
  using Sweep = DeltaKeySweep<size>;
  const DeltaKeyAdjointsCall& call;

 public:
  __device__ DeltaKeyAdjoints(const DeltaKeyAdjointsCall& call, const DeltaStaging& staging, float* shared)
      : Sweep(call.shape, staging, true, call.shape.K, 2, shared), call(call) {}

  __device__ void run() {
    this->loadState(call.dht);
    Sweep::run([&](const DeltaRow& row) { advance(row); },
               [&](int first) { this->template store<2>(first, call.outputs); });
  }

 private:
  __device__ void advance(const DeltaRow& row) {
    if (row.isLast) {
      const float reads[2] = {call.scale * this->number(row, adjointKeyReads, 0),
                              call.scale * this->number(row, adjointKeyReads, 1)};
      this->add(this->numbers(row, adjointValueReads), reads);
    }
    float sums[2], decays[2], erased[2];
    this->multiply(this->numbers(row, adjointY), sums);
    this->leave(row, 2, 0, sums);
    if (writesTwice) {
      this->multiply(this->numbers(row, adjointX), sums);
      this->leave(row, 2, 1, sums);
    }
    const bool byKey = call.shape.erase == longscanDeltaEraseKey;
#pragma unroll
    for (int r = 0; r < 2; r++) {
      decays[r] = this->decayOf(row, adjointDecay, r);
      erased[r] = call.dxFactor *
                  (byKey ? decays[r] * this->number(row, adjointK, r) : this->number(row, adjointB, r));
    }
    this->decayAndAdd(this->numbers(row, adjointDx), decays, erased);
    if (row.forgets) this->clear();
    if (call.kept && this->beginsChunk(row) && this->hasChannels()) meet(row);
  }

  __device__ void meet(const DeltaRow& row) const {
    const float* from = call.kept + this->keptPlace(row);
    float sums[2] = {};
#pragma unroll
    for (int r = 0; r < 2; r++) {
#pragma unroll
      for (int j = 0; j < 4; j++) {
        const Pack<float, 4> kept = loadPack<4>(from + (r * 4 + j) * 128);
#pragma unroll
        for (int i = 0; i < 4; i++) sums[r] += kept.x[i] * this->P[r][j][i];
      }
    }
    sumOverLanes<Sweep::lanes>(sums);
    const int64_t chunk = this->bh * this->numChunks() + this->tokenOf(row.number) / deltaGateTokens;
#pragma unroll
    for (int r = 0; r < 2; r++)
      if (this->lane == 0 && this->channel(r) < call.shape.K)
        call.meets[chunk * call.shape.K + this->channel(r)] = sums[r];
  }
};

template <int size, bool writesTwice>
__global__ void __launch_bounds__(256) deltaKeysKernel(const __grid_constant__ DeltaKeysCall call,
                                                       const __grid_constant__ DeltaStaging staging) {
  extern __shared__ __align__(16) float shared[];
  DeltaKeys<size, writesTwice>(call, staging, shared).run();
}

template <int size, bool writesTwice>
__global__ void __launch_bounds__(256)
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

template <int size>
int numWarpsOf(const DeltaShape& shape) {
  return DeltaTokenLayout<size>::warpsOf(shape.B, shape.H, shape.K);
}

}  // namespace

int64_t deltaKeptNumbers(const DeltaShape& shape) {
  int64_t numbers = 0;
  withKeyKind(shape, [&](auto size, auto) {
    const int rows = DeltaTokenLayout<size.value>::warpRows;
    numbers = shape.B * shape.H * ((shape.T + deltaGateTokens - 1) / deltaGateTokens) *
              ((shape.K + rows - 1) / rows) * 1024;
    return cudaSuccess;
  });
  return numbers;
}

cudaError_t launchDeltaKeys(const DeltaKeysCall& call, cudaStream_t stream) {
  return withKeyKind(call.shape, [&](auto size, auto writesTwice) {
    const int numWarps = numWarpsOf<size.value>(call.shape);
    DeltaStaging staging;
    for (const DeltaRows& rows : {call.y, call.x, call.reads, call.dx}) staging.add(rows, false, size.value);
    for (const DeltaRows& rows : {call.k, call.e, call.shape.decay})
      staging.add(rows, true, numWarps * DeltaTokenLayout<size.value>::warpRows);
    return launchDeltaTokenSweep<size.value>(deltaKeysKernel<size.value, writesTwice.value>, call, staging,
                                             call.shape.K, numWarps, 2, stream);
  });
}

cudaError_t launchDeltaKeyAdjoints(const DeltaKeyAdjointsCall& call, cudaStream_t stream) {
  return withKeyKind(call.shape, [&](auto size, auto writesTwice) {
    const int numWarps = numWarpsOf<size.value>(call.shape);
    DeltaStaging staging;
    for (const DeltaRows& rows : {call.y, call.x, call.valueReads, call.dx})
      staging.add(rows, false, size.value);
    for (const DeltaRows& rows : {call.k, call.b, call.shape.decay, call.keyReads})
      staging.add(rows, true, numWarps * DeltaTokenLayout<size.value>::warpRows);
    return launchDeltaTokenSweep<size.value>(deltaKeyAdjointsKernel<size.value, writesTwice.value>, call,
                                             staging, call.shape.K, numWarps, 2, stream);
  });
}

}  // namespace longscan
