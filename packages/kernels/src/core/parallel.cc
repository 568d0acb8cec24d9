#include "parallel.h"

#include "cpu.h"

namespace longscan {

ThreadPool::ThreadPool(int numThreads) : numThreads_(numThreads < 1 ? 1 : numThreads) {
  for (int i = 1; i < numThreads_; i++) threads_.emplace_back([this, i] { serve(i); });
}

ThreadPool::~ThreadPool() {
  {
    std::lock_guard<std::mutex> lock(mutex_);
    closing_ = true;
  }
  start_.notify_all();
  for (auto& thread : threads_) thread.join();
}

void ThreadPool::runRange(int thread) {
  const int64_t begin = count_ * thread / numThreads_;
  const int64_t end = count_ * (thread + 1) / numThreads_;
  if (begin == end) return;
  try {
    (*body_)(begin, end);
  } catch (...) {
    std::lock_guard<std::mutex> lock(mutex_);
    if (!error_) error_ = std::current_exception();
  }
}

void ThreadPool::run(int64_t count, const std::function<void(int64_t, int64_t)>& body) {
  {
    std::lock_guard<std::mutex> lock(mutex_);
    body_ = &body;
    count_ = count;
    numRunning_ = numThreads_ - 1;
    error_ = nullptr;
    round_++;
  }
  start_.notify_all();
  runRange(0);
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
    runRange(thread);
    {
      std::lock_guard<std::mutex> lock(mutex_);
      numRunning_--;
    }
    finish_.notify_one();
  }
}

}  // namespace longscan
