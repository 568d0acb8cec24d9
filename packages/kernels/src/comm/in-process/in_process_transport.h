#pragma once

#include <condition_variable>
#include <deque>
#include <memory>
#include <mutex>
#include <vector>

#include "../transport.h"

namespace longscan {

/// What the ranks of an in-process group share: for every ordered pair of ranks the sends and receives that
/// wait for each other. Bytes are copied when both sides are there, so nothing is buffered: a program that
/// relies on a send finishing before its receive is posted hangs here every time, not only with large
/// messages.
class InProcessHub {
 public:
  explicit InProcessHub(int size);

  int size() const { return size_; }

 private:
  friend class InProcessTransport;

  template <typename Pointer>
  struct Piece {
    Pointer data;
    size_t bytes;
  };
  /// The stream from one rank to another.
  struct Channel {
    std::deque<Piece<const char*>> sends;
    std::deque<Piece<char*>> receives;
    uint64_t sendEnd = 0;     // bytes queued by the sender
    uint64_t receiveEnd = 0;  // bytes of room queued by the receiver
    uint64_t moved = 0;
  };

  Channel& channel(int from, int to) { return channels_[static_cast<size_t>(from * size_ + to)]; }
  /// Copies what has both a sender and a receiver. The mutex is held.
  static void match(Channel& channel);
  /// Marks a rank as gone and wakes everybody. The mutex is held.
  void leave(int rank);

  const int size_;
  std::mutex mutex_;
  std::vector<std::condition_variable> moved_;  // by rank
  std::vector<Channel> channels_;               // [from, to]
  std::vector<bool> gone_;                      // by rank
};

/// One rank of an in-process group; each is served by its own thread.
class InProcessTransport final : public Transport {
 public:
  InProcessTransport(std::string name, int rank, std::shared_ptr<InProcessHub> hub);
  ~InProcessTransport() override { close(); }

  void wait(const Request* requests, size_t count, Deadline deadline) override;
  void abort(const std::string& reason) override;
  void close() override;

 protected:
  Request startSend(int peer, const void* data, size_t bytes) override;
  Request startReceive(int peer, void* data, size_t bytes) override;

 private:
  InProcessHub::Channel& channelOf(const Request& request);
  [[noreturn]] void fail(const CommError& error);

  const std::shared_ptr<InProcessHub> hub_;
};

}  // namespace longscan
