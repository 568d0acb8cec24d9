#include "adamw.h"

#include <cmath>

#include "../../addon/gpu_args.h"
#include "cuda.h"

namespace longscan {

namespace {

/// Square root and division cost about this many additions.
constexpr int64_t workPerElement = 8;

struct AdamwTensors {
  TensorRef parameter, low, gradient, m, v, clip, squares;
};

/// Only there are parameters in halves.
Napi::Value updateOnGpu(Args& args, const AdamwStep& step, const AdamwRounding& rounding,
                        const AdamwTensors& tensors) {
  const auto& [parameter, low, gradient, m, v, clip, squares] = tensors;
  const DType type = low ? DType::bf16 : DType::f32;
  args.check(parameter.dtype == type && (!low || low.dtype == type), "parameter is neither f32 nor two bf16");
  args.check(gradient.dtype == DType::f32, "gradient is not f32");
  const auto constants = step.as<float>();
  const LongscanAdamw call{constants.beta1, constants.beta2,       constants.rest1, constants.rest2,
                           constants.rate,  constants.correction2, constants.eps,   constants.decay};
  const auto kernel = LONGSCAN_CUDA_FUNCTION(args, longscanAdamw);
  const LongscanAdamwParameter where{low ? nullptr : parameter.as<float>(),
                                     low ? parameter.as<uint16_t>() : nullptr, low.as<uint16_t>()};
  const LongscanAdamwMoments moments{m.data,
                                     v.data,
                                     m.dtype == DType::bf16,
                                     {rounding.key.words[0], rounding.key.words[1]},
                                     rounding.step,
                                     rounding.firstElement};
  args.enqueueLaunch([=, count = parameter.numElements, gradient = gradient.as<float>(),
                      decision = clip.as<double>(), parts = squares.as<double>()](CUstream_st* stream) {
    return kernel(&call, &where, &moments, gradient, decision, parts, count, stream);
  });
  return args.env().Undefined();
}

/// `updateRange(step, begin, end)` over all elements, unless the gradient's norm is not finite.
template <typename UpdateRange>
void updateOnCpu(Args& args, Stream& stream, const AdamwStep& step, const AdamwTensors& tensors,
                 UpdateRange updateRange) {
  ThreadPool& pool = stream.context().pool();
  const auto* const decision = tensors.clip.as<double>();
  args.enqueue([=, &pool, count = tensors.parameter.numElements] {
    if (decision[2] != 1) return;
    AdamwStep scaled = step;
    scaled.gradientFactor = decision[0];
    parallelFor(pool, count, workPerElement,
                [&](int64_t begin, int64_t end) { updateRange(scaled, begin, end); });
  });
}

Napi::Value bindAdamwUpdate(Args& args) {
  Stream& stream = args.stream();
  AdamwTensors tensors;
  tensors.parameter = args.tensor("parameter");
  tensors.low = args.optionalTensor("low");
  tensors.gradient = args.tensor("gradient");
  tensors.m = args.tensor("m");
  tensors.v = args.tensor("v");
  tensors.clip = args.tensor("clip", DType::f64);
  tensors.squares = args.optionalTensor("squares");
  AdamwStep step{};
  step.learningRate = args.number("learningRate");
  step.beta1 = args.number("beta1");
  step.beta2 = args.number("beta2");
  step.eps = args.number("eps");
  step.weightDecay = args.number("weightDecay");
  const int64_t number = args.integer("step");
  AdamwRounding rounding{};
  rounding.key = {{static_cast<uint32_t>(args.integer("key0")), static_cast<uint32_t>(args.integer("key1"))}};
  rounding.step = static_cast<uint32_t>(number);
  rounding.firstElement = args.integer("firstElement");
  const auto& [parameter, low, gradient, m, v, clip, squares] = tensors;
  for (const TensorRef& tensor : {gradient, m, v})
    args.check(tensor.numElements == parameter.numElements, "tensors differ in size");
  args.checkSameType(m, v);
  const bool isRounded = m.dtype == DType::bf16;
  if (!isRounded) args.checkSameType(gradient, m);
  args.check(clip.numElements == 3, "clip is not [3]");
  args.check(!low || low.numElements == parameter.numElements, "low differs in size");
  args.check(
      !squares || (squares.dtype == DType::f64 &&
                   squares.numElements == (parameter.numElements + elementsPerSum - 1) / elementsPerSum),
      "squares is not f64 with a number for each 1,024 elements");
  args.check(number >= 1, "steps are counted from 1");
  args.check(rounding.firstElement >= 0, "firstElement is below zero");
  step.correction1 = 1 / (1 - std::pow(step.beta1, static_cast<double>(number)));
  step.correction2 = 1 / (1 - std::pow(step.beta2, static_cast<double>(number)));
  if (args.onGpu()) return updateOnGpu(args, step, rounding, tensors);
  args.check(!low, "only GPUs hold parameters in halves");
  args.check(!squares, "only GPUs sum squares beside an update");
  args.checkSameType(parameter, gradient);
  if (isRounded) {
    args.check(parameter.dtype == DType::f32, "moments in bf16 are those of f32 parameters");
    updateOnCpu(args, stream, step, tensors, [=](const AdamwStep& scaled, int64_t begin, int64_t end) {
      adamwUpdateRounded(scaled, rounding, tensors.parameter.as<float>(), tensors.gradient.as<float>(),
                         tensors.m.as<uint16_t>(), tensors.v.as<uint16_t>(), begin, end);
    });
  } else {
    dispatchFloat(args, parameter.dtype, [&](auto zero) {
      using T = decltype(zero);
      updateOnCpu(args, stream, step, tensors, [=](const AdamwStep& scaled, int64_t begin, int64_t end) {
        adamwUpdate(scaled, tensors.parameter.as<T>(), tensors.gradient.as<T>(), tensors.m.as<T>(),
                    tensors.v.as<T>(), begin, end);
      });
    });
  }
  return args.env().Undefined();
}

}  // namespace

void register_adamw(Registry& registry) {
  registry.add("adamwUpdate", 17, bindAdamwUpdate);
}

}  // namespace longscan
