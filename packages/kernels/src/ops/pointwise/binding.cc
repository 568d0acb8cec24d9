#include <algorithm>
#include <cstring>

#include "../../addon/gpu_args.h"
#include "cuda.h"
#include "pointwise.h"

namespace longscan {

namespace {

/// An exponential costs about this many additions.
constexpr int64_t workPerElement = 8;

Activation activationArgument(Args& args) {
  const int64_t code = args.integer("activation");
  args.check(code >= 0 && code < numActivations,
             [&] { return "unknown activation " + std::to_string(code); });
  return static_cast<Activation>(code);
}

void checkSameSize(Args& args, const TensorRef& a, const TensorRef& b) {
  args.check(a.numElements == b.numElements, "tensors differ in size");
}

void checkAlike(Args& args, const TensorRef& a, const TensorRef& b) {
  args.checkSameType(a, b);
  checkSameSize(args, a, b);
}

Napi::Value bindActivationForward(Args& args) {
  args.stream();
  const Activation kind = activationArgument(args);
  const double scale = args.number("scale");
  const TensorRef x = args.tensor("x");
  const TensorRef y = args.tensor("y");
  checkSameSize(args, x, y);
  if (args.onGpu()) {
    const auto kernel = LONGSCAN_CUDA_FUNCTION(args, longscanActivation);
    const LongscanArray from = gpuArray(args, x), to = gpuArray(args, y);
    args.check(from.isBf16 || !to.isBf16, "y is bf16 and x is not");
    args.enqueueLaunch([=](CUstream_st* stream) {
      return kernel(static_cast<int>(kind), static_cast<float>(scale), from, to, x.numElements, stream);
    });
    return args.env().Undefined();
  }
  args.checkSameType(x, y);
  args.enqueueRanges(x.dtype, x.numElements, workPerElement, [=](auto zero, int64_t begin, int64_t end) {
    using T = decltype(zero);
    activationForward(kind, static_cast<T>(scale), x.as<T>(), y.as<T>(), begin, end);
  });
  return args.env().Undefined();
}

Napi::Value bindActivationBackward(Args& args) {
  args.stream();
  const Activation kind = activationArgument(args);
  const double scale = args.number("scale");
  const TensorRef x = args.tensor("x");
  const TensorRef dy = args.tensor("dy");
  const TensorRef dx = args.tensor("dx");
  checkSameSize(args, x, dy);
  checkAlike(args, x, dx);
  if (args.onGpu()) {
    const auto kernel = LONGSCAN_CUDA_FUNCTION(args, longscanActivationBackward);
    const LongscanArray from = gpuArray(args, x), gradient = gpuArray(args, dy);
    args.check(from.isBf16 || !gradient.isBf16, "dy is bf16 and x is not");
    args.enqueueLaunch([=](CUstream_st* stream) {
      return kernel(static_cast<int>(kind), static_cast<float>(scale), from, gradient, dx.data, x.numElements,
                    stream);
    });
    return args.env().Undefined();
  }
  args.checkSameType(x, dy);
  args.enqueueRanges(x.dtype, x.numElements, workPerElement, [=](auto zero, int64_t begin, int64_t end) {
    using T = decltype(zero);
    activationBackward(kind, static_cast<T>(scale), x.as<T>(), dy.as<T>(), dx.as<T>(), begin, end);
  });
  return args.env().Undefined();
}

Napi::Value bindMultiply(Args& args) {
  args.stream();
  const TensorRef a = args.tensor("a");
  const TensorRef b = args.tensor("b");
  const TensorRef y = args.tensor("y");
  checkSameSize(args, a, b);
  checkSameSize(args, a, y);
  if (args.onGpu()) {
    const auto kernel = LONGSCAN_CUDA_FUNCTION(args, longscanMultiply);
    const LongscanArray first = gpuArray(args, a), second = gpuArray(args, b), to = gpuArray(args, y);
    args.enqueueLaunch([=](CUstream_st* stream) { return kernel(first, second, to, y.numElements, stream); });
    return args.env().Undefined();
  }
  args.checkSameType(a, b);
  args.checkSameType(a, y);
  args.enqueueRanges(a.dtype, a.numElements, 1, [=](auto zero, int64_t begin, int64_t end) {
    using T = decltype(zero);
    multiply(a.as<T>(), b.as<T>(), y.as<T>(), begin, end);
  });
  return args.env().Undefined();
}

Napi::Value bindAffine(Args& args) {
  args.stream();
  const double factor = args.number("factor");
  const double shift = args.number("shift");
  const TensorRef x = args.tensor("x");
  const TensorRef y = args.tensor("y");
  checkAlike(args, x, y);
  if (args.onGpu()) {
    const auto kernel = LONGSCAN_CUDA_FUNCTION(args, longscanAffine);
    const LongscanArray from = gpuArray(args, x), to = gpuArray(args, y);
    args.enqueueLaunch([=](CUstream_st* stream) {
      return kernel(static_cast<float>(factor), static_cast<float>(shift), from, to, x.numElements, stream);
    });
    return args.env().Undefined();
  }
  args.enqueueRanges(x.dtype, x.numElements, 1, [=](auto zero, int64_t begin, int64_t end) {
    using T = decltype(zero);
    affine(static_cast<T>(factor), static_cast<T>(shift), x.as<T>(), y.as<T>(), begin, end);
  });
  return args.env().Undefined();
}

Napi::Value bindCast(Args& args) {
  args.stream();
  const TensorRef x = args.tensor("x");
  const TensorRef y = args.tensor("y");
  checkSameSize(args, x, y);
  args.check(args.onGpu(), "no CPU kernel: only GPUs compute with bf16");
  const auto kernel = LONGSCAN_CUDA_FUNCTION(args, longscanCast);
  const LongscanArray from = gpuArray(args, x), to = gpuArray(args, y);
  args.enqueueLaunch([=](CUstream_st* stream) { return kernel(from, to, y.numElements, stream); });
  return args.env().Undefined();
}

/// The pattern of an element of a type that is no wider than four bytes.
uint32_t bitsOf(DType dtype, double value) {
  const auto single = static_cast<float>(value);
  const auto whole = static_cast<int32_t>(value);
  uint32_t bits;
  std::memcpy(&bits, dtype == DType::i32 ? static_cast<const void*>(&whole) : &single, sizeof(bits));
  if (dtype != DType::bf16) return bits;
  return value != value ? 0x7fc0 : (bits + 0x7fff + (bits >> 16 & 1)) >> 16;
}

void fillOnGpu(Args& args, Stream& stream, const TensorRef& target, double value) {
  if (value == 0) {
    args.enqueueAnywhere(
        [=, timeline = stream.timeline()] { timeline->fill(target.data, 0, target.bytes()); });
    return;
  }
  args.check(target.dtype != DType::f64, "on a GPU f64 is only filled with zero");
  const auto kernel = LONGSCAN_CUDA_FUNCTION(args, longscanFill);
  const int isHalf = target.dtype == DType::bf16;
  args.enqueueLaunch([=, bits = bitsOf(target.dtype, value)](CUstream_st* gpuStream) {
    return kernel(bits, isHalf, target.data, target.numElements, gpuStream);
  });
}

Napi::Value bindFill(Args& args) {
  Stream& stream = args.stream();
  const TensorRef target = args.tensor("target");
  const double value = args.number("value");
  if (args.onGpu()) {
    fillOnGpu(args, stream, target, value);
    return args.env().Undefined();
  }
  ThreadPool& pool = stream.context().pool();
  args.enqueue([=, &pool] {
    parallelFor(pool, target.numElements, 1, [&](int64_t begin, int64_t end) {
      switch (target.dtype) {
        case DType::f32:
          return std::fill(target.as<float>() + begin, target.as<float>() + end, float(value));
        case DType::f64:
          return std::fill(target.as<double>() + begin, target.as<double>() + end, value);
        case DType::i32:
          return std::fill(target.as<int32_t>() + begin, target.as<int32_t>() + end, int32_t(value));
        case DType::bf16:
          return std::fill(target.as<uint16_t>() + begin, target.as<uint16_t>() + end,
                           static_cast<uint16_t>(bitsOf(DType::bf16, value)));
      }
    });
  });
  return args.env().Undefined();
}

Napi::Value bindCopy(Args& args) {
  Stream& stream = args.stream();
  const TensorRef source = args.tensor("source");
  const TensorRef target = args.tensor("target");
  checkAlike(args, source, target);
  if (CudaTimeline* timeline = stream.timeline()) {
    args.enqueueAnywhere([=] { timeline->copy(source.data, target.data, source.bytes()); });
    return args.env().Undefined();
  }
  ThreadPool& pool = stream.context().pool();
  args.enqueue([=, &pool] {
    const auto bytes = static_cast<int64_t>(source.bytes());
    parallelFor(pool, bytes, 1, [&](int64_t begin, int64_t end) {
      std::memmove(target.as<char>() + begin, source.as<char>() + begin, static_cast<size_t>(end - begin));
    });
  });
  return args.env().Undefined();
}

}  // namespace

void register_pointwise(Registry& registry) {
  registry.add("activationForward", 5, bindActivationForward);
  registry.add("activationBackward", 6, bindActivationBackward);
  registry.add("multiply", 4, bindMultiply);
  registry.add("affine", 5, bindAffine);
  registry.add("cast", 3, bindCast);
  registry.add("fill", 3, bindFill);
  registry.add("copy", 3, bindCopy);
}

}  // namespace longscan
