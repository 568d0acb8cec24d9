#pragma once

#include "../../addon/args.h"

// SwiGLU in the products before and behind it, on Hopper; native.ts says what each computes.
namespace longscan {

Napi::Value bindLinearSwigluFits(Args& args);
Napi::Value bindLinearSwigluForward(Args& args);
Napi::Value bindLinearSwigluBackward(Args& args);

}  // namespace longscan
