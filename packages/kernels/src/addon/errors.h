#pragma once

#include <napi.h>

#include <new>
#include <string>
#include <system_error>

#include "../core/error.h"

namespace longscan {

/// A JavaScript Error with a `code`; load-addon.ts turns it into a LongscanError.
inline Napi::Error toJsError(Napi::Env env, const std::string& code, const std::string& message) {
  Napi::Error error = Napi::Error::New(env, message);
  error.Set("code", Napi::String::New(env, code));
  return error;
}

/// The C++ exception that is being handled, as an error of ours: nothing that a library or the system throws
/// may leave a native call, where it would end the process. To be called in a handler; `where` goes in front
/// of what is not ours.
inline Error handledError(const std::string& where) {
  try {
    throw;
  } catch (const Error& error) {
    return error;
  } catch (const std::bad_alloc&) {
    return {"E-MEMORY", where + ": the host is out of memory"};
  } catch (const std::system_error& error) {
    return {"E-SYSTEM", where + ": the system refused: " + error.what() +
                            ". Fix: raise the limits of processes and memory (ulimit -u, ulimit -v, those of "
                            "the container), or use fewer threads (device.threads)"};
  } catch (const std::exception& error) {
    return {"E-BUG", where + ": " + error.what()};
  } catch (...) {
    return {"E-BUG", where + ": an exception of unknown type"};
  }
}

}  // namespace longscan
