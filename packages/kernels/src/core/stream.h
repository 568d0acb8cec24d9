#pragma once

#include <array>
#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <unordered_map>

#include "tensor.h"

namespace longscan {

class Context;
class CudaTimeline;
class Stream;
class StreamTrace;

/// What the first failure on a stream was; every later wait on the stream reports this one.
struct StreamFailure {
  std::string code;
  std::string message;
};

/// Work of a stream, for which another one waits.
struct AwaitedWork {
  Stream* stream = nullptr;  // null: no wait
  uint64_t ticket = 0;
};

/// Time that one kind of work took on a stream.
struct OpTime {
  uint64_t count = 0;
  std::chrono::nanoseconds total{0};
  uint64_t bytes = 0;  // of the tensors that it was given
};

/// An in-order queue of work served by one native thread. Enqueueing never blocks; events are tickets
/// `(stream, sequence number)`, so there is nothing to create or free for them. On a GPU the thread launches
/// the work, and a ticket is done when the GPU has done it.
class Stream {
 public:
  using Then = std::function<void(const std::optional<StreamFailure>&)>;

  /// `urgent` is for a GPU: see CudaTimeline.
  Stream(Context& context, std::string name, bool urgent);
  ~Stream();
  Stream(const Stream&) = delete;
  Stream& operator=(const Stream&) = delete;

  /// Adds work and returns its ticket. After a failure the work is skipped (its ticket still completes).
  /// While the context records a graph, that has the work, and tickets are points of it; so with
  /// `enqueueWait` and `record`.
  uint64_t enqueue(const char* op, std::function<void()> task, const ShapeList& shapes = {});
  /// The same, for graphs themselves: adds it now.
  uint64_t enqueueAtOnce(const char* op, std::function<void()> task, const ShapeList& shapes = {});

  /// Adds what takes times or begins a recording: no op, counted nowhere and in no trace.
  uint64_t enqueueNote(const char* name, std::function<void()> task);

  /// What is enqueued later starts when `other` has done the ticket. Fails with its failure.
  void enqueueWait(Stream& other, uint64_t ticket);

  /// Runs `then` when everything before it is done, even after a failure, of which it is told: read-backs and
  /// notifications. `work`, if any, is enqueued in front of it.
  uint64_t enqueueAlways(Then then, std::function<void()> work = nullptr);

  /// The ticket of the newest work (0: none yet).
  uint64_t last() const { return enqueued_.load(std::memory_order_acquire); }
  /// A ticket for everything enqueued so far, for others to wait for.
  uint64_t record();
  bool done(uint64_t ticket) const;
  /// Whether the thread has come to the end of the queue.
  bool idle() const { return served(last()); }
  /// Whether ops are queued or running, work that is done even after a failure not counted.
  bool hasOps() const { return numOps_.load(std::memory_order_acquire) > 0; }

  /// Blocks the calling thread until the ticket is done; throws this stream's failure.
  void waitFor(uint64_t ticket);
  /// What the work done so far took, by op name.
  std::unordered_map<std::string, OpTime> opTimes() const;
  /// On this stream's thread: from here on `trace` takes times; null: nobody does.
  void setTrace(std::shared_ptr<StreamTrace> trace) { trace_ = std::move(trace); }
  /// On this stream's thread; may be null.
  StreamTrace* trace() const { return trace_.get(); }

  /// Records a failure that came from elsewhere in the context; later work is skipped.
  void fail(const StreamFailure& failure);
  std::optional<StreamFailure> failure() const;

  /// Ends the thread after the queued work; called once, by the context.
  void close();

  Context& context() { return context_; }
  const std::string& name() const { return name_; }
  /// Whether it carries communication, whose work a GPU prefers.
  bool urgent() const { return urgent_; }
  /// The GPU's side; null on the CPU.
  CudaTimeline* timeline() const { return timeline_.get(); }

 private:
  struct Task {
    const char* op;
    ShapeList shapes;
    std::function<void()> run;  // may be null
    Then then;                  // null: an op
    bool isNote = false;
    AwaitedWork waitsFor;

    bool isOp() const { return !then && !isNote; }
  };
  bool served(uint64_t ticket) const { return served_.load(std::memory_order_acquire) >= ticket; }
  void waitUntilServed(uint64_t ticket);
  void throwFailure() const;
  void follow(Stream& other, uint64_t ticket);
  void serve();
  void runTask(Task& task, uint64_t ticket);
  void runOp(Task& task, uint64_t ticket);
  uint64_t push(Task task);

  Context& context_;
  const std::string name_;
  const bool urgent_;
  mutable std::mutex mutex_;
  std::condition_variable workArrived_;
  std::condition_variable workServed_;
  std::deque<Task> queue_;
  std::optional<StreamFailure> failure_;
  std::atomic<uint64_t> enqueued_{0};
  std::atomic<uint64_t> served_{0};
  std::atomic<uint64_t> numOps_{0};
  std::unordered_map<const char*, OpTime> opTimes_;  // op names are literals
  std::shared_ptr<StreamTrace> trace_;               // of the thread alone
  bool closing_ = false;
  std::unique_ptr<CudaTimeline> timeline_;
  std::thread thread_;
};

}  // namespace longscan
