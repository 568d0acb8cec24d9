#include "cuda_adjoint_fold.h"

namespace longscan {

namespace {

/// A block has so many rows of a head's D; of the sums over K, so many groups of threads have a share each.
constexpr int foldRows = 8, foldGroups = 4;

/// A thread has a column of D, and of the sums over K its group's share.
template <int KP, bool transposed>
class Fold {
  static constexpr int share = KP / foldGroups, atOnce = 16, ownRows = foldRows / foldGroups;

  struct Shared {
    alignas(16) float adjoint[foldRows][KP];
    float sums[foldGroups][foldRows][KP];
  };

  const DeltaAdjointFold& call;
  Shared& shared;
  const int column, group, row0;
  const int64_t heads, bh;

 public:
  using Memory = Shared;

  __device__ Fold(const DeltaAdjointFold& call, Shared& shared)
      : call(call),
        shared(shared),
        column(threadIdx.x),
        group(threadIdx.y),
        row0(foldRows * blockIdx.y),
        heads(call.B * call.H),
        bh(blockIdx.x) {}

  __device__ void run() const {
    bool isZero = call.dht == nullptr;
    eachOwn([&](float& x, int, int64_t place) { x = isZero ? 0.0f : call.dht[place]; });
    for (int segment = call.count - 1; segment >= call.first; segment--) {
      const int64_t states = segment * heads * call.V * call.K;
      storeBehind(segment);
      __syncthreads();
      float sum[foldRows] = {};
      if (!isZero && call.starts[segment * heads + bh] == 0)
        multiply(sum, call.maps + (segment * heads + bh) * call.K * call.K);
#pragma unroll
      for (int row = 0; row < foldRows; row++) shared.sums[group][row][column] = sum[row];
      __syncthreads();
      eachOwn([&](float& x, int row, int64_t place) {
        x = call.adjoints[states + place];
#pragma unroll
        for (int i = 0; i < foldGroups; i++) x += shared.sums[i][row][column];
      });
      isZero = false;
    }
    if (call.first > 0) storeBehind(call.first - 1);
    if (call.before != nullptr) eachOwn([&](float& x, int, int64_t place) { call.before[place] = x; });
  }

 private:
  /// visit(number in the thread's column, its row, its place in the states of all heads) for the group's
  /// share of the rows; zero where there is none.
  template <typename Visit>
  __device__ void eachOwn(Visit&& visit) const {
#pragma unroll
    for (int i = 0; i < ownRows; i++) {
      const int row = group * ownRows + i;
      float& x = shared.adjoint[row][column];
      if (row0 + row < call.V && column < call.K)
        visit(x, row, (bh * call.V + row0 + row) * call.K + column);
      else
        x = 0.0f;
    }
  }

  __device__ void storeBehind(int segment) const {
    if (call.behind == nullptr) return;
    float* const to = call.behind + segment * heads * call.V * call.K;
    eachOwn([&](float& x, int, int64_t place) { to[place] = x; });
  }

  /// The share of D M in every row.
  __device__ void multiply(float (&sum)[foldRows], const float* map) const {
#pragma unroll 1
    for (int k0 = group * share; k0 < group * share + share; k0 += atOnce) {
      float m[atOnce];
      load(m, map, k0);
#pragma unroll
      for (int k = 0; k < atOnce; k += 4)
#pragma unroll
        for (int row = 0; row < foldRows; row++) {
          const float4 x = *reinterpret_cast<const float4*>(&shared.adjoint[row][k0 + k]);
          sum[row] += x.x * m[k];
          sum[row] += x.y * m[k + 1];
          sum[row] += x.z * m[k + 2];
          sum[row] += x.w * m[k + 3];
        }
    }
  }

  /// m[k] = M[k0 + k][column], zero where that is outside.
  __device__ void load(float (&m)[atOnce], const float* map, int k0) const {
    if constexpr (transposed) {
#pragma unroll
      for (int k = 0; k < atOnce; k += 4) {
        const bool inside = k0 + k < call.K && column < call.K;
        const float4 x = inside ? *reinterpret_cast<const float4*>(map + column * call.K + k0 + k) : float4{};
        m[k] = x.x, m[k + 1] = x.y, m[k + 2] = x.z, m[k + 3] = x.w;
      }
    } else {
#pragma unroll
      for (int k = 0; k < atOnce; k++)
        m[k] = k0 + k < call.K && column < call.K ? map[(k0 + k) * call.K + column] : 0.0f;
    }
  }
};

template <int KP, bool transposed>
__global__ void __launch_bounds__(foldGroups* KP) foldKernel(const DeltaAdjointFold call) {
  __shared__ typename Fold<KP, transposed>::Memory shared;
  Fold<KP, transposed>(call, shared).run();
}

template <bool transposed>
cudaError_t launch(const DeltaAdjointFold& call, cudaStream_t stream) {
  const auto run = [&](auto kernel, int KP) {
    const dim3 blocks(static_cast<unsigned>(call.B * call.H), (call.V + foldRows - 1) / foldRows);
    kernel<<<blocks, dim3(KP, foldGroups), 0, stream>>>(call);
    return cudaGetLastError();
  };
  if (call.K <= 64) return run(foldKernel<64, transposed>, 64);
  return call.K <= 128 ? run(foldKernel<128, transposed>, 128) : run(foldKernel<256, transposed>, 256);
}

}  // namespace

cudaError_t launchDeltaAdjointFold(const DeltaAdjointFold& call, cudaStream_t stream) {
  return call.transposed ? launch<true>(call, stream) : launch<false>(call, stream);
}

}  // namespace longscan
