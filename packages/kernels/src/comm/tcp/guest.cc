#include "guest.h"

#include <sys/socket.h>

#include <cerrno>

namespace longscan {

namespace {

/// For each message of the handshake, from somebody on the same network who has nothing to compute.
constexpr auto messageTimeout = std::chrono::seconds(5);
/// For a rank whose group is not expected here yet; it dials again after that.
constexpr auto parkingTimeout = std::chrono::seconds(60);

}  // namespace

Guest::Guest(Fd fd, std::string remote)
    : fd_(std::move(fd)), remote_(std::move(remote)), deadline_(Clock::now() + messageTimeout) {}

bool Guest::fill(uint8_t* buffer, size_t total, bool& alive) {
  while (filled_ < total) {
    const ssize_t count = recv(fd_.get(), buffer + filled_, total - filled_, 0);
    if (count > 0) {
      filled_ += static_cast<size_t>(count);
    } else {
      alive = count < 0 && (errno == EAGAIN || errno == EINTR);
      return false;
    }
  }
  return true;
}

bool Guest::advance(const Lookup& lookup) {
  bool alive = true;
  switch (state_) {
    case State::hello:
      if (fill(hello_.data(), hello_.size(), alive)) return admit(lookup);
      return alive && startsLikeHandshake(hello_.data(), filled_);
    case State::parked:
      return false;  // it is not its turn to speak, so it has hung up or is no dialer of ours
    case State::proof:
      if (fill(proof_.data(), proof_.size(), alive)) return finish();
      return alive;
  }
  return false;
}

bool Guest::retry(const Lookup& lookup) {
  return state_ != State::parked || admit(lookup);
}

bool Guest::admit(const Lookup& lookup) {
  const auto hello = decodeHello(hello_);
  if (!hello) return false;
  arrivals_ = lookup(hello->axis, hello->listener);
  if (!arrivals_) {
    // An old dialer must not park for a minute to hear that it is old.
    if (hello->version != protocolVersion) return refuse(Verdict::wrongVersion);
    if (state_ != State::parked) deadline_ = Clock::now() + parkingTimeout;
    state_ = State::parked;
    return true;
  }
  dialer_ = hello->dialer;
  const Verdict verdict = judge(*hello, arrivals_->self());
  return verdict == Verdict::accepted ? challenge() : refuse(verdict);
}

bool Guest::challenge() {
  state_ = State::proof;
  filled_ = 0;
  deadline_ = Clock::now() + messageTimeout;
  nonce_ = randomNonce();
  const Digest own = proof(Role::listener, arrivals_->self().token, hello_, nonce_);
  const ReplyWire reply = encodeReply({protocolVersion, Verdict::accepted, nonce_, own});
  return sendAll(reply.data(), reply.size());
}

bool Guest::finish() {
  const Digest expected = proof(Role::dialer, arrivals_->self().token, hello_, nonce_);
  const bool proven = sameDigest(expected, proof_);
  const uint8_t verdict = static_cast<uint8_t>(proven ? Verdict::accepted : Verdict::wrongToken);
  const bool sent = sendAll(&verdict, 1);
  if (!proven)
    arrivals_->noteRefusal("rank " + std::to_string(dialer_) + " at " + remote_, Verdict::wrongToken);
  if (proven && sent) arrivals_->deliver(dialer_, std::move(fd_));
  return false;
}

bool Guest::refuse(Verdict verdict) {
  const ReplyWire reply = encodeReply({protocolVersion, verdict, {}, {}});
  sendAll(reply.data(), reply.size());
  if (arrivals_) arrivals_->noteRefusal("rank " + std::to_string(dialer_) + " at " + remote_, verdict);
  return false;
}

bool Guest::sendAll(const void* data, size_t bytes) {
  // A fresh socket takes a hundred bytes at once; one that does not is broken.
  return send(fd_.get(), data, bytes, MSG_NOSIGNAL) == static_cast<ssize_t>(bytes);
}

}  // namespace longscan
