#pragma once

#include "../../cuda/pack.cuh"
#include "../../ops/transition/apply.cuh"
#include "chain.h"

// What becomes of the rows of a block: `prepare` reads what is at hand while the block is still on its way;
// `pass` keeps what arrives (null: the chain begins here) and writes what leaves (null: it ends here).
// Arriving numbers are another GPU's writes: read past the first-level cache, which does not see those.

namespace longscan {

constexpr int chainThreads = 512;

template <int width>
__device__ Pack<float, width> loadArriving(const float* from) {
  Pack<float, width> pack;
  if constexpr (width == 4) {
    const float4 four = __ldcg(reinterpret_cast<const float4*>(from));
    pack = {four.x, four.y, four.z, four.w};
  } else {
    pack.x[0] = __ldcg(from);
  }
  return pack;
}

/// identity, scalar, diagonal, expDiagonal: `width` numbers of a row at once, the whole block in registers.
template <TransitionKind kind, int width>
class ElementRows {
 public:
  __device__ void prepare(const LongscanPeerChain& chain, int begin, int count) {
    if (chain.next.own == nullptr) return;
    const int N = static_cast<int>(chain.task.rowLength);
    const float* from = chain.task.E + int64_t{begin} * N;
    forEach(count * N, [&](int i, int at) { entered_[i] = loadPack<width>(from + at); });
  }

  __device__ void pass(const LongscanPeerChain& chain, int begin, int count, const float* arriving,
                       float* leaving) {
    const LongscanTransition& task = chain.task;
    const int N = static_cast<int>(task.rowLength), R = static_cast<int>(task.rowsPerHead);
    if (arriving == nullptr) {
      forEach(count * N, [&](int i, int at) { storePack(leaving + at, entered_[i]); });
      return;
    }
    float* incoming = chain.incoming + int64_t{begin} * N;
    Pack<float, width> arrived[each];
    forEach(count * N, [&](int i, int at) { arrived[i] = loadArriving<width>(arriving + at); });
    forEach(count * N, [&](int i, int at) {
      storePack(incoming + at, arrived[i]);
      if (leaving == nullptr) return;
      const int row = at / N, head = (begin + row) / R;
      const bool reset = isReset(task, head);
      Pack<float, width> out;
#pragma unroll
      for (int x = 0; x < width; x++)
        out.x[x] = applyElement(reset, elementFactor<kind>(task, head, at - row * N + x), arrived[i].x[x],
                                entered_[i].x[x]);
      storePack(leaving + at, out);
    });
  }

 private:
  static constexpr int each = longscanPeerSlotFloats / (chainThreads * width);

  /// The packs of this thread among `size` numbers.
  template <typename Body>
  __device__ static void forEach(int size, Body body) {
#pragma unroll
    for (int i = 0; i < each; i++) {
      const int at = (i * chainThreads + static_cast<int>(threadIdx.x)) * width;
      if (at < size) body(i, at);
    }
  }

  Pack<float, width> entered_[each];
};

/// fixedComplex: pairs (re, im).
struct ComplexRows {
  __device__ void prepare(const LongscanPeerChain&, int, int) {}

  __device__ void pass(const LongscanPeerChain& chain, int begin, int count, const float* arriving,
                       float* leaving) {
    const LongscanTransition& task = chain.task;
    const int N = static_cast<int>(task.rowLength), R = static_cast<int>(task.rowsPerHead);
    const float* E = task.E + int64_t{begin} * N;
    for (int at = 2 * static_cast<int>(threadIdx.x); at < count * N; at += 2 * chainThreads) {
      float2 out{E[at], E[at + 1]};
      if (arriving != nullptr) {
        const float2 S = __ldcg(reinterpret_cast<const float2*>(arriving + at));
        float* incoming = chain.incoming + int64_t{begin} * N + at;
        incoming[0] = S.x;
        incoming[1] = S.y;
        const int row = at / N;
        out = applyComplex(task, (begin + row) / R, at - row * N, S, out);
      }
      if (leaving != nullptr) *reinterpret_cast<float2*>(leaving + at) = out;
    }
  }
};

/// logMax: a row each warp.
struct LogMaxRows {
  __device__ void prepare(const LongscanPeerChain&, int, int) {}

