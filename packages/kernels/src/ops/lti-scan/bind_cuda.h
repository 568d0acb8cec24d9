#pragma once

#include "../../addon/args.h"

namespace longscan {

/// The functions of binding.cc once the stream has been read and is a GPU's.
Napi::Value bindLtiScanForwardOnGpu(Args& args);
Napi::Value bindLtiScanAdjointOnGpu(Args& args);
Napi::Value bindLtiScanBackwardOnGpu(Args& args);

}  // namespace longscan
