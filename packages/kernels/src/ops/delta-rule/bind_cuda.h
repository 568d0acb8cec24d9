#pragma once

#include "../../addon/gpu_args.h"

namespace longscan {

/// The gradient of an input that may be missing, as the gradient then is.
inline void* gradientArgument(Args& args, const char* name, const TensorRef& of) {
  const TensorRef tensor = args.optionalSizedTensor(name, of, of.numElements);
  args.check(bool(tensor) == bool(of), [&] { return std::string(name) + " does not fit its input"; });
  if (tensor) checkAligned(args, tensor);
  return tensor.data;
}

/// The functions that only GPUs have: there the recurrence is cut into other parts than on a CPU.
void registerDeltaRuleCuda(Registry& registry);
/// Those of general/general.h.
void registerDeltaGeneralCuda(Registry& registry);
/// Those of dplr/dplr.h.
void registerDplrCuda(Registry& registry);

}  // namespace longscan
