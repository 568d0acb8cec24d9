#pragma once

#include "../../addon/args.h"

namespace longscan {

/// The functions of binding.cc once the stream has been read and is a GPU's.
Napi::Value bindMesaForwardOnGpu(Args& args);
Napi::Value bindMesaQueryGradOnGpu(Args& args);
Napi::Value bindMesaKeyValueGradOnGpu(Args& args);

}  // namespace longscan
