#pragma once

#include <atomic>
#include <list>
#include <memory>
#include <mutex>
#include <string>
#include <thread>

#include "arrivals.h"
#include "guest.h"

namespace longscan {

/// The one listening socket of a process, shared by the groups (axes) of its ranks. Its thread greets whoever
/// connects and hands proven connections to the rank that expects them. Strangers are dropped at the first
/// wrong byte or after five seconds of silence, and can never hold up the others.
class TcpListener {
 public:
  /// Listens on a free port of this host address. Throws E-COMM-CONNECT.
  explicit TcpListener(const std::string& host);
  ~TcpListener() { close(); }
  TcpListener(const TcpListener&) = delete;
  TcpListener& operator=(const TcpListener&) = delete;

  int port() const { return port_; }

  /// From now on, and for as long as the result is held, connections for this rank of this axis are taken.
  /// Throws E-COMM-CONNECT if that rank is expected already, or the listener is closed.
  std::shared_ptr<Arrivals> expect(const GroupMember& self);

  /// Stops listening; groups that are complete are not touched. Idempotent, from any thread.
  void close();

 private:
  void serve();
  void acceptGuests();
  void dropLate();
  std::shared_ptr<Arrivals> find(const std::string& axis, int rank);

  int port_ = 0;
  Fd socket_;
  WakeUp changed_;
  std::atomic<bool> closing_{false};
  std::mutex mutex_;
  std::list<std::weak_ptr<Arrivals>> expected_;
  std::list<Guest> guests_;  // oldest first; the thread's own
  Deadline acceptAgain_{};
  std::once_flag joined_;
  std::thread thread_;
};

}  // namespace longscan
