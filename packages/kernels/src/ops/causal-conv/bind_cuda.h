#pragma once

#include "../../addon/args.h"

namespace longscan {

void registerCausalConvCuda(Registry& registry);

}  // namespace longscan
