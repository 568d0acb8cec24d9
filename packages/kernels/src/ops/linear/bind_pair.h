#pragma once

#include "../../addon/args.h"

// Products of one x with two weights at once, on GPUs; native.ts says what each computes.
namespace longscan {

Napi::Value bindLinearPairForward(Args& args);
Napi::Value bindLinearPairInputGradient(Args& args);
Napi::Value bindLinearPairWeightGradient(Args& args);

}  // namespace longscan
