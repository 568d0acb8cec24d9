#pragma once

#include "../../addon/args.h"

namespace longscan {

/// The functions that only GPUs have: there the recurrence is cut into other parts than on a CPU.
void registerGatedLinearCuda(Registry& registry);

/// Those of the form in which the order of tokens does not matter.
void registerGatedLinearUnordered(Registry& registry);

}  // namespace longscan
