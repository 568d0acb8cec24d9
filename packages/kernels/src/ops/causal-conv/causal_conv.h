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

/// Tokens of a sequence whose gradients are computed together, while they are in the cache, and whose share
/// of the gradients of taps and bias makes one row of `blocks`; fixed, so that no result depends on the
/// number of threads. `blockTokens` in index.ts.
constexpr int64_t causalConvBlockTokens = 64;

}  // namespace longscan

// Tokens [begin, end) of batch * tokens: y = act(bias + Σ taps), act SiLU or none.
LONGSCAN_KERNEL(causalConvForward,
                (const CausalConv<float>& conv, const float* bias, bool silu, float* y, int64_t begin,
                 int64_t end),
                (conv, bias, silu, y, begin, end))
LONGSCAN_KERNEL(causalConvForward,
                (const CausalConv<double>& conv, const double* bias, bool silu, double* y, int64_t begin,
                 int64_t end),
                (conv, bias, silu, y, begin, end))
// Blocks [begin, end) of causalConvBlockTokens tokens, those of a sequence in succession: dx, dHalo where
// there is a halo, and blocks [block, width + 1, channels]: the gradient of the taps, then that of the bias.
// scratch [causalConvBlockTokens + width - 1, channels].
LONGSCAN_KERNEL(causalConvBackward,
                (const CausalConv<float>& conv, const float* bias, bool silu, const float* dy, float* dx,
                 float* dHalo, float* blocks, float* scratch, int64_t begin, int64_t end),
                (conv, bias, silu, dy, dx, dHalo, blocks, scratch, begin, end))
LONGSCAN_KERNEL(causalConvBackward,
                (const CausalConv<double>& conv, const double* bias, bool silu, const double* dy, double* dx,
                 double* dHalo, double* blocks, double* scratch, int64_t begin, int64_t end),
                (conv, bias, silu, dy, dx, dHalo, blocks, scratch, begin, end))
