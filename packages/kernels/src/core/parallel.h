#pragma once

#include <condition_variable>
#include <cstdint>
#include <functional>
#include <mutex>
#include <thread>
#include <vector>

namespace longscan {

/// The compute threads of a rank. `run` splits `[0, count)` into one contiguous range per thread: a fixed
/// partition, so results do not depend on timing. One caller at a time (the compute stream).
class ThreadPool {
 public:
  explicit ThreadPool(int numThreads);
  ~ThreadPool();
  ThreadPool(const ThreadPool&) = delete;
  ThreadPool& operator=(const ThreadPool&) = delete;

  int numThreads() const { return numThreads_; }
  /// Calls `body(begin, end)` on each thread's range; the caller takes the first range. Rethrows the first
  /// exception.
  void run(int64_t count, const std::function<void(int64_t begin, int64_t end)>& body);

 private:
  void serve(int thread);
  void runRange(int thread);

  const int numThreads_;
  std::mutex mutex_;
  std::condition_variable start_;
  std::condition_variable finish_;
  const std::function<void(int64_t, int64_t)>* body_ = nullptr;
  int64_t count_ = 0;
  uint64_t round_ = 0;
  int numRunning_ = 0;
  bool closing_ = false;
  std::exception_ptr error_;
  std::vector<std::thread> threads_;
};

/// Elements of a flat pointwise op below which a second thread costs more than it saves.
constexpr int64_t parallelGrain = 32768;

/// `pool.run`, but on the calling thread alone when the work is small.
inline void parallelFor(ThreadPool& pool, int64_t count, int64_t workPerItem,
                        const std::function<void(int64_t, int64_t)>& body) {
  if (pool.numThreads() == 1 || count * workPerItem < parallelGrain) {
    body(0, count);
  } else {
    pool.run(count, body);
  }
}

}  // namespace longscan
