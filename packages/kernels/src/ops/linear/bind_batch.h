#pragma once

#include "../../addon/args.h"

// Products of one x with two or three weights in one launch, on GPUs; native.ts says what they are.
namespace longscan {

Napi::Value bindLinearBatchForward(Args& args);

}  // namespace longscan
