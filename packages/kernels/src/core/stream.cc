#include "stream.h"

#include "context.h"
#include "cpu.h"
#include "cuda_graph.h"
#include "cuda_timeline.h"
#include "error.h"
#include "stream_trace.h"

namespace longscan {

Stream::Stream(Context& context, std::string name, bool urgent)
    : context_(context), name_(std::move(name)), urgent_(urgent) {
  if (CudaDevice* device = context.cuda()) {
    const auto fail = [this](const Error& error) {
      context_.fail(
          {error.code(), "on stream \"" + name_ + "\": " + error.what() +
                             ". Fix: set LONGSCAN_SYNC=1, which waits after each op, to see which op it is"});
    };
    timeline_ = std::make_unique<CudaTimeline>(*device, urgent, fail);
  }
  thread_ = std::thread([this] { serve(); });
}

Stream::~Stream() {
  close();
}

void Stream::close() {
  {
    std::lock_guard<std::mutex> lock(mutex_);
    closing_ = true;
  }
  workArrived_.notify_all();
  if (thread_.joinable()) thread_.join();
  if (timeline_) timeline_->close();
}

uint64_t Stream::push(Task task) {
  uint64_t ticket;
  {
    std::lock_guard<std::mutex> lock(mutex_);
    if (task.isOp()) numOps_.fetch_add(1, std::memory_order_acq_rel);
    queue_.push_back(std::move(task));
    ticket = enqueued_.fetch_add(1, std::memory_order_acq_rel) + 1;
  }
  workArrived_.notify_one();
  return ticket;
}

uint64_t Stream::enqueue(const char* op, std::function<void()> task, const ShapeList& shapes) {
  if (CudaGraph* graph = context_.recording()) return graph->enqueue(*this, op, std::move(task), shapes);
  return enqueueAtOnce(op, std::move(task), shapes);
}

uint64_t Stream::enqueueAtOnce(const char* op, std::function<void()> task, const ShapeList& shapes) {
  return push(Task{op, shapes, std::move(task), nullptr});
}

uint64_t Stream::enqueueNote(const char* name, std::function<void()> task) {
  return push(Task{name, {}, std::move(task), nullptr, true});
}

void Stream::enqueueWait(Stream& other, uint64_t ticket) {
  if (CudaGraph* graph = context_.recording()) return graph->wait(*this, other, ticket);
  if (CudaGraph::isPoint(ticket))
    throw Error(
        "E-CUDA-GRAPH",
        "an event of a graph, outside of it. Fix: wait for an event that is recorded behind its launch");
  const auto wait = [this, &other, ticket] { follow(other, ticket); };
  push(Task{"streamWait", {}, wait, nullptr, false, {&other, ticket}});
}

uint64_t Stream::enqueueAlways(Then then, std::function<void()> work) {
  return push(Task{"read-back", {}, std::move(work), std::move(then)});
}

uint64_t Stream::record() {
  if (CudaGraph* graph = context_.recording()) return graph->record(*this);
  // On a GPU a mark of its own, so that whoever waits for it waits for nothing launched later.
  return timeline_ ? enqueueAlways([](const auto&) {}) : last();
}

bool Stream::done(uint64_t ticket) const {
  return served(ticket) && (!timeline_ || timeline_->passed(ticket));
}

void Stream::waitUntilServed(uint64_t ticket) {
  std::unique_lock<std::mutex> lock(mutex_);
  workServed_.wait(lock, [&] { return served(ticket); });
}

void Stream::throwFailure() const {
  if (const auto failed = failure()) throw Error(failed->code, failed->message);
}

void Stream::waitFor(uint64_t ticket) {
  waitUntilServed(ticket);
  if (timeline_) timeline_->waitFor(ticket);
  throwFailure();
}

void Stream::follow(Stream& other, uint64_t ticket) {
  if (!timeline_ || !other.timeline_) return other.waitFor(ticket);
  other.waitUntilServed(ticket);
  other.throwFailure();
  timeline_->follow(*other.timeline_, ticket);
}

std::unordered_map<std::string, OpTime> Stream::opTimes() const {
  std::lock_guard<std::mutex> lock(mutex_);
  std::unordered_map<std::string, OpTime> times;
  for (const auto& [op, time] : opTimes_) {
    OpTime& sum = times[op];
    sum.count += time.count;
    sum.total += time.total;
    sum.bytes += time.bytes;
  }
  return times;
}

void Stream::fail(const StreamFailure& failure) {
  std::lock_guard<std::mutex> lock(mutex_);
  if (!failure_) failure_ = failure;
}

std::optional<StreamFailure> Stream::failure() const {
  std::lock_guard<std::mutex> lock(mutex_);
  return failure_;
}

void Stream::serve() {
  prepareComputeThread();
  if (timeline_) timeline_->device().use();
  for (uint64_t ticket = 1;; ticket++) {
    Task task;
    {
      std::unique_lock<std::mutex> lock(mutex_);
      workArrived_.wait(lock, [&] { return closing_ || !queue_.empty(); });
      if (queue_.empty()) return;
      task = std::move(queue_.front());
      queue_.pop_front();
    }
    const auto start = std::chrono::steady_clock::now();
    runTask(task, ticket);
    {
      std::lock_guard<std::mutex> lock(mutex_);
      if (task.isOp()) {
        numOps_.fetch_sub(1, std::memory_order_acq_rel);
        OpTime& time = opTimes_[task.op];
        time.count++;
        time.total += std::chrono::steady_clock::now() - start;
        time.bytes += task.shapes.bytes();
      }
      served_.store(ticket, std::memory_order_release);
    }
    workServed_.notify_all();
    // Told once it counts as served, as on a GPU: whoever has awaited the last work finds the stream idle.
    if (!timeline_ && task.then) task.then(failure());
  }
}

void Stream::runTask(Task& task, uint64_t ticket) {
  if (task.run && !failure()) runOp(task, ticket);
  // What would end a recording is skipped by now, and no mark may be recorded in one.
  if (timeline_ && timeline_->isCapturing() && failure()) timeline_->dropCapture();
  if (timeline_ && task.then) timeline_->mark(ticket, [this, then = task.then] { then(failure()); });
}

void Stream::runOp(Task& task, uint64_t ticket) {
  std::optional<StreamFailure> failed;
  const auto describe = [&](const char* what) {
    return "op \"" + std::string(task.op) + "\" #" + std::to_string(ticket) + " on stream \"" + name_ +
           "\" " + task.shapes.toString() + ": " + what;
  };
  try {
    if (trace_ && task.isOp() && trace_->wants(task.waitsFor)) {
      trace_->run(task.op, ticket, task.waitsFor, task.shapes.bytes(), task.run);
    } else {
      task.run();
    }
    if (timeline_ && context_.waitsAfterEachOp()) timeline_->synchronize();
  } catch (const Error& error) {
    // A failure handed on by another stream of this context keeps its own words.
    failed = context_.isOwnFailure(error.what()) ? StreamFailure{error.code(), error.what()}
                                                 : StreamFailure{error.code(), describe(error.what())};
  } catch (const std::exception& error) {
    failed = StreamFailure{"E-STREAM", describe(error.what())};
  }
  if (failed) context_.fail(*failed);
}

}  // namespace longscan
