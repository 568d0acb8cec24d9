#pragma once

#include <atomic>
#include <mutex>
#include <optional>
#include <string>

#include "../core/error.h"

namespace longscan {

/// What went wrong between ranks. Codes:
///   E-COMM-PEER      a peer's connection ended (it died, or gave up after an error of its own)
///   E-COMM-DEADLINE  a peer did not do its part in time
///   E-COMM-ABORT     this rank was told to stop
///   E-COMM-CLOSED    use after close
///   E-COMM-CONNECT   the group could not be set up
///   E-PEER-MEMORY    it was to share memory and cannot
///   E-AUTH           a peer could not prove that it belongs to this job, or was told so
class CommError : public Error {
 public:
  CommError(std::string code, const std::string& message, int peer = -1)
      : Error(std::move(code), message), peer_(peer) {}

  /// The peer that is named, or -1. On a ring the neighbour is named, which may only have passed the trouble
  /// on: who died first is for the control plane to say.
  int peer() const { return peer_; }

 private:
  int peer_;
};

/// Keeps the first failure of a transport; everything later throws that one again. Safe from any thread.
class FailureLatch {
 public:
  /// True if this was the first failure.
  bool set(const CommError& error) {
    std::lock_guard<std::mutex> lock(mutex_);
    if (error_) return false;
    error_ = error;
    failed_.store(true, std::memory_order_release);
    return true;
  }

  bool isSet() const { return failed_.load(std::memory_order_acquire); }

  void throwIfSet() const {
    if (!isSet()) return;
    std::lock_guard<std::mutex> lock(mutex_);
    throw CommError(*error_);
  }

 private:
  mutable std::mutex mutex_;
  std::atomic<bool> failed_{false};
  std::optional<CommError> error_;
};

}  // namespace longscan
