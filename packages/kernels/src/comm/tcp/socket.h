#pragma once

#include <string>
#include <utility>

#include "../transport.h"

namespace longscan {

/// Owns a file descriptor.
class Fd {
 public:
  Fd() = default;
  explicit Fd(int fd) : fd_(fd) {}
  ~Fd() { reset(); }
  Fd(Fd&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
  Fd& operator=(Fd&& other) noexcept {
    if (this != &other) {
      reset();
      fd_ = std::exchange(other.fd_, -1);
    }
    return *this;
  }
  int get() const { return fd_; }
  explicit operator bool() const { return fd_ >= 0; }
  void reset();

 private:
  int fd_ = -1;
};

/// Wakes a thread that polls `fd()`, from any thread; stays readable until `drain`.
class WakeUp {
 public:
  WakeUp();
  int fd() const { return fd_.get(); }
  void raise() const;
  void drain() const;

 private:
  Fd fd_;
};

struct Address {
  std::string host;  // name or number
  int port;
  std::string toString() const { return host + ":" + std::to_string(port); }
};

/// A listening socket on a free port of this address; sets `port`. Throws E-COMM-CONNECT.
Fd listenOn(const std::string& host, int& port);

/// The next connection, non-blocking and tuned for small and large messages; empty (see errno) if there is
/// none. Sets `remote`.
Fd acceptFrom(const Fd& listener, std::string& remote);

enum class Waited { ready, interrupted, late };

/// Waits until one of `events` (poll's) on `fd`; `interrupted` once `interrupt` is readable.
Waited waitFor(int fd, short events, const WakeUp& interrupt, Deadline deadline);

/// A connected socket as from `acceptFrom`; empty with `problem` set if that failed.
Fd connectTo(const Address& address, const WakeUp& interrupt, Deadline deadline, std::string& problem);

/// Time left until the deadline for poll(), rounded up.
int millisecondsUntil(Deadline deadline);

/// The text of an errno value, from any thread.
std::string errorText(int error);

}  // namespace longscan
