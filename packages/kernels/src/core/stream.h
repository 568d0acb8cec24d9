#pragma once

#include <array>
#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <deque>
#include <functional>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <unordered_map>

#include "tensor.h"

namespace longscan {

class Context;

/// What the first failure on a stream was; every later wait on the stream reports this one.
struct StreamFailure {
  std::string code;
  std::string message;
};

/// Time that one kind of work took on a stream.
struct OpTime {
  uint64_t count = 0;
  std::chrono::nanoseconds total{0};
};

/// An in-order queue of work served by one native thread. Enqueueing never blocks; events are tickets
/// `(stream, sequence number)`, so there is nothing to create or free for them.
class Stream {
 public:
  Stream(Context& context, std::string name);
  ~Stream();
  Stream(const Stream&) = delete;
  Stream& operator=(const Stream&) = delete;

  /// Adds work and returns its ticket. After a failure the work is skipped (its ticket still completes).
  uint64_t enqueue(const char* op, std::function<void()> task, const ShapeList& shapes = {});

  /// Adds work that runs even after a failure and is told of it: read-backs and notifications.
  uint64_t enqueueAlways(std::function<void(const std::optional<StreamFailure>&)> task);

  /// The ticket of the newest work (0: none yet).
  uint64_t last() const { return enqueued_.load(std::memory_order_acquire); }
  bool done(uint64_t ticket) const { return completed_.load(std::memory_order_acquire) >= ticket; }

  /// Blocks the calling thread (another stream's) until the ticket is done; throws this stream's failure.
  void waitFor(uint64_t ticket);

  /// How long other streams have stood still for this one: communication that was not hidden, on its stream.
  std::chrono::nanoseconds waitedFor() const { return std::chrono::nanoseconds(waitedFor_.load()); }
  /// What the work done so far took, by op name.
  std::unordered_map<std::string, OpTime> opTimes() const;

  /// Records a failure that came from elsewhere in the context; later work is skipped.
  void fail(const StreamFailure& failure);
  std::optional<StreamFailure> failure() const;

  /// Ends the thread after the queued work; called once, by the context.
  void close();

  Context& context() { return context_; }
  const std::string& name() const { return name_; }

 private:
  struct Task {
    const char* op;  // null: an `always` task
    ShapeList shapes;
    std::function<void()> run;
    std::function<void(const std::optional<StreamFailure>&)> always;
  };
  void serve();
  void runTask(Task& task, uint64_t ticket);
  uint64_t push(Task task);

  Context& context_;
  const std::string name_;
  mutable std::mutex mutex_;
  std::condition_variable workArrived_;
  std::condition_variable workDone_;
  std::deque<Task> queue_;
  std::optional<StreamFailure> failure_;
  std::atomic<uint64_t> enqueued_{0};
  std::atomic<uint64_t> completed_{0};
  std::atomic<int64_t> waitedFor_{0};
  std::unordered_map<const char*, OpTime> opTimes_;  // op names are literals
  bool closing_ = false;
  std::thread thread_;
};

}  // namespace longscan
