#pragma once

#include <mutex>
#include <string>
#include <vector>

#include "handshake.h"
#include "socket.h"

namespace longscan {

/// The connections that one rank expects from the higher ranks of its group: filled by the listener's thread,
/// awaited by the thread that sets up the group.
class Arrivals {
 public:
  explicit Arrivals(GroupMember self);

  const GroupMember& self() const { return self_; }

  /// A proven connection. A second one from the same rank replaces the first (its dialer has tried again),
  /// unless the group stands already.
  void deliver(int rank, Fd connection);
  /// Notes somebody who was turned away, for the message if the group does not come about.
  void noteRefusal(const std::string& who, Verdict verdict);
  void listenerClosed();

  /// Moves all connections out, by rank. Throws E-COMM-CONNECT at the deadline, naming the missing ranks;
  /// returns nothing if interrupted.
  std::vector<Fd> wait(const WakeUp& interrupt, Deadline deadline, const std::string& label);

 private:
  std::string missingText() const;

  const GroupMember self_;
  const WakeUp changed_;
  std::mutex mutex_;
  std::vector<Fd> connections_;  // by rank; empty once handed over
  size_t numMissing_;
  size_t numRefused_ = 0;
  std::string lastRefusal_;
  bool closed_ = false;
};

}  // namespace longscan
