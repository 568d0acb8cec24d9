#include <vector>

#include "../../addon/args.h"
#include "bind_cuda.h"
#include "causal_conv.h"

namespace longscan {

namespace {

/// The tensors that both passes read.
struct ConvTensors {
  TensorRef x, halo, taps, resets, bias;
  bool silu;

  int64_t batch() const { return x.dim(0); }
  int64_t tokens() const { return x.dim(1); }
  int64_t channels() const { return x.dim(2); }
  int64_t width() const { return taps.dim(0); }
  template <typename T>
  CausalConv<T> as() const {
    return {x.as<T>(), halo.as<T>(), taps.as<T>(), resets.as<int32_t>(), tokens(), width(), channels()};
  }
};

ConvTensors convArguments(Args& args) {
  const TensorRef x = args.tensor("x");
  const TensorRef halo = args.optionalTensor("halo");
  const TensorRef taps = args.tensor("taps");
  const TensorRef resets = args.optionalTensor("resets");
  const TensorRef bias = args.optionalTensor("bias");
  const bool silu = args.flag("silu");
  args.checkSameType(x, taps);
  args.check(x.numDims == 3, "x is not [batch, tokens, channels]");
  args.check(taps.numDims == 2 && taps.dim(0) >= 1 && taps.dim(1) == x.dim(2),
             "taps is not [width, channels]");
  args.checkSize(halo, x, x.dim(0) * (taps.dim(0) - 1) * x.dim(2), "halo");
  args.checkResets(resets, x.dim(0), x.dim(1));
  args.checkSize(bias, x, x.dim(2), "bias");
  return {x, halo, taps, resets, bias, silu};
}

Napi::Value bindForward(Args& args) {
  args.stream();
  const ConvTensors conv = convArguments(args);
  const TensorRef y = args.sizedTensor("y", conv.x, conv.x.numElements);
  args.enqueueRanges(y.dtype, conv.batch() * conv.tokens(), conv.width() * conv.channels(),
                     [=](auto zero, int64_t begin, int64_t end) {
                       using T = decltype(zero);
                       causalConvForward(conv.as<T>(), conv.bias.as<T>(), conv.silu, y.as<T>(), begin, end);
                     });
  return args.env().Undefined();
}

Napi::Value bindBackward(Args& args) {
  args.stream();
  const ConvTensors conv = convArguments(args);
  const int64_t numBlocks =
      conv.batch() * ((conv.tokens() + causalConvBlockTokens - 1) / causalConvBlockTokens);
  const TensorRef dy = args.sizedTensor("dy", conv.x, conv.x.numElements);
  const TensorRef dx = args.sizedTensor("dx", conv.x, conv.x.numElements);
  const TensorRef dHalo = args.optionalSizedTensor("dHalo", conv.x, conv.halo.numElements);
  const TensorRef blocks =
      args.sizedTensor("blocks", conv.x, numBlocks * (conv.width() + 1) * conv.channels());
  args.check(bool(dHalo) == bool(conv.halo), "halo and dHalo go together");
  const int64_t scratchRows = conv.silu ? causalConvBlockTokens + conv.width() - 1 : 0;
  args.enqueueRanges(dy.dtype, numBlocks, 3 * causalConvBlockTokens * conv.taps.numElements,
                     [=](auto zero, int64_t begin, int64_t end) {
                       using T = decltype(zero);
                       std::vector<T> scratch(static_cast<size_t>(scratchRows * conv.channels()));
                       causalConvBackward(conv.as<T>(), conv.bias.as<T>(), conv.silu, dy.as<T>(), dx.as<T>(),
                                          dHalo.as<T>(), blocks.as<T>(), scratch.data(), begin, end);
                     });
  return args.env().Undefined();
}

}  // namespace

void register_causal_conv(Registry& registry) {
  registry.add("causalConvForward", 8, bindForward);
  registry.add("causalConvBackward", 11, bindBackward);
  registerCausalConvCuda(registry);
}

}  // namespace longscan
