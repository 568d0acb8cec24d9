#include "dial.h"

#include <poll.h>
#include <sys/socket.h>

#include <cerrno>

namespace longscan {

namespace {

constexpr auto retryPause = std::chrono::milliseconds(50);

/// One try. What cannot get better is thrown; what may is left in `problem` with an empty result.
class Attempt {
 public:
  Attempt(const Address& address, const GroupMember& self, int listener, const WakeUp& interrupt,
          Deadline deadline)
      : address_(address), self_(self), listener_(listener), interrupt_(interrupt), deadline_(deadline) {}

  Fd run();
  const std::string& problem() const { return problem_; }

 private:
  bool receive(void* data, size_t bytes);
  bool transmit(const void* data, size_t bytes);
  bool sayHello();
  bool prove(const Reply& reply);
  [[noreturn]] void refused(Verdict verdict) const;
  [[noreturn]] void stop(const char* code, const std::string& why) const;

  const Address& address_;
  const GroupMember& self_;
  const int listener_;
  const WakeUp& interrupt_;
  const Deadline deadline_;
  Fd fd_;
  HelloWire hello_;
  std::string problem_;
};

void Attempt::stop(const char* code, const std::string& why) const {
  throw CommError(code, "rank " + std::to_string(listener_) + " at " + address_.toString() + " " + why,
                  listener_);
}

void Attempt::refused(Verdict verdict) const {
  stop(verdict == Verdict::wrongToken ? "E-AUTH" : "E-COMM-CONNECT",
       std::string("refused this rank: ") + verdictText(verdict));
}

bool Attempt::transmit(const void* data, size_t bytes) {
  if (send(fd_.get(), data, bytes, MSG_NOSIGNAL) == static_cast<ssize_t>(bytes)) return true;
  problem_ = errorText(errno);
  return false;
}

bool Attempt::receive(void* data, size_t bytes) {
  auto* target = static_cast<char*>(data);
  while (bytes > 0) {
    if (waitFor(fd_.get(), POLLIN, interrupt_, deadline_) != Waited::ready) {
      problem_ = "connected, but no answer";
      return false;
    }
    const ssize_t count = recv(fd_.get(), target, bytes, 0);
    if (count > 0) {
      target += count;
      bytes -= static_cast<size_t>(count);
    } else if (count == 0 || (errno != EAGAIN && errno != EINTR)) {
      problem_ = count == 0 ? "it hung up" : errorText(errno);
      return false;
    }
  }
  return true;
}

bool Attempt::sayHello() {
  hello_ = encodeHello(self_, listener_, randomNonce());
  return transmit(hello_.data(), hello_.size());
}

bool Attempt::prove(const Reply& reply) {
  if (!sameDigest(reply.proof, proof(Role::listener, self_.token, hello_, reply.nonce))) {
    stop("E-AUTH", "cannot prove that it has this job's token: it has another one, or is somebody else");
  }
  const Digest own = proof(Role::dialer, self_.token, hello_, reply.nonce);
  uint8_t verdict = 0;
  if (!transmit(own.data(), own.size()) || !receive(&verdict, 1)) return false;
  if (static_cast<Verdict>(verdict) != Verdict::accepted) refused(static_cast<Verdict>(verdict));
  return true;
}

Fd Attempt::run() {
  fd_ = connectTo(address_, interrupt_, deadline_, problem_);
  ReplyWire wire;
  if (!fd_ || !sayHello() || !receive(wire.data(), wire.size())) return Fd();
  const auto reply = decodeReply(wire);
  if (!reply) stop("E-COMM-CONNECT", "is not a rank: it answers in another protocol");
  if (reply->version != protocolVersion) {
    stop("E-COMM-CONNECT", "speaks version " + std::to_string(reply->version) +
                               " of the protocol, this rank " + std::to_string(protocolVersion));
  }
  if (reply->verdict == Verdict::futureEpoch) {
    problem_ = std::string("refused: ") + verdictText(reply->verdict);
    return Fd();
  }
  if (reply->verdict != Verdict::accepted) refused(reply->verdict);
  return prove(*reply) ? std::move(fd_) : Fd();
}

}  // namespace

Fd dial(const Address& address, const GroupMember& self, int listener, const WakeUp& interrupt,
        Deadline deadline, const std::string& label) {
  for (;;) {
    Attempt attempt(address, self, listener, interrupt, deadline);
    try {
      Fd connection = attempt.run();
      if (connection) return connection;
    } catch (const CommError& error) {
      throw CommError(error.code(), label + ": " + error.what(), error.peer());
    }
    const Deadline next = std::min(Clock::now() + retryPause, deadline);
    if (waitFor(-1, 0, interrupt, next) == Waited::interrupted) return Fd();
    if (Clock::now() >= deadline) {
      throw CommError("E-COMM-CONNECT",
                      label + ": no connection to rank " + std::to_string(listener) + " at " +
                          address.toString() + " before the deadline: " + attempt.problem(),
                      listener);
    }
  }
}

}  // namespace longscan
