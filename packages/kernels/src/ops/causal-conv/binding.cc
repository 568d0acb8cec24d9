#include "../../addon/args.h"
#include "causal_conv.h"

namespace longscan {

namespace {

/// The tensors that every pass reads.
struct ConvTensors {
  TensorRef x, halo, taps, resets;

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
  args.checkSameType(x, taps);
  args.check(x.numDims == 3, "x is not [batch, tokens, channels]");
  args.check(taps.numDims == 2 && taps.dim(0) >= 1 && taps.dim(1) == x.dim(2),
             "taps is not [width, channels]");
  if (halo) {
    args.checkSameType(x, halo);
    args.check(halo.numElements == x.dim(0) * (taps.dim(0) - 1) * x.dim(2),
               "halo is not [batch, width - 1, channels]");
  }
  if (resets) {
    args.check(resets.dtype == DType::i32 && resets.numElements == x.dim(0) * x.dim(1),
               "resets is not i32 [batch, tokens]");
  }
  return {x, halo, taps, resets};
}

void checkLikeX(Args& args, const ConvTensors& conv, const TensorRef& tensor) {
  args.checkSameType(conv.x, tensor);
  args.check(tensor.numElements == conv.x.numElements, "a tensor differs from x in size");
}

Napi::Value bindForward(Args& args) {
  args.stream();
  const ConvTensors conv = convArguments(args);
  const TensorRef bias = args.optionalTensor("bias");
  const bool silu = args.flag("silu");
  const TensorRef dy = args.optionalTensor("dy");
  const TensorRef y = args.tensor("y");
  checkLikeX(args, conv, y);
  args.check(silu || !dy, "without an activation dy is its own gradient");
  if (dy) checkLikeX(args, conv, dy);
  if (bias) {
    args.checkSameType(conv.x, bias);
    args.check(bias.numElements == conv.channels(), "bias is not [channels]");
  }
  const ConvOutput kind = dy ? ConvOutput::siluGradient : silu ? ConvOutput::silu : ConvOutput::linear;
  args.enqueueRanges(y.dtype, conv.batch() * conv.tokens(), conv.width() * conv.channels(),
                     [=](auto zero, int64_t begin, int64_t end) {
                       using T = decltype(zero);
                       causalConvForward(conv.as<T>(), bias.as<T>(), kind, dy.as<T>(), y.as<T>(), begin, end);
                     });
  return args.env().Undefined();
}

Napi::Value bindBackward(Args& args) {
  args.stream();
  const ConvTensors conv = convArguments(args);
  const TensorRef dz = args.tensor("dz");
  const TensorRef dx = args.tensor("dx");
  const TensorRef dHalo = args.optionalTensor("dHalo");
  checkLikeX(args, conv, dz);
  checkLikeX(args, conv, dx);
  args.check(bool(dHalo) == bool(conv.halo) && dHalo.numElements == conv.halo.numElements,
             "dHalo is not like halo");
  if (dHalo) args.checkSameType(conv.x, dHalo);
  const int64_t positions = conv.tokens() + (conv.halo ? conv.width() - 1 : 0);
  args.enqueueRanges(dz.dtype, conv.batch() * positions, conv.width() * conv.channels(),
                     [=](auto zero, int64_t begin, int64_t end) {
                       using T = decltype(zero);
                       causalConvBackward(conv.as<T>(), dz.as<T>(), dx.as<T>(), dHalo.as<T>(), begin, end);
                     });
  return args.env().Undefined();
}

Napi::Value bindTaps(Args& args) {
  args.stream();
  const ConvTensors conv = convArguments(args);
  const TensorRef dz = args.tensor("dz");
  const TensorRef dTaps = args.tensor("dTaps");
  checkLikeX(args, conv, dz);
  args.checkSameType(conv.x, dTaps);
  const int64_t numTokens = conv.batch() * conv.tokens();
  const int64_t numBlocks = (numTokens + causalConvBlockTokens - 1) / causalConvBlockTokens;
  args.check(dTaps.numElements == numBlocks * conv.taps.numElements,
             "dTaps is not [blocks, width, channels]");
  args.enqueueRanges(dz.dtype, numBlocks, causalConvBlockTokens * conv.taps.numElements,
                     [=](auto zero, int64_t begin, int64_t end) {
                       using T = decltype(zero);
                       causalConvTaps(conv.as<T>(), dz.as<T>(), dTaps.as<T>(), numTokens, begin, end);
                     });
  return args.env().Undefined();
}

}  // namespace

void register_causal_conv(Registry& registry) {
  registry.add("causalConvForward", 9, bindForward);
  registry.add("causalConvBackward", 8, bindBackward);
  registry.add("causalConvTaps", 7, bindTaps);
}

}  // namespace longscan
