#include "adamw.h"

#include <cmath>

#include "../../addon/args.h"

namespace longscan {

namespace {

/// Square root and division cost about this many additions.
constexpr int64_t workPerElement = 8;

Napi::Value bindAdamwUpdate(Args& args) {
  Stream& stream = args.stream();
  const TensorRef parameter = args.tensor("parameter");
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
    args.checkSameType(parameter, tensor);
    args.check(tensor.numElements == parameter.numElements, "tensors differ in size");
  }
  args.check(clip.numElements == 3, "clip is not [3]");
  args.check(number >= 1, "steps are counted from 1");
  step.correction1 = 1 / (1 - std::pow(step.beta1, static_cast<double>(number)));
  step.correction2 = 1 / (1 - std::pow(step.beta2, static_cast<double>(number)));
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
  registry.add("adamwUpdate", 12, bindAdamwUpdate);
}

}  // namespace longscan
