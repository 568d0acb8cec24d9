#include "arrivals.h"

#include <poll.h>

namespace longscan {

Arrivals::Arrivals(GroupMember self)
    : self_(std::move(self)),
      connections_(static_cast<size_t>(self_.size)),
      numMissing_(static_cast<size_t>(self_.size - 1 - self_.rank)) {}

void Arrivals::deliver(int rank, Fd connection) {
  {
    std::lock_guard<std::mutex> lock(mutex_);
    if (connections_.empty()) return;  // the group stands already
    auto& place = connections_[static_cast<size_t>(rank)];
    if (!place) numMissing_--;
    place = std::move(connection);
  }
  changed_.raise();
}

void Arrivals::noteRefusal(const std::string& who, Verdict verdict) {
  std::lock_guard<std::mutex> lock(mutex_);
  numRefused_++;
  lastRefusal_ = who + ": " + verdictText(verdict);
}

void Arrivals::listenerClosed() {
  {
    std::lock_guard<std::mutex> lock(mutex_);
    closed_ = true;
  }
  changed_.raise();
}

std::string Arrivals::missingText() const {
  std::string text;
  for (int rank = self_.rank + 1; rank < self_.size; rank++) {
    if (!connections_[static_cast<size_t>(rank)]) text += (text.empty() ? "" : ", ") + std::to_string(rank);
  }
  text = "no connection from rank " + text;
  if (numRefused_ > 0) text += "; refused " + std::to_string(numRefused_) + ", the last one " + lastRefusal_;
  return text;
}

std::vector<Fd> Arrivals::wait(const WakeUp& interrupt, Deadline deadline, const std::string& label) {
  for (;;) {
    changed_.drain();
    {
      std::lock_guard<std::mutex> lock(mutex_);
      if (numMissing_ == 0) return std::exchange(connections_, {});
      if (closed_) throw CommError("E-COMM-CONNECT", label + ": the listener was closed");
    }
    switch (waitFor(changed_.fd(), POLLIN, interrupt, deadline)) {
      case Waited::ready:
        break;
      case Waited::interrupted:
        return {};
      case Waited::late: {
        std::lock_guard<std::mutex> lock(mutex_);
        if (numMissing_ > 0)
          throw CommError("E-COMM-CONNECT", label + ": " + missingText() + " before the deadline");
      }
    }
  }
}

}  // namespace longscan
