#pragma once

#include <functional>
#include <memory>
#include <mutex>
#include <string>

#include "../core/stream.h"
#include "collectives.h"

namespace longscan {

/// One rank's end of a group: an engine's collectives, and the stream whose thread calls them. The first
/// failure on any stream of the rank's context aborts them, so that peers hear of it.
class Communicator : public std::enable_shared_from_this<Communicator> {
 public:
  static std::shared_ptr<Communicator> create(std::unique_ptr<Collectives> collectives, Stream& stream);
  Communicator(const Communicator&) = delete;
  Communicator& operator=(const Communicator&) = delete;

  int rank() const { return collectives_->rank(); }
  int size() const { return collectives_->size(); }
  uint64_t bytesSent() const { return collectives_->bytesSent(); }
  /// Once the group stands.
  std::string chainObstacle() const { return collectives_->chainObstacle(); }
  void abort(const std::string& reason) { collectives_->abort(reason); }

  /// Wraps a collective for the stream: counts it, then runs it, and says so in the stream's trace.
  std::function<void()> task(std::function<void(Collectives&)> collective);

  /// From now on the number of the collective that was begun last (from 1) is written there: what tells a
  /// rank that hangs in a collective from one that computes. Null ends that; afterwards the slot is not
  /// touched any more.
  void attachProgress(int32_t* slot);

  /// Queues the end of the collectives behind the work so far; the stream must be alive.
  void close(Stream& stream);
  /// For a stream that is gone: nothing can be running.
  void closeNow();

 private:
  Communicator(std::unique_ptr<Collectives> collectives, Stream& stream)
      : collectives_(std::move(collectives)), stream_(stream) {}
  int32_t countCollective();

  const std::unique_ptr<Collectives> collectives_;
  Stream& stream_;  // only for what runs on it: the communicator may live longer
  int abortHook_ = 0;
  std::mutex progressMutex_;
  int32_t* progress_ = nullptr;
  int32_t numCollectives_ = 0;
};

}  // namespace longscan
