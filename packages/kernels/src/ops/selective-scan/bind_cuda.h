#pragma once

#include "../../addon/args.h"

namespace longscan {

// The functions of binding.cc where their stream, which has been read, is a GPU's.
Napi::Value bindSelectiveScanForwardOnGpu(Args& args);
Napi::Value bindSelectiveScanAdjointOnGpu(Args& args);
Napi::Value bindSelectiveScanBackwardOnGpu(Args& args);

}  // namespace longscan
