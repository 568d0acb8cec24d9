#include "socket.h"

#include <fcntl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstddef>
#include <memory>
#include <system_error>

namespace longscan {

namespace {

using AddressList = std::unique_ptr<addrinfo, void (*)(addrinfo*)>;

AddressList lookUp(const std::string& host, int port, int flags, std::string& problem) {
  addrinfo hints{};
  hints.ai_socktype = SOCK_STREAM;
  hints.ai_flags = AI_NUMERICSERV | flags;
  addrinfo* list = nullptr;
  const int error = getaddrinfo(host.c_str(), std::to_string(port).c_str(), &hints, &list);
  if (error != 0) problem = "cannot look up \"" + host + "\": " + gai_strerror(error);
  return AddressList(list, freeaddrinfo);
}

/// Between ranks of one host data should go from cache to cache. Left to its autotuning the kernel queues
/// megabytes, which fall out of the cache before they are read: 2 MiB then take more than twice as long. This
/// much is allowed by every kernel's default limits and is several loopback segments, so nothing waits for a
/// delayed acknowledgement.
constexpr int sameHostSendBytes = 212992;

std::string hostOf(const sockaddr_storage& address) {
  const auto* bytes = reinterpret_cast<const char*>(&address);
  return address.ss_family == AF_INET6
             ? std::string(bytes + offsetof(sockaddr_in6, sin6_addr), sizeof(in6_addr))
             : std::string(bytes + offsetof(sockaddr_in, sin_addr), sizeof(in_addr));
}

bool isSameHost(const Fd& fd) {
  sockaddr_storage own{};
  sockaddr_storage peer{};
  socklen_t ownLength = sizeof(own);
  socklen_t peerLength = sizeof(peer);
  return getsockname(fd.get(), reinterpret_cast<sockaddr*>(&own), &ownLength) == 0 &&
         getpeername(fd.get(), reinterpret_cast<sockaddr*>(&peer), &peerLength) == 0 &&
         hostOf(own) == hostOf(peer);
}

/// For a connection that stands. Small messages leave at once; the send buffer is left to the kernel's
/// autotuning between hosts, where setting it would cap what a long link can hold.
void tune(const Fd& fd) {
  const int on = 1;
  setsockopt(fd.get(), IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
  if (isSameHost(fd))
    setsockopt(fd.get(), SOL_SOCKET, SO_SNDBUF, &sameHostSendBytes, sizeof(sameHostSendBytes));
}

std::string numericName(const sockaddr* address, socklen_t length) {
  char host[NI_MAXHOST] = "?";
  char port[NI_MAXSERV] = "?";
  getnameinfo(address, length, host, sizeof(host), port, sizeof(port), NI_NUMERICHOST | NI_NUMERICSERV);
  return std::string(host) + ":" + port;
}

int boundPort(const Fd& fd) {
  sockaddr_storage address{};
  socklen_t length = sizeof(address);
  getsockname(fd.get(), reinterpret_cast<sockaddr*>(&address), &length);
  return ntohs(address.ss_family == AF_INET6 ? reinterpret_cast<sockaddr_in6*>(&address)->sin6_port
                                             : reinterpret_cast<sockaddr_in*>(&address)->sin_port);
}

}  // namespace

void Fd::reset() {
  if (fd_ >= 0) ::close(fd_);
  fd_ = -1;
}

WakeUp::WakeUp() : fd_(eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC)) {
  if (!fd_) throw CommError("E-COMM-CONNECT", "cannot create an eventfd: " + errorText(errno));
}

void WakeUp::raise() const {
  eventfd_write(fd_.get(), 1);
}

void WakeUp::drain() const {
  eventfd_t count;
  eventfd_read(fd_.get(), &count);
}

std::string errorText(int error) {
  return std::generic_category().message(error);
}

int millisecondsUntil(Deadline deadline) {
  const auto left = std::chrono::ceil<std::chrono::milliseconds>(deadline - Clock::now()).count();
  return static_cast<int>(std::clamp<int64_t>(left, 0, 1 << 30));
}

Fd listenOn(const std::string& host, int& port) {
  std::string problem = "no address";
  const AddressList list = lookUp(host, 0, AI_PASSIVE, problem);
  for (const addrinfo* entry = list.get(); entry != nullptr; entry = entry->ai_next) {
    Fd fd(socket(entry->ai_family, entry->ai_socktype | SOCK_NONBLOCK | SOCK_CLOEXEC, entry->ai_protocol));
    if (fd && bind(fd.get(), entry->ai_addr, entry->ai_addrlen) == 0 && listen(fd.get(), SOMAXCONN) == 0) {
      port = boundPort(fd);
      return fd;
    }
    problem = errorText(errno);
  }
  throw CommError("E-COMM-CONNECT", "cannot listen on host \"" + host + "\": " + problem);
}

Fd acceptFrom(const Fd& listener, std::string& remote) {
  sockaddr_storage address{};
  socklen_t length = sizeof(address);
  Fd fd(
      accept4(listener.get(), reinterpret_cast<sockaddr*>(&address), &length, SOCK_NONBLOCK | SOCK_CLOEXEC));
  if (fd) {
    tune(fd);
    remote = numericName(reinterpret_cast<sockaddr*>(&address), length);
  }
  return fd;
}

Waited waitFor(int fd, short events, const WakeUp& interrupt, Deadline deadline) {
  pollfd polled[2] = {{interrupt.fd(), POLLIN, 0}, {fd, events, 0}};
  for (;;) {
    const int ready = poll(polled, 2, millisecondsUntil(deadline));
    if (ready > 0 && polled[0].revents != 0) return Waited::interrupted;
    if (ready > 0) return Waited::ready;
    if (ready == 0 && Clock::now() >= deadline) return Waited::late;
  }
}

Fd connectTo(const Address& address, const WakeUp& interrupt, Deadline deadline, std::string& problem) {
  const AddressList list = lookUp(address.host, address.port, 0, problem);
  for (const addrinfo* entry = list.get(); entry != nullptr; entry = entry->ai_next) {
    Fd fd(socket(entry->ai_family, entry->ai_socktype | SOCK_NONBLOCK | SOCK_CLOEXEC, entry->ai_protocol));
    if (!fd) {
      problem = errorText(errno);
      continue;
    }
    int error = connect(fd.get(), entry->ai_addr, entry->ai_addrlen) == 0 ? 0 : errno;
    if (error == EINPROGRESS) {
      error = ETIMEDOUT;
      const Waited waited = waitFor(fd.get(), POLLOUT, interrupt, deadline);
      socklen_t length = sizeof(error);
      if (waited == Waited::ready) getsockopt(fd.get(), SOL_SOCKET, SO_ERROR, &error, &length);
    }
    if (error == 0) {
      tune(fd);
      return fd;
    }
    problem = errorText(error);
  }
  return Fd();
}

}  // namespace longscan
