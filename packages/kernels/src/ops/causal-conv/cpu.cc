#include "../../core/simd_rows.h"
#include "../pointwise/vector_math.h"
#include "causal_conv.h"

namespace longscan {
namespace LONGSCAN_LEVEL {

/// How many tokens before this one its taps may read: those of its document that are at hand.
template <typename T>
static inline int64_t reachBack(const CausalConv<T>& conv, int64_t sequence, int64_t token) {
  const int32_t* resets = conv.resets == nullptr ? nullptr : conv.resets + sequence * conv.tokens;
  int64_t reach = 0;
  for (; reach + 1 < conv.width; reach++) {
    const int64_t position = token - reach;
    if (position == -conv.haloRows()) break;
    if (resets != nullptr && position >= 0 && resets[position] != 0) break;
  }
  return reach;
}

/// Calls f(back, row) for the token and the `reach` before it, the row being that of the token `back` before.
template <typename T, typename F>
static inline void forTaps(const CausalConv<T>& conv, int64_t sequence, int64_t token, int64_t reach, F f) {
  const int64_t channels = conv.channels;
  const T* own = conv.x + (sequence * conv.tokens + token) * channels;
  const int64_t inSlice = reach < token ? reach : token;
  for (int64_t back = 0; back <= inSlice; back++) f(back, own - back * channels);
  if (reach == inSlice) return;
  const T* haloEnd = conv.halo + (sequence + 1) * (conv.width - 1) * channels;
  for (int64_t back = inSlice + 1; back <= reach; back++) f(back, haloEnd + (token - back) * channels);
}

/// How many tokens after this position read it.
template <typename T>
static inline int64_t reachAhead(const CausalConv<T>& conv, int64_t sequence, int64_t position) {
  const int32_t* resets = conv.resets == nullptr ? nullptr : conv.resets + sequence * conv.tokens;
  int64_t reach = 0;
  for (; reach + 1 < conv.width; reach++) {
    const int64_t next = position + reach + 1;
    if (next == conv.tokens) break;
    if (resets != nullptr && next >= 0 && resets[next] != 0) break;
  }
  return reach;
}

enum class Output { linear, silu, siluGradient };

/// y = z, silu(z), or dy * silu'(z), with z = bias + Σ taps at one token; rows of `channels`.
template <typename T>
static inline void tokenRow(const CausalConv<T>& conv, const T* bias, Output kind, const T* dy, T* y,
                            int64_t sequence, int64_t token) {
  using V = Vec<T>;
  const int64_t channels = conv.channels;
  const int64_t reach = reachBack(conv, sequence, token);
  const T* ownTap = conv.taps + (conv.width - 1) * channels;
  forRow<T>(channels, [=, &conv](int64_t i, int count) {
    V z = bias == nullptr ? V::zero() : loadUpTo(bias + i, count);
    forTaps(conv, sequence, token, reach, [&](int64_t back, const T* source) {
      z = z + loadUpTo(ownTap - back * channels + i, count) * loadUpTo(source + i, count);
    });
    if (kind == Output::silu) z = z * vsigmoid(z);
    if (kind == Output::siluGradient) {
      const SigmoidPair<T> s = vsigmoidPair(z);
      z = loadUpTo(dy + i, count) * s.plus * (V::set(T(1)) + z * s.minus);
    }
    storeUpTo(z, y + i, count);
  });
}

template <typename T>
static inline void forwardTokens(const CausalConv<T>& conv, const T* bias, bool silu, T* y, int64_t begin,
                                 int64_t end) {
  const Output kind = silu ? Output::silu : Output::linear;
  for (int64_t row = begin; row < end; row++) {
    tokenRow<T>(conv, bias, kind, nullptr, y + row * conv.channels, row / conv.tokens, row % conv.tokens);
  }
}

/// The gradient of one position of x or of the halo: from dz, rows from token `first` on.
template <typename T>
static inline void positionRow(const CausalConv<T>& conv, const T* dz, int64_t first, T* target,
                               int64_t sequence, int64_t position) {
  using V = Vec<T>;
  const int64_t channels = conv.channels;
  const int64_t reach = reachAhead(conv, sequence, position);
  const T* ownTap = conv.taps + (conv.width - 1) * channels;
  forRow<T>(channels, [=](int64_t i, int count) {
    V sum = V::zero();
    for (int64_t ahead = position < 0 ? -position : 0; ahead <= reach; ahead++) {
      sum = sum + loadUpTo(ownTap - ahead * channels + i, count) *
                      loadUpTo(dz + (position + ahead - first) * channels + i, count);
    }
    storeUpTo(sum, target + i, count);
  });
}

/// Adds what one token gives to the gradients of taps and bias, `sums` [width + 1, channels].
template <typename T>
static inline void addWeightGradients(const CausalConv<T>& conv, const T* dz, T* sums, int64_t sequence,
                                      int64_t token) {
  const int64_t channels = conv.channels;
  const int64_t reach = reachBack(conv, sequence, token);
  T* ownSum = sums + (conv.width - 1) * channels;
  T* biasSum = sums + conv.width * channels;
  forRow<T>(channels, [=, &conv](int64_t i, int count) {
    const Vec<T> gradient = loadUpTo(dz + i, count);
    forTaps(conv, sequence, token, reach, [&](int64_t back, const T* source) {
      T* sum = ownSum - back * channels + i;
      storeUpTo(loadUpTo(sum, count) + gradient * loadUpTo(source + i, count), sum, count);
    });
    storeUpTo(loadUpTo(biasSum + i, count) + gradient, biasSum + i, count);
  });
}

template <typename T>
static inline void backwardBlocks(const CausalConv<T>& conv, const T* bias, bool silu, const T* dy, T* dx,
                                  T* dHalo, T* blocks, T* scratch, int64_t begin, int64_t end) {
  const int64_t channels = conv.channels;
  const int64_t blocksPerSequence = (conv.tokens + causalConvBlockTokens - 1) / causalConvBlockTokens;
  const auto smaller = [](int64_t a, int64_t b) { return a < b ? a : b; };
  for (int64_t block = begin; block < end; block++) {
    const int64_t sequence = block / blocksPerSequence;
    const int64_t first = block % blocksPerSequence * causalConvBlockTokens;
    const int64_t last = smaller(first + causalConvBlockTokens, conv.tokens);
    const int64_t firstRow = sequence * conv.tokens + first;
    const T* dz = dy + firstRow * channels;
    if (silu) {
      // The tokens after the block that read it are computed in the next block too.
      for (int64_t token = first; token < smaller(last + conv.width - 1, conv.tokens); token++) {
        const int64_t offset = (token - first) * channels;
        tokenRow(conv, bias, Output::siluGradient, dz + offset, scratch + offset, sequence, token);
      }
      dz = scratch;
    }
    for (int64_t position = first == 0 ? -conv.haloRows() : first; position < 0; position++) {
      T* target = dHalo + ((sequence + 1) * conv.haloRows() + position) * channels;
      positionRow(conv, dz, first, target, sequence, position);
    }
    T* sums = blocks + block * (conv.width + 1) * channels;
    for (int64_t i = 0; i < (conv.width + 1) * channels; i++) sums[i] = T(0);
    for (int64_t token = first; token < last; token++) {
      const int64_t offset = (token - first) * channels;
      positionRow(conv, dz, first, dx + firstRow * channels + offset, sequence, token);
      addWeightGradients(conv, dz + offset, sums, sequence, token);
    }
  }
}

void causalConvForward(const CausalConv<float>& conv, const float* bias, bool silu, float* y, int64_t begin,
                       int64_t end) {
  forwardTokens(conv, bias, silu, y, begin, end);
}

void causalConvForward(const CausalConv<double>& conv, const double* bias, bool silu, double* y,
                       int64_t begin, int64_t end) {
  forwardTokens(conv, bias, silu, y, begin, end);
}

void causalConvBackward(const CausalConv<float>& conv, const float* bias, bool silu, const float* dy,
                        float* dx, float* dHalo, float* blocks, float* scratch, int64_t begin, int64_t end) {
  backwardBlocks(conv, bias, silu, dy, dx, dHalo, blocks, scratch, begin, end);
}

void causalConvBackward(const CausalConv<double>& conv, const double* bias, bool silu, const double* dy,
                        double* dx, double* dHalo, double* blocks, double* scratch, int64_t begin,
                        int64_t end) {
  backwardBlocks(conv, bias, silu, dy, dx, dHalo, blocks, scratch, begin, end);
}

}  // namespace LONGSCAN_LEVEL
}  // namespace longscan
