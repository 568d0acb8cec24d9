#pragma once

#include "../../addon/args.h"

// Products of one x with two or three weights at once, on GPUs; native.ts says what each computes.
namespace longscan {

Napi::Value bindLinearJoinedForward(Args& args);
Napi::Value bindLinearJoinedInputGradient(Args& args);
Napi::Value bindLinearJoinedWeightGradient(Args& args);

}  // namespace longscan
