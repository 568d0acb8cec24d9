#pragma once

#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <string>

#include "comm_error.h"

namespace longscan {

using Clock = std::chrono::steady_clock;
using Deadline = Clock::time_point;

enum class Direction : uint8_t { send, receive };

/// A place in the byte stream to or from one peer: done once `end` bytes have moved since the start. Because
/// the streams are in order this is all there is to know, so requests are plain values that nobody has to
/// free.
struct Request {
  int peer;
  Direction direction;
  size_t bytes;
  uint64_t end;
};

/// What carries bytes between the ranks of one group: one ordered byte stream per pair of ranks and
/// direction, without tags or frames. A message is matched by its place in the stream, so both ends must
/// agree on the order and the total size; how they are cut into sends and receives may differ.
///
/// All calls but `abort` come from one thread at a time. Data moves while somebody is in `wait`. Buffers must
/// stay untouched until their request was waited for. After the first failure every call throws that failure
/// again.
class Transport {
 public:
  Transport(std::string name, int rank, int size) : name_(std::move(name)), rank_(rank), size_(size) {}
  virtual ~Transport() = default;
  Transport(const Transport&) = delete;
  Transport& operator=(const Transport&) = delete;

  int rank() const { return rank_; }
  int size() const { return size_; }

  /// Queue bytes for a peer, or room for bytes from it. Never blocks. Throws CommError.
  Request isend(int peer, const void* data, size_t bytes);
  Request irecv(int peer, void* data, size_t bytes);

  /// Returns when all requests are done; throws CommError E-COMM-PEER as soon as a peer with something
  /// pending is gone, E-COMM-DEADLINE (with peer and what was pending) when the deadline passes.
  virtual void wait(const Request* requests, size_t count, Deadline deadline) = 0;

  /// Wakes the waiter and makes every call throw E-COMM-ABORT with the first reason; peers see this rank go
  /// away. From any thread; does nothing after another failure.
  virtual void abort(const std::string& reason) = 0;

  /// Releases the connections after the work so far; later calls throw E-COMM-CLOSED. Idempotent.
  virtual void close() = 0;

  /// Bytes handed to `isend` so far, counted there. Readable from any thread.
  uint64_t bytesSent() const { return bytesSent_.load(std::memory_order_relaxed); }

  /// `sp rank 1 of 4`, the beginning of every error message.
  std::string label() const;

 protected:
  virtual Request startSend(int peer, const void* data, size_t bytes) = 0;
  virtual Request startReceive(int peer, void* data, size_t bytes) = 0;

  CommError abortError(const std::string& reason) const;
  CommError closedError() const;
  CommError deadlineError(const Request& request, uint64_t moved) const;
  CommError lostError(const Request& request, uint64_t moved, const std::string& why) const;

  FailureLatch failure_;

 private:
  void checkPeer(int peer) const;

  const std::string name_;
  const int rank_;
  const int size_;
  std::atomic<uint64_t> bytesSent_{0};
};

}  // namespace longscan
