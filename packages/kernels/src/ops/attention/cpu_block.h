#pragma once

// Blocks of 32 queries and 64 keys in scratch memory, padded with zeros. Included by this folder's cpu*.cc
// only.

#include "../../core/tile.h"
#include "attention.h"
#include "key_range.h"

namespace longscan {
namespace LONGSCAN_LEVEL {
// Without a name: other folders' kernels have blocks and scratch of their own.
namespace {

constexpr int Q = attentionQueries;
constexpr int N = attentionKeys;

/// Queries [token, token + numQueries) of one head.
template <typename Real>
struct QueryBlock {
  const Attention<Real>& call;
  int64_t b, h, token;
  int numQueries;
  SeenKeys keys;  // of all of them
  SeenKeys ranges[Q];

  QueryBlock(const Attention<Real>& c, int64_t batch, int64_t head, int64_t first)
      : call(c),
        b(batch),
        h(head),
        token(first),
        numQueries(static_cast<int>(c.T - first < Q ? c.T - first : Q)) {
    for (int i = 0; i < Q; i++) {
      ranges[i] = i < numQueries ? seenKeys(c, b, token + i) : SeenKeys{0, 0};
      if (i == 0) keys = ranges[0];
      if (i < numQueries && ranges[i].first < keys.first) keys.first = ranges[i].first;
      if (i < numQueries && ranges[i].end > keys.end) keys.end = ranges[i].end;
    }
  }

  int64_t group() const { return h / (call.H / call.G); }
  /// First element of a row of query i in [B, T, heads, size].
  int64_t at(int64_t i, int64_t heads, int64_t head, int64_t size) const {
    return ((b * call.T + token + i) * heads + head) * size;
  }
};

/// One block of keys as the queries of a block see it: query i sees [low[i], high[i]) of it.
struct Visible {
  int low[Q], high[Q];
  bool all;  // every query sees every key

  template <typename Real>
  Visible(const QueryBlock<Real>& queries, int64_t firstKey) : all(true) {
    for (int i = 0; i < Q; i++) {
      low[i] = clamp(queries.ranges[i].first - firstKey);
      high[i] = clamp(queries.ranges[i].end - firstKey);
      if (i < queries.numQueries && (low[i] > 0 || high[i] < N)) all = false;
    }
    if (queries.numQueries < Q) all = false;
  }

 private:
  static int clamp(int64_t key) { return static_cast<int>(key < 0 ? 0 : key > N ? N : key); }
};

/// Rows [first, first + count) of one head of [B, rows, heads, size] into [capacity, padded size], times
/// `factor`; what lies outside of [0, limit) is zero.
template <typename Real>
inline void loadHead(const Real* from, int64_t b, int64_t limit, int64_t heads, int64_t head, int size,
                     int64_t first, int capacity, Real factor, Real* to) {
  const int padding = padded(size);
  for (int i = 0; i < capacity; i++) {
    Real* row = to + i * padding;
    int c = 0;
    if (first + i < limit) {
      const Real* source = from + ((b * limit + first + i) * heads + head) * size;
      for (; c < size; c++) row[c] = source[c] * factor;
    }
    for (; c < padding; c++) row[c] = 0;
  }
}

/// [N, n] -> [n, N].
template <typename Real>
inline void transposeKeys(const Real* from, int n, Real* to) {
  for (int c0 = 0; c0 < n; c0 += L) {
    for (int i = 0; i < N; i++) {
      for (int c = c0; c < c0 + L; c++) to[c * N + i] = from[i * n + c];
    }
  }
}

/// target[n] = Σ_p weights[p * stride] rows[p][n], plus the old target as `old` says; n is a multiple of 16.
template <typename Real, Old old>
inline void multiplyRow(int count, const Real* weights, int stride, const Real* rows, int n, Real* target,
                        const Real* scale) {
  constexpr int width = Vec<Real>::width;
  int c = 0;
  // Four sums at once hide the latency of an addition.
  for (; c + 4 * width <= n; c += 4 * width) {
    multiplyBlock<Real, 1, 4, old>(count, weights, 0, stride, rows + c, n, target + c, n, scale);
  }
  for (; c < n; c += width) {
    multiplyBlock<Real, 1, 1, old>(count, weights, 0, stride, rows + c, n, target + c, n, scale);
  }
}

/// target[i] = rowScale[i] target[i] + Σ_j weights[i][j] rows[j] over the keys that query i sees; keys out of
/// its reach, which may hold anything, are not read.
template <typename Real>
inline void multiplyVisible(const Visible& visible, const Real* weights, const Real* rows, int n,
                            Real* target, const Real* rowScale) {
  if (visible.all) {
    multiply<Real, Old::scaleRows>(Q, n, N, weights, N, 1, rows, n, target, n, rowScale);
    return;
  }
  for (int i = 0; i < Q; i++) {
    const int low = visible.low[i], count = visible.high[i] - low;
    if (count <= 0) continue;
    multiplyRow<Real, Old::scaleRows>(count, weights + i * N + low, 1, rows + low * n, n, target + i * n,
                                      rowScale + i);
  }
}

/// target[j] = Σ_i weights[i][j] rows[i] over the queries that see key j.
template <typename Real>
inline void multiplySeeing(const Visible& visible, const Real* weights, const Real* rows, int n,
                           Real* target) {
  if (visible.all) {
    multiply<Real, Old::drop>(N, n, Q, weights, 1, N, rows, n, target, n);
    return;
  }
  for (int j = 0; j < N; j++) {
    // Ranges only move forward with the query, so the queries that see a key are neighbours.
    int begin = 0;
    while (begin < Q && !(visible.low[begin] <= j && j < visible.high[begin])) begin++;
    int end = begin;
    while (end < Q && visible.low[end] <= j && j < visible.high[end]) end++;
    multiplyRow<Real, Old::drop>(end - begin, weights + begin * N + j, N, rows + begin * n, n, target + j * n,
                                 nullptr);
  }
}

/// Hands out a thread's scratch, 64-byte aligned.
template <typename Real>
struct Scratch {
  Real* next;
  explicit Scratch(void* memory) : next(static_cast<Real*>(memory)) {}
  Real* take(int count) {
    Real* p = next;
    next += padded(count);
    return p;
  }
};

}  // namespace
}  // namespace LONGSCAN_LEVEL
}  // namespace longscan
