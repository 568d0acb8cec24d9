#pragma once

#include <functional>
#include <memory>
#include <mutex>
#include <string>

#include "../core/stream.h"
#include "collectives.h"
#include "transport.h"

namespace longscan {

/// One rank's end of a group: a transport, and the stream whose thread drives it. The first failure on any
/// stream of the rank's context aborts the transport, so that peers hear of it within milliseconds.
class Communicator : public std::enable_shared_from_this<Communicator> {
 public:
  /// Every wait inside a collective gets `timeout`.
  static std::shared_ptr<Communicator> create(std::unique_ptr<Transport> transport, Stream& stream,
                                              std::chrono::milliseconds timeout);
  Communicator(const Communicator&) = delete;
  Communicator& operator=(const Communicator&) = delete;

  int rank() const { return transport_->rank(); }
  int size() const { return transport_->size(); }
  uint64_t bytesSent() const { return transport_->bytesSent(); }
  void abort(const std::string& reason) { transport_->abort(reason); }

  /// Wraps a collective for the stream: counts it, then runs it.
  std::function<void()> task(std::function<void(Collectives&)> collective);

  /// From now on the number of the collective that was begun last (from 1) is written there: what tells a
  /// rank that hangs in a collective from one that computes. Null ends that; afterwards the slot is not
  /// touched any more.
  void attachProgress(int32_t* slot);

  /// Queues the transport's close behind the work so far; the stream must be alive.
  void close(Stream& stream);
  /// For a stream that is gone: nothing can be running.
  void closeNow();

 private:
  Communicator(std::unique_ptr<Transport> transport, std::chrono::milliseconds timeout);
  void countCollective();

  const std::unique_ptr<Transport> transport_;
  Collectives collectives_;  // used by the stream's thread only
  int abortHook_ = 0;
  std::mutex progressMutex_;
  int32_t* progress_ = nullptr;
  int32_t numCollectives_ = 0;
};

}  // namespace longscan
