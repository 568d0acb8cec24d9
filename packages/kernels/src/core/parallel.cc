#include "parallel.h"

#include "cpu.h"

namespace longscan {

ThreadPool::ThreadPool(int numThreads, int numParts)
    : numThreads_(numThreads < 1 ? 1 : numThreads),
      numParts_(numParts < 1 ? numThreads_ : numParts),
      hasFixedParts_(numParts > 0) {
  try {
    for (int i = 1; i < numThreads_; i++) threads_.emplace_back([this, i] { serve(i); });
  } catch (...) {
    // The system starts no more of them. A thread that is never joined would end the process.
    close();
    throw;
  }
}

ThreadPool::~ThreadPool() {
  close();
}

void ThreadPool::close() {
  {
    std::lock_guard<std::mutex> lock(mutex_);
    closing_ = true;
  }
  start_.notify_all();
  for (auto& thread : threads_) thread.join();
}

namespace {

/// Calls `body` for parts [first, last) of `numParts`; empty ones are left out.
void runParts(const std::function<void(int64_t, int64_t)>& body, int64_t count, int64_t numParts,
              int64_t first, int64_t last) {
  for (int64_t part = first; part < last; part++) {
    const int64_t begin = count * part / numParts;
    const int64_t end = count * (part + 1) / numParts;
    if (begin < end) body(begin, end);
  }
}

}  // namespace

void ThreadPool::runShare(int thread) {
  const int64_t parts = numParts_;
  try {
    runParts(*body_, count_, parts, parts * thread / numThreads_, parts * (thread + 1) / numThreads_);
  } catch (...) {
    std::lock_guard<std::mutex> lock(mutex_);
    if (!error_) error_ = std::current_exception();
  }
}

void ThreadPool::run(int64_t count, const std::function<void(int64_t, int64_t)>& body) {
  const std::unique_lock<std::mutex> caller(caller_, std::try_to_lock);
  if (numThreads_ == 1 || !caller.owns_lock()) {
    runParts(body, count, numParts_, 0, numParts_);
    return;
  }
  {
    std::lock_guard<std::mutex> lock(mutex_);
    body_ = &body;
    count_ = count;
    numRunning_ = numThreads_ - 1;
    error_ = nullptr;
    round_++;
  }
  start_.notify_all();
  runShare(0);
  std::unique_lock<std::mutex> lock(mutex_);
  finish_.wait(lock, [&] { return numRunning_ == 0; });
  if (error_) std::rethrow_exception(error_);
}

void ThreadPool::serve(int thread) {
  prepareComputeThread();
  uint64_t seen = 0;
  for (;;) {
    {
      std::unique_lock<std::mutex> lock(mutex_);
      start_.wait(lock, [&] { return closing_ || round_ != seen; });
      if (closing_) return;
      seen = round_;
    }
    runShare(thread);
    {
      std::lock_guard<std::mutex> lock(mutex_);
      numRunning_--;
    }
    finish_.notify_one();
  }
}

}  // namespace longscan
