#pragma once

#include "../../addon/args.h"

namespace longscan {

/// The functions of binding.cc once the stream has been read and is a GPU's.
Napi::Value bindMlstmForwardOnGpu(Args& args);
Napi::Value bindMlstmAdjointOnGpu(Args& args);
Napi::Value bindMlstmBackwardOnGpu(Args& args);

}  // namespace longscan
