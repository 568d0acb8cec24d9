#pragma once

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <functional>
#include <mutex>
#include <thread>
#include <vector>

/// A stream of the fake driver: a thread that is always behind. Shared with fakes of what launches onto
/// streams (comm/testing/fake_nccl.cc).
struct CUstream_st {
  using Task = std::function<void()>;
  std::mutex mutex;
  std::condition_variable changed;
  std::vector<Task> queue;
  bool busy = false, closing = false;
  std::vector<Task>* recorded = nullptr;  // what is added goes here instead
  bool isInvalidated = false;             // what is recorded: a call was not allowed
  std::thread::id recorder;
  std::atomic<int> status{0};
  const std::chrono::microseconds lag;  // before each task
  std::thread thread{[this] { serve(); }};

  explicit CUstream_st(std::chrono::microseconds lag) : lag(lag) {}
  void add(Task task) {
    {
      std::lock_guard<std::mutex> lock(mutex);
      (recorded == nullptr ? queue : *recorded).push_back(std::move(task));
    }
    changed.notify_all();
  }
  void drain() {
    std::unique_lock<std::mutex> lock(mutex);
    changed.wait(lock, [&] { return queue.empty() && !busy; });
  }
  void serve() {
    std::unique_lock<std::mutex> lock(mutex);
    for (;;) {
      changed.wait(lock, [&] { return closing || !queue.empty(); });
      if (queue.empty()) return;
      const Task task = std::move(queue.front());
      queue.erase(queue.begin());
      busy = true;
      lock.unlock();
      if (lag.count() > 0) std::this_thread::sleep_for(lag);
      task();
      lock.lock();
      busy = false;
      changed.notify_all();
    }
  }
};
