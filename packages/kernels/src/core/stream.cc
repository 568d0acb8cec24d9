#include "stream.h"

#include "context.h"
#include "cpu.h"
#include "error.h"

namespace longscan {

Stream::Stream(Context& context, std::string name) : context_(context), name_(std::move(name)) {
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
}

uint64_t Stream::push(Task task) {
  uint64_t ticket;
  {
    std::lock_guard<std::mutex> lock(mutex_);
    queue_.push_back(std::move(task));
    ticket = enqueued_.fetch_add(1, std::memory_order_acq_rel) + 1;
  }
  workArrived_.notify_one();
  return ticket;
}

uint64_t Stream::enqueue(const char* op, std::function<void()> task, const ShapeList& shapes) {
  return push(Task{op, shapes, std::move(task), nullptr});
}

uint64_t Stream::enqueueAlways(std::function<void(const std::optional<StreamFailure>&)> task) {
  return push(Task{nullptr, {}, nullptr, std::move(task)});
}

void Stream::waitFor(uint64_t ticket) {
  const auto start = std::chrono::steady_clock::now();
  std::unique_lock<std::mutex> lock(mutex_);
  workDone_.wait(lock, [&] { return done(ticket); });
  waitedFor_ += std::chrono::nanoseconds(std::chrono::steady_clock::now() - start).count();
  if (failure_) throw Error(failure_->code, failure_->message);
}

std::unordered_map<std::string, OpTime> Stream::opTimes() const {
  std::lock_guard<std::mutex> lock(mutex_);
  std::unordered_map<std::string, OpTime> times;
  for (const auto& [op, time] : opTimes_) {
    OpTime& sum = times[op];
    sum.count += time.count;
    sum.total += time.total;
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
      if (task.op != nullptr) {
        OpTime& time = opTimes_[task.op];
        time.count++;
        time.total += std::chrono::steady_clock::now() - start;
      }
      completed_.store(ticket, std::memory_order_release);
    }
    workDone_.notify_all();
  }
}

void Stream::runTask(Task& task, uint64_t ticket) {
  const auto before = failure();
  if (task.op == nullptr) {
    task.always(before);
    return;
  }
  if (before) return;
  std::optional<StreamFailure> failed;
  const auto describe = [&](const char* what) {
    return "op \"" + std::string(task.op) + "\" #" + std::to_string(ticket) + " on stream \"" + name_ +
           "\" " + task.shapes.toString() + ": " + what;
  };
  try {
    task.run();
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
