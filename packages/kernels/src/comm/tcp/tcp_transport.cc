#include "tcp_transport.h"

#include <sched.h>
#include <sys/socket.h>

#include <cerrno>

#include "dial.h"

namespace longscan {

namespace {

/// How long a waiting thread polls before it sleeps. It yields between two looks, because the peer that it
/// waits for may need this very core: with 4 ranks on 2 cores collectives of up to 64 KiB take less than half
/// the time.
constexpr auto shortPoll = std::chrono::microseconds(20);

}  // namespace

TcpTransport::TcpTransport(std::string name, int rank, int size)
    : Transport(std::move(name), rank, size), peers_(static_cast<size_t>(size)) {}

void TcpTransport::connect(TcpListener& listener, const std::vector<Address>& addresses,
                           const GroupMember& self, Deadline deadline) {
  failure_.throwIfSet();
  try {
    const auto arrivals = listener.expect(self);
    std::vector<Fd> dialled(static_cast<size_t>(size()));
    for (int peer = 0; peer < rank(); peer++) {
      const auto i = static_cast<size_t>(peer);
      dialled[i] = dial(addresses[i], self, peer, interrupt_, deadline, label());
      failure_.throwIfSet();
    }
    adopt(std::move(dialled));
    adopt(arrivals->wait(interrupt_, deadline, label()));
  } catch (const CommError& error) {
    fail(error);
  }
  failure_.throwIfSet();
}

void TcpTransport::adopt(std::vector<Fd> connections) {
  std::lock_guard<std::mutex> lock(fdMutex_);
  for (size_t i = 0; i < connections.size(); i++) {
    if (connections[i]) peers_[i].fd = std::move(connections[i]);
  }
}

Request TcpTransport::startSend(int rank, const void* data, size_t bytes) {
  Peer& peer = peers_[static_cast<size_t>(rank)];
  peer.sendEnd += bytes;
  if (bytes > 0) peer.sends.push_back({static_cast<const char*>(data), bytes});
  return {rank, Direction::send, bytes, peer.sendEnd};
}

Request TcpTransport::startReceive(int rank, void* data, size_t bytes) {
  Peer& peer = peers_[static_cast<size_t>(rank)];
  peer.receiveEnd += bytes;
  if (bytes > 0) peer.receives.push_back({static_cast<char*>(data), bytes});
  return {rank, Direction::receive, bytes, peer.receiveEnd};
}

uint64_t TcpTransport::moved(const Request& request) const {
  const Peer& peer = peers_[static_cast<size_t>(request.peer)];
  return request.direction == Direction::send ? peer.sent : peer.received;
}

const Request* TcpTransport::firstPending(const Request* requests, size_t count) const {
  for (size_t i = 0; i < count; i++) {
    if (moved(requests[i]) < requests[i].end) return &requests[i];
  }
  return nullptr;
}

void TcpTransport::wait(const Request* requests, size_t count, Deadline deadline) {
  auto quietSince = Clock::now();
  for (;;) {
    failure_.throwIfSet();
    const bool moving = progress();
    const Request* pending = firstPending(requests, count);
    if (pending == nullptr) return;
    const auto now = Clock::now();
    if (now >= deadline) fail(deadlineError(*pending, moved(*pending)));
    if (moving) {
      quietSince = now;
    } else if (now - quietSince < shortPoll) {
      sched_yield();
    } else {
      sleepUntil(deadline);
      quietSince = Clock::now();
    }
  }
}

bool TcpTransport::progress() {
  bool moving = false;
  for (int rank = 0; rank < size(); rank++) {
    Peer& peer = peers_[static_cast<size_t>(rank)];
    if (!peer.sends.empty()) moving |= push(rank, peer);
    if (!peer.receives.empty()) moving |= pull(rank, peer);
  }
  return moving;
}

bool TcpTransport::push(int rank, Peer& peer) {
  bool moving = false;
  while (!peer.sends.empty()) {
    auto& piece = peer.sends.front();
    const ssize_t count = ::send(peer.fd.get(), piece.data, piece.bytes, MSG_NOSIGNAL | MSG_DONTWAIT);
    if (count < 0 && errno == EINTR) continue;
    if (count < 0 && errno == EAGAIN) break;
    if (count < 0) lost({rank, Direction::send, piece.bytes, peer.sent + piece.bytes}, errorText(errno));
    moving = true;
    peer.sent += static_cast<uint64_t>(count);
    piece = {piece.data + count, piece.bytes - static_cast<size_t>(count)};
    if (piece.bytes > 0) break;  // the kernel's buffer is full
    peer.sends.pop_front();
  }
  return moving;
}

bool TcpTransport::pull(int rank, Peer& peer) {
  bool moving = false;
  while (!peer.receives.empty()) {
    auto& piece = peer.receives.front();
    const ssize_t count = ::recv(peer.fd.get(), piece.data, piece.bytes, MSG_DONTWAIT);
    if (count < 0 && errno == EINTR) continue;
    if (count < 0 && errno == EAGAIN) break;
    if (count <= 0) {
      lost({rank, Direction::receive, piece.bytes, peer.received + piece.bytes},
           count == 0 ? "it closed the connection" : errorText(errno));
    }
    moving = true;
    peer.received += static_cast<uint64_t>(count);
    piece = {piece.data + count, piece.bytes - static_cast<size_t>(count)};
    if (piece.bytes > 0) break;  // nothing more has arrived
    peer.receives.pop_front();
  }
  return moving;
}

void TcpTransport::sleepUntil(Deadline deadline) {
  polled_.assign(1, {interrupt_.fd(), POLLIN, 0});
  for (const Peer& peer : peers_) {
    const int events = (peer.sends.empty() ? 0 : POLLOUT) | (peer.receives.empty() ? 0 : POLLIN);
    if (events != 0) polled_.push_back({peer.fd.get(), static_cast<short>(events), 0});
  }
  poll(polled_.data(), polled_.size(), millisecondsUntil(deadline));
}

void TcpTransport::lost(const Request& request, const std::string& why) {
  // After an abort the sockets are shut down on purpose: the reason of the abort is then the answer.
  failure_.throwIfSet();
  fail(lostError(request, moved(request), why));
}

void TcpTransport::fail(const CommError& error) {
  failure_.set(error);
  shutDown();
  failure_.throwIfSet();
  throw error;
}

void TcpTransport::abort(const std::string& reason) {
  if (!failure_.set(abortError(reason))) return;
  interrupt_.raise();
  shutDown();
}

/// Makes this rank's end visible to its peers at once, so that all ranks of a broken group stop within
/// milliseconds.
void TcpTransport::shutDown() {
  std::lock_guard<std::mutex> lock(fdMutex_);
  for (const Peer& peer : peers_) {
    if (peer.fd) shutdown(peer.fd.get(), SHUT_RDWR);
  }
}

void TcpTransport::close() {
  failure_.set(closedError());
  std::lock_guard<std::mutex> lock(fdMutex_);
  for (Peer& peer : peers_) peer.fd.reset();
}

}  // namespace longscan
