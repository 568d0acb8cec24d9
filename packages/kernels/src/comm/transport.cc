#include "transport.h"

#include <algorithm>

namespace longscan {

namespace {

/// `receive of 4096 bytes from rank 2 (1024 moved)`
std::string describe(const Request& request, uint64_t moved) {
  const uint64_t begin = request.end - request.bytes;
  const uint64_t done = moved <= begin ? 0 : std::min<uint64_t>(moved - begin, request.bytes);
  const bool sending = request.direction == Direction::send;
  return std::string(sending ? "send" : "receive") + " of " + std::to_string(request.bytes) + " bytes " +
         (sending ? "to" : "from") + " rank " + std::to_string(request.peer) + " (" + std::to_string(done) +
         " moved)";
}

}  // namespace

Request Transport::isend(int peer, const void* data, size_t bytes) {
  failure_.throwIfSet();
  checkPeer(peer);
  bytesSent_.fetch_add(bytes, std::memory_order_relaxed);
  return startSend(peer, data, bytes);
}

Request Transport::irecv(int peer, void* data, size_t bytes) {
  failure_.throwIfSet();
  checkPeer(peer);
  return startReceive(peer, data, bytes);
}

void Transport::checkPeer(int peer) const {
  if (peer >= 0 && peer < size_ && peer != rank_) return;
  throw Error("E-ARGUMENT", label() + ": peer " + std::to_string(peer) + " is not another rank of the group");
}

std::string Transport::label() const {
  return name_ + " rank " + std::to_string(rank_) + " of " + std::to_string(size_);
}

CommError Transport::abortError(const std::string& reason) const {
  return CommError("E-COMM-ABORT", label() + " was aborted: " + reason);
}

CommError Transport::closedError() const {
  return CommError("E-COMM-CLOSED", label() + " is closed");
}

CommError Transport::deadlineError(const Request& request, uint64_t moved) const {
  return CommError("E-COMM-DEADLINE", label() + ": the deadline passed in a " + describe(request, moved),
                   request.peer);
}

CommError Transport::lostError(const Request& request, uint64_t moved, const std::string& why) const {
  return CommError("E-COMM-PEER",
                   label() + ": rank " + std::to_string(request.peer) + " is gone (" + why + ") in a " +
                       describe(request, moved) + "; it died, or gave up after an error of its own",
                   request.peer);
}

}  // namespace longscan