  __device__ void pass(const LongscanPeerChain& chain, int begin, int count, const float* arriving,
                       float* leaving) {
    const LongscanTransition& task = chain.task;
    const int N = static_cast<int>(task.rowLength), R = static_cast<int>(task.rowsPerHead), last = N - 1;
    const int lane = static_cast<int>(threadIdx.x) % 32;
    for (int row = static_cast<int>(threadIdx.x) / 32; row < count; row += chainThreads / 32) {
      const float* E = task.E + int64_t{begin + row} * N;
      float* out = leaving == nullptr ? nullptr : leaving + row * N;
      if (arriving == nullptr) {
        for (int i = lane; i < N; i += 32) out[i] = E[i];
        continue;
      }
      const float* S = arriving + row * N;
      float* incoming = chain.incoming + int64_t{begin + row} * N;
      const float scale = __ldcg(S + last);
      const LogMaxRow both(task, (begin + row) / R, scale, E[last]);
      for (int i = lane; i < last; i += 32) {
        const float arrived = __ldcg(S + i);
        incoming[i] = arrived;
        if (out != nullptr) out[i] = both.apply(arrived, E[i]);
      }
      if (lane != 0) continue;
      incoming[last] = scale;
      if (out != nullptr) out[last] = both.m;
    }
  }
};

/// dense: rows times F [N, N] or its transpose, of one head after the other.
class DenseRows {
 public:
  __device__ void prepare(const LongscanPeerChain&, int, int) {}

  __device__ void pass(const LongscanPeerChain& chain, int begin, int count, const float* arriving,
                       float* leaving) {
    __shared__ float arrived[longscanPeerSlotFloats];  // [count, N]
    const int N = static_cast<int>(chain.task.rowLength), R = static_cast<int>(chain.task.rowsPerHead);
    const int64_t first = int64_t{begin} * N;
    const int thread = static_cast<int>(threadIdx.x);
    if (arriving == nullptr) {
      for (int at = thread; at < count * N; at += chainThreads) leaving[at] = chain.task.E[first + at];
      return;
    }
    for (int at = thread; at < count * N; at += chainThreads)
      arrived[at] = chain.incoming[first + at] = __ldcg(arriving + at);
    __syncthreads();
    if (leaving == nullptr) return;
    for (int row = 0; row < count;) {
      const int head = (begin + row) / R, ofHead = min(count - row, (head + 1) * R - (begin + row));
      multiply(chain.task, head, ofHead, arrived + row * N, chain.task.E + first + row * N,
               leaving + row * N);
      row += ofHead;
    }
  }

 private:
  /// Rows that a thread computes beside each other, in one column.
  static constexpr int tile = 8;

  __device__ static void multiply(const LongscanTransition& task, int head, int count, const float* S,
                                  const float* E, float* out) {
    const int N = static_cast<int>(task.rowLength);
    const bool reset = isReset(task, head);
    const float* F = task.factor + int64_t{head} * N * N;
    const int numUnits = (count + tile - 1) / tile * N;
    for (int unit = static_cast<int>(threadIdx.x); unit < numUnits; unit += chainThreads) {
      const int column = unit % N, first = unit / N * tile;
      float sums[tile];
#pragma unroll
      for (int r = 0; r < tile; r++) sums[r] = first + r < count ? E[(first + r) * N + column] : 0.0f;
      // In the order of the kernel that applies M block by block, for the same bits.
      for (int k = 0; k < N && !reset; k++) {
        const float f = task.transposed ? F[column * N + k] : F[k * N + column];
#pragma unroll
        for (int r = 0; r < tile; r++) sums[r] += S[min(first + r, count - 1) * N + k] * f;
      }
#pragma unroll
      for (int r = 0; r < tile; r++) {
        if (first + r < count) out[(first + r) * N + column] = sums[r];
      }
    }
  }
};

}  // namespace longscan
