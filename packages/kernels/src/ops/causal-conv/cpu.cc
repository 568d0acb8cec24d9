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

template <typename T>
static inline Vec<T> outputOf(ConvOutput kind, Vec<T> z, Vec<T> dy) {
  if (kind == ConvOutput::linear) return z;
  if (kind == ConvOutput::silu) return z * vsigmoid(z);
  const SigmoidPair<T> s = vsigmoidPair(z);
  return dy * s.plus * (Vec<T>::set(T(1)) + z * s.minus);
}

template <typename T>
static inline void forwardTokens(const CausalConv<T>& conv, const T* bias, ConvOutput kind, const T* dy, T* y,
                                 int64_t begin, int64_t end) {
  using V = Vec<T>;
  const int64_t channels = conv.channels;
  for (int64_t row = begin; row < end; row++) {
    const int64_t sequence = row / conv.tokens;
    const int64_t token = row % conv.tokens;
    const int64_t reach = reachBack(conv, sequence, token);
    const T* ownTap = conv.taps + (conv.width - 1) * channels;
    forRow<T>(channels, [=, &conv](int64_t i, int count) {
      V z = bias == nullptr ? V::zero() : loadUpTo(bias + i, count);
      forTaps(conv, sequence, token, reach, [&](int64_t back, const T* source) {
        z = z + loadUpTo(ownTap - back * channels + i, count) * loadUpTo(source + i, count);
      });
      const V gradient = dy == nullptr ? z : loadUpTo(dy + row * channels + i, count);
      storeUpTo(outputOf(kind, z, gradient), y + row * channels + i, count);
    });
  }
}

template <typename T>
static inline void backwardPositions(const CausalConv<T>& conv, const T* dz, T* dx, T* dHalo, int64_t begin,
                                     int64_t end) {
  using V = Vec<T>;
  const int64_t channels = conv.channels;
  const int64_t haloRows = conv.haloRows();
  for (int64_t item = begin; item < end; item++) {
    const int64_t sequence = item / (haloRows + conv.tokens);
    const int64_t position = item % (haloRows + conv.tokens) - haloRows;
    const int64_t reach = reachAhead(conv, sequence, position);
    const T* ownTap = conv.taps + (conv.width - 1) * channels;
    const T* gradients = dz + sequence * conv.tokens * channels;
    T* target = position >= 0 ? dx + (sequence * conv.tokens + position) * channels
                              : dHalo + (sequence * haloRows + haloRows + position) * channels;
    forRow<T>(channels, [=](int64_t i, int count) {
      V sum = V::zero();
      for (int64_t ahead = position < 0 ? -position : 0; ahead <= reach; ahead++) {
        sum = sum + loadUpTo(ownTap - ahead * channels + i, count) *
                        loadUpTo(gradients + (position + ahead) * channels + i, count);
      }
      storeUpTo(sum, target + i, count);
    });
  }
}

template <typename T>
static inline void tapBlocks(const CausalConv<T>& conv, const T* dz, T* dTaps, int64_t numTokens,
                             int64_t begin, int64_t end) {
  const int64_t channels = conv.channels;
  for (int64_t block = begin; block < end; block++) {
    T* sums = dTaps + block * conv.width * channels;
    for (int64_t i = 0; i < conv.width * channels; i++) sums[i] = T(0);
    T* ownSum = sums + (conv.width - 1) * channels;
    const int64_t first = block * causalConvBlockTokens;
    const int64_t last =
        first + causalConvBlockTokens < numTokens ? first + causalConvBlockTokens : numTokens;
    for (int64_t row = first; row < last; row++) {
      const int64_t sequence = row / conv.tokens;
      const int64_t token = row % conv.tokens;
      const int64_t reach = reachBack(conv, sequence, token);
      forRow<T>(channels, [=, &conv](int64_t i, int count) {
        const Vec<T> gradient = loadUpTo(dz + row * channels + i, count);
        forTaps(conv, sequence, token, reach, [&](int64_t back, const T* source) {
          T* sum = ownSum - back * channels + i;
          storeUpTo(loadUpTo(sum, count) + gradient * loadUpTo(source + i, count), sum, count);
        });
      });
    }
  }
}

void causalConvForward(const CausalConv<float>& conv, const float* bias, ConvOutput kind, const float* dy,
                       float* y, int64_t begin, int64_t end) {
  forwardTokens(conv, bias, kind, dy, y, begin, end);
}

void causalConvForward(const CausalConv<double>& conv, const double* bias, ConvOutput kind, const double* dy,
                       double* y, int64_t begin, int64_t end) {
  forwardTokens(conv, bias, kind, dy, y, begin, end);
}

void causalConvBackward(const CausalConv<float>& conv, const float* dz, float* dx, float* dHalo,
                        int64_t begin, int64_t end) {
  backwardPositions(conv, dz, dx, dHalo, begin, end);
}

void causalConvBackward(const CausalConv<double>& conv, const double* dz, double* dx, double* dHalo,
                        int64_t begin, int64_t end) {
  backwardPositions(conv, dz, dx, dHalo, begin, end);
}

void causalConvTaps(const CausalConv<float>& conv, const float* dz, float* dTaps, int64_t numTokens,
                    int64_t begin, int64_t end) {
  tapBlocks(conv, dz, dTaps, numTokens, begin, end);
}

void causalConvTaps(const CausalConv<double>& conv, const double* dz, double* dTaps, int64_t numTokens,
                    int64_t begin, int64_t end) {
  tapBlocks(conv, dz, dTaps, numTokens, begin, end);
}

}  // namespace LONGSCAN_LEVEL
}  // namespace longscan
