#pragma once

#include <cstdint>

#include "../../core/cpu.h"

namespace longscan {

/// x [batch, tokens, channels], taps [width, channels] (the last one is the token's own), halo
/// [batch, width - 1, channels] (the tokens before x) or null for zeros, resets [batch, tokens], 1 where a
/// document starts, or null. A tap that lies before its token's document is left out, whatever its value.
template <typename T>
struct CausalConv {
  const T* x;
  const T* halo;
  const T* taps;
  const int32_t* resets;
  int64_t tokens;
  int64_t width;
  int64_t channels;

  int64_t haloRows() const { return halo == nullptr ? 0 : width - 1; }
};

enum class ConvOutput { linear, silu, siluGradient };

/// Tokens whose share of the taps' gradient is summed into one block; fixed, so that the result does not
/// depend on the number of threads. `blockTokens` in index.ts.
constexpr int64_t causalConvBlockTokens = 64;

}  // namespace longscan

// Tokens [begin, end) of batch * tokens: z = bias + Σ taps, then y = z, silu(z), or dy * silu'(z).
LONGSCAN_KERNEL(causalConvForward,
                (const CausalConv<float>& conv, const float* bias, ConvOutput kind, const float* dy, float* y,
                 int64_t begin, int64_t end),
                (conv, bias, kind, dy, y, begin, end))
LONGSCAN_KERNEL(causalConvForward,
                (const CausalConv<double>& conv, const double* bias, ConvOutput kind, const double* dy,
                 double* y, int64_t begin, int64_t end),
                (conv, bias, kind, dy, y, begin, end))
// Positions [begin, end) of batch * (halo rows + tokens): dx, and dHalo where there is a halo.
LONGSCAN_KERNEL(causalConvBackward,
                (const CausalConv<float>& conv, const float* dz, float* dx, float* dHalo, int64_t begin,
                 int64_t end),
                (conv, dz, dx, dHalo, begin, end))
LONGSCAN_KERNEL(causalConvBackward,
                (const CausalConv<double>& conv, const double* dz, double* dx, double* dHalo, int64_t begin,
                 int64_t end),
                (conv, dz, dx, dHalo, begin, end))
// Blocks [begin, end) of causalConvBlockTokens of the batch * tokens: dTaps [blocks, width, channels].
LONGSCAN_KERNEL(causalConvTaps,
                (const CausalConv<float>& conv, const float* dz, float* dTaps, int64_t numTokens,
                 int64_t begin, int64_t end),
                (conv, dz, dTaps, numTokens, begin, end))
LONGSCAN_KERNEL(causalConvTaps,
                (const CausalConv<double>& conv, const double* dz, double* dTaps, int64_t numTokens,
                 int64_t begin, int64_t end),
                (conv, dz, dTaps, numTokens, begin, end))
