#pragma once

#include <poll.h>

#include <deque>
#include <mutex>
#include <vector>

#include "../transport.h"
#include "listener.h"
#include "socket.h"

namespace longscan {

/// The built-in engine for CPUs: one TCP connection per pair of ranks, all progress made by the thread that
/// waits. It polls for a moment before it sleeps: most of the latency between busy ranks would otherwise be
/// that of waking up. Payload is not encrypted: see README.md.
class TcpTransport final : public Transport {
 public:
  TcpTransport(std::string name, int rank, int size);
  ~TcpTransport() override { close(); }

  /// Connects to every other rank: dials the lower ones, is dialled by the higher ones. Once, before anything
  /// else. `addresses` has one entry per rank. Throws E-COMM-CONNECT, E-AUTH, E-COMM-ABORT.
  void connect(TcpListener& listener, const std::vector<Address>& addresses, const GroupMember& self,
               Deadline deadline);

  void wait(const Request* requests, size_t count, Deadline deadline) override;
  void abort(const std::string& reason) override;
  void close() override;

 protected:
  Request startSend(int peer, const void* data, size_t bytes) override;
  Request startReceive(int peer, void* data, size_t bytes) override;

 private:
  template <typename Pointer>
  struct Piece {
    Pointer data;
    size_t bytes;
  };
  struct Peer {
    Fd fd;
    std::deque<Piece<const char*>> sends;
    std::deque<Piece<char*>> receives;
    uint64_t sendEnd = 0;  // queued so far; `sent` has left for the kernel
    uint64_t sent = 0;
    uint64_t receiveEnd = 0;
    uint64_t received = 0;
  };

  bool progress();
  bool push(int rank, Peer& peer);
  bool pull(int rank, Peer& peer);
  uint64_t moved(const Request& request) const;
  const Request* firstPending(const Request* requests, size_t count) const;
  void sleepUntil(Deadline deadline);
  [[noreturn]] void lost(const Request& request, const std::string& why);
  [[noreturn]] void fail(const CommError& error);
  void adopt(std::vector<Fd> connections);
  void shutDown();

  std::vector<Peer> peers_;  // by rank; this rank's own entry is unused
  WakeUp interrupt_;
  std::vector<pollfd> polled_;
  std::mutex
      fdMutex_;  // `abort` shuts sockets down while another thread uses them, but never after their close
};

}  // namespace longscan
