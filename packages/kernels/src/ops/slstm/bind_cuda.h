#pragma once

#include "../../addon/args.h"

namespace longscan {

/// The functions of binding.cc once the stream has been read and is a GPU's.
Napi::Value bindSlstmForwardOnGpu(Args& args);
Napi::Value bindSlstmBackwardOnGpu(Args& args);

}  // namespace longscan
