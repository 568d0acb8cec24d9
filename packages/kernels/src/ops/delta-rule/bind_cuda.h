#pragma once

#include "../../addon/args.h"

namespace longscan {

/// The functions that only GPUs have: there the recurrence is cut into other parts than on a CPU.
void registerDeltaRuleCuda(Registry& registry);
/// Those of general/general.h.
void registerDeltaGeneralCuda(Registry& registry);
/// Those of dplr/dplr.h.
void registerDplrCuda(Registry& registry);

}  // namespace longscan
