#include "adamw.h"

#include <cmath>

#include "../../addon/gpu_args.h"
#include "cuda.h"

namespace longscan {

namespace {

/// Square root and division cost about this many additions.
constexpr int64_t workPerElement = 8;

/// Only there are parameters in halves.
Napi::Value updateOnGpu(Args& args, const AdamwStep& step, const TensorRef& parameter, const TensorRef& low,
                        const TensorRef (&others)[3], const TensorRef& clip) {
  const DType type = low ? DType::bf16 : DType::f32;
  args.check(parameter.dtype == type && (!low || low.dtype == type), "parameter is neither f32 nor two bf16");
  for (const TensorRef& tensor : others)
    args.check(tensor.dtype == DType::f32, "gradient, m and v are not f32");
  const LongscanAdamw call{static_cast<float>(step.beta1),
                           static_cast<float>(step.beta2),
                           static_cast<float>(1 - step.beta1),
                           static_cast<float>(1 - step.beta2),
                           static_cast<float>(step.learningRate * step.correction1),
                           static_cast<float>(step.correction2),
                           static_cast<float>(step.eps),
                           static_cast<float>(step.learningRate * step.weightDecay)};
  const auto kernel = LONGSCAN_CUDA_FUNCTION(args, longscanAdamw);
  const LongscanAdamwParameter where{low ? nullptr : parameter.as<float>(),
                                     low ? parameter.as<uint16_t>() : nullptr, low.as<uint16_t>()};
  const float* const gradient = others[0].as<float>();
  float *const m = others[1].as<float>(), *const v = others[2].as<float>();
  args.enqueueLaunch([=, count = parameter.numElements](CUstream_st* stream) {
    return kernel(&call, &where, gradient, m, v, clip.as<double>(), count, stream);
  });
  return args.env().Undefined();
}

Napi::Value bindAdamwUpdate(Args& args) {
  Stream& stream = args.stream();
  const TensorRef parameter = args.tensor("parameter");
  const TensorRef low = args.optionalTensor("low");
  const TensorRef gradient = args.tensor("gradient");
  const TensorRef m = args.tensor("m");
  const TensorRef v = args.tensor("v");
  const TensorRef clip = args.tensor("clip", DType::f64);
  AdamwStep step{};
  step.learningRate = args.number("learningRate");
  step.beta1 = args.number("beta1");
  step.beta2 = args.number("beta2");
  step.eps = args.number("eps");
  step.weightDecay = args.number("weightDecay");
  const int64_t number = args.integer("step");
  for (const TensorRef& tensor : {gradient, m, v}) {
    args.checkSameType(gradient, tensor);
    args.check(tensor.numElements == parameter.numElements, "tensors differ in size");
  }
  args.check(clip.numElements == 3, "clip is not [3]");
  args.check(!low || low.numElements == parameter.numElements, "low differs in size");
  args.check(number >= 1, "steps are counted from 1");
  step.correction1 = 1 / (1 - std::pow(step.beta1, static_cast<double>(number)));
  step.correction2 = 1 / (1 - std::pow(step.beta2, static_cast<double>(number)));
  if (args.onGpu()) {
    const TensorRef others[] = {gradient, m, v};
    return updateOnGpu(args, step, parameter, low, others, clip);
  }
  args.check(!low, "only GPUs hold parameters in halves");
  args.checkSameType(parameter, gradient);
  ThreadPool& pool = stream.context().pool();
  dispatchFloat(args, parameter.dtype, [&](auto zero) {
    using T = decltype(zero);
    args.enqueue([=, &pool]() mutable {
      const auto* decision = clip.as<double>();
      if (decision[2] != 1) return;  // the gradient's norm is not finite: nothing changes
      step.gradientFactor = decision[0];
      parallelFor(pool, parameter.numElements, workPerElement, [&](int64_t begin, int64_t end) {
        adamwUpdate(step, parameter.as<T>(), gradient.as<T>(), m.as<T>(), v.as<T>(), begin, end);
      });
    });
  });
  return args.env().Undefined();
}

}  // namespace

void register_adamw(Registry& registry) {
  registry.add("adamwUpdate", 13, bindAdamwUpdate);
}

}  // namespace longscan
