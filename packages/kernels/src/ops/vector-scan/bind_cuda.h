#pragma once

#include "../../addon/args.h"

namespace longscan {

// The functions of binding.cc where their stream, which has been read, is a GPU's.
Napi::Value bindVectorScanForwardOnGpu(Args& args);
Napi::Value bindVectorScanBackwardOnGpu(Args& args);

}  // namespace longscan
