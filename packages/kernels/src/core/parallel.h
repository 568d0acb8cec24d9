#pragma once

#include <condition_variable>
#include <cstdint>
#include <functional>
#include <mutex>
#include <thread>
#include <vector>

namespace longscan {

/// The compute threads of a rank. `run` splits `[0, count)` into contiguous ranges, `numParts` of them: a
/// partition that does not depend on timing, nor on the number of threads if it is fixed.
class ThreadPool {
 public:
  /// `numParts` 0: one range per thread.
  explicit ThreadPool(int numThreads, int numParts = 0);
  ~ThreadPool();
  ThreadPool(const ThreadPool&) = delete;
  ThreadPool& operator=(const ThreadPool&) = delete;

  int numThreads() const { return numThreads_; }
  int numParts() const { return numParts_; }
  bool hasFixedParts() const { return hasFixedParts_; }
  /// Calls `body(begin, end)` for each range, the first ones on the calling thread; on it alone while another
  /// stream has the threads. Rethrows the first exception.
  void run(int64_t count, const std::function<void(int64_t begin, int64_t end)>& body);

 private:
  void serve(int thread);
  void runShare(int thread);
  /// Ends the threads.
  void close();

  const int numThreads_;
  const int numParts_;
  const bool hasFixedParts_;
  /// Held by the stream that has the threads.
  std::mutex caller_;
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

/// Ranges of a fixed partition.
constexpr int fixedParts = 16;

/// Elements of a flat pointwise op below which a second thread costs more than it saves.
constexpr int64_t parallelGrain = 32768;

/// `pool.run`, but in one range on the calling thread when the work is small.
inline void parallelFor(ThreadPool& pool, int64_t count, int64_t workPerItem,
                        const std::function<void(int64_t, int64_t)>& body) {
  if (pool.numParts() == 1 || count * workPerItem < parallelGrain) {
    body(0, count);
  } else {
    pool.run(count, body);
  }
}

}  // namespace longscan
