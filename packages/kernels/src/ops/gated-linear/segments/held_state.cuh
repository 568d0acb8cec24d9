#pragma once

#include "../sweep/parts.cuh"
#include "cuda/warpgroup_wide.cuh"

namespace longscan {

/// A state (or adjoint), as a warpgroup has it in the accumulators of its products: P^T for 64
/// values, `own` times 64 and on, and what products read of it in shared memory.
template <int DK>
struct HeldState : SweepState<DK> {
  static constexpr int panels = DK / 64;
  using SweepState<DK>::P;

  const Lane at;
  const int own;

  __device__ HeldState(const Lane& at, int own) : at(at), own(own) {}

  /// From [V, K].
  __device__ void load(const float* from, int V, int K) {
    this->clear();
    each(V, K, [&](float& x, float& y, int place) {
      const float2 both = *reinterpret_cast<const float2*>(from + place);
      x = both.x;
      y = both.y;
    });
  }

  __device__ void store(float* to, int V, int K, float scale) {
    each(V, K, [&](float& x, float& y, int place) {
      *reinterpret_cast<float2*>(to + place) = make_float2(x * scale, y * scale);
    });
  }

  /// In bf16, to tiles of 64 keys one after the other. The compiler is not to keep all addresses inside them
  /// in registers from chunk to chunk: it has none to spare.
  __device__ void publish(Tile<64> first) const {
    asm volatile("" : "+r"(first.base));
    Tile<64> to[panels];
#pragma unroll
    for (int p = 0; p < panels; p++) to[p] = {first.base + p * Tile<64>::bytes};
    SweepState<DK>::publish(to, nullptr, 0, at);
  }

#if LONGSCAN_WGMMA
  /// P += or -= sum_t z_t^T y_t of a chunk, in the background; z of the own values. Of 128 keys both panels
  /// in one product, which reads z once: shared memory is what the sweeps without decay are short of.
  template <int sign>
  __device__ void addTokens(Tile<64> z, Tile<64> y) {
    beginProducts();
#pragma unroll
    for (int k = 0; k < 4; k++)
      if constexpr (panels == 2)
        multiplyTiles<StoredB::columns, true, StoredB::columns, sign>(
            reinterpret_cast<WideSums&>(P), productOperand<StoredB::columns>(z.base, k),
            columnsOperand(y.base, k, Tile<64>::bytes));
      else
        multiplyTransposed<true, sign>(P[0], z, k, y, k);
    commitProducts();
  }

  /// P += z^T y of tokens [16 k, 16 k + 16), in the background; z^T of the own values from registers.
  __device__ void addProduct(const MmaA& z, Tile<64> y, int k) {
    if constexpr (panels == 2)
      multiplyTile<StoredB::columns>(reinterpret_cast<WideSums&>(P), z,
                                     columnsOperand(y.base, k, Tile<64>::bytes));
    else
      multiplyTile<StoredB::columns>(P[0], z, productOperand<StoredB::columns>(y.base, k));
  }
#endif

  __device__ void scale(float factor) {
    this->eachPair([&](float& x, float& y, bool, int) {
      x *= factor;
      y *= factor;
    });
  }

  __device__ void settle() {
#pragma unroll
    for (int p = 0; p < panels; p++) longscan::settle(P[p]);
  }

 private:
  /// visit(element, that of the next key, the place of both in [V, K]), of those that exist.
  template <typename Visit>
  __device__ void each(int V, int K, Visit&& visit) {
    const int row0 = 64 * own + at.row0 + at.group;
    this->eachPair([&](float& x, float& y, bool isLower, int column0) {
      const int row = row0 + (isLower ? 8 : 0), column = column0 + at.pairOf;
      if (row < V && column < K) visit(x, y, row * K + column);
    });
  }
};

/// Two rows of this thread's, each times a factor.
__device__ inline void scaleRows(Sums& sum, float upper, float lower) {
#pragma unroll
  for (int n = 0; n < 8; n++) {
    sum[n][0] *= upper;
    sum[n][1] *= upper;
    sum[n][2] *= lower;
    sum[n][3] *= lower;
  }
}

/// sum = rows of `a` times rows of `b`, of `panels` panels each.
template <int panels>
__device__ inline void multiplyRows(Sums& sum, Tile<64> a, Tile<64> b) {
#pragma unroll
  for (int k = 0; k < 4 * panels; k++) {
    const Tile<64> left{a.base + k / 4 * Tile<64>::bytes}, right{b.base + k / 4 * Tile<64>::bytes};
    if (k == 0)
      multiply<StoredB::rows, false>(sum, left, k, right, k);
    else
      multiply<StoredB::rows>(sum, left, k % 4, right, k % 4);
  }
}

/// The same, begun and committed: in the background.
template <int panels>
__device__ inline void startRows(Sums& sum, Tile<64> a, Tile<64> b) {
  beginProducts();
  multiplyRows<panels>(sum, a, b);
  commitProducts();
}

/// What remains are products of tokens with earlier ones and themselves.
__device__ inline void forgetLater(Sums& scores, const Lane& at) {
  decayScores(scores, RowDecays{0, 0.0f, false}, at);
}

}  // namespace longscan
