#pragma once

#include <napi.h>

#include <string>

#include "../core/error.h"

namespace longscan {

/// A JavaScript Error with a `code`; load-addon.ts turns it into a LongscanError.
inline Napi::Error toJsError(Napi::Env env, const std::string& code, const std::string& message) {
  Napi::Error error = Napi::Error::New(env, message);
  error.Set("code", Napi::String::New(env, code));
  return error;
}

}  // namespace longscan
