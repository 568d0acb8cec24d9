#pragma once

#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <deque>
#include <functional>
#include <mutex>
#include <thread>
#include <vector>

#include "cuda_device.h"
#include "error.h"

namespace longscan {

/// The GPU's side of a stream. Work is launched onto it in the order of the stream's tickets and runs later;
/// marks say how far the GPU has come. A thread of its own waits for them, so that neither launching nor
/// JavaScript does.
class CudaTimeline {
 public:
  using Then = std::function<void()>;

  /// `urgent`: the GPU prefers this stream's work, as communication wants. `onFailure` is told, on any
  /// thread, of what went wrong on the GPU; later marks still pass.
  CudaTimeline(CudaDevice& device, bool urgent, std::function<void(const Error&)> onFailure);
  ~CudaTimeline();
  CudaTimeline(const CudaTimeline&) = delete;
  CudaTimeline& operator=(const CudaTimeline&) = delete;

  CudaDevice& device() const { return device_; }
  CUstream_st* stream() const { return stream_; }

  /// Marks what was launched so far as the work up to `ticket`; `then` runs once the GPU has come here.
  void mark(uint64_t ticket, Then then = nullptr);
  /// Whether the GPU has done the work up to `ticket`, all of which has been launched.
  bool passed(uint64_t ticket);
  /// Blocks until it has.
  void waitFor(uint64_t ticket);
  /// What is launched here from now on starts after the work of `other` up to `ticket`, all of which has been
  /// launched.
  void follow(CudaTimeline& other, uint64_t ticket);
  /// Blocks until the GPU has nothing left to do here. Throws E-CUDA.
  void synchronize();

  // Copies and fills, launched in order. The ends are device memory but for the host side that is named.
  void fill(void* target, unsigned char byte, size_t bytes);
  void copy(const void* source, void* target, size_t bytes);
  /// `source` may be changed as soon as this returns.
  void copyFromHost(const void* source, void* target, size_t bytes);
  /// Into page-locked memory: done when a later mark has passed. Into other memory: done when this returns.
  void copyToHost(const void* source, void* target, size_t bytes);

  /// The point after what was launched so far, to be asked for without waiting; `returnPoint` takes it back.
  /// The last two may be called by another thread than the stream's.
  CUevent_st* recordPoint();
  /// Whether the GPU has come there. Throws E-CUDA.
  bool reached(CUevent_st* point) const;
  void returnPoint(CUevent_st* point);

  /// Notes the time at which the GPU comes here, on the stream's thread; `returnTime` takes it back, on any.
  CUevent_st* recordTime();
  void returnTime(CUevent_st* time);

  /// What is launched from now on is recorded and does not run, up to `endCapture`. What the host takes part
  /// in, marks and copies from and to it, is refused meanwhile: E-CUDA-GRAPH.
  void beginCapture();
  /// What was recorded, for `launchGraph`; its owner gives it back to the driver.
  CUgraphExec_st* endCapture();
  bool isCapturing() const { return capturing_; }
  /// Ends a recording of which nobody wants anything, after a failure.
  void dropCapture();
  void launchGraph(CUgraphExec_st* graph);

  /// Ends the thread after the work launched so far.
  void close();

 private:
  struct Mark {
    uint64_t ticket;
    CUevent_st* event;  // null: the GPU had failed before
    Then then;
  };
  void serve();
  /// Adds a mark that covers `ticket` unless there is one. With the mutex held.
  void cover(uint64_t ticket);
  void addMark(uint64_t ticket, Then then);
  /// An event of this pool, recorded now; new ones with these flags. With the mutex held.
  CUevent_st* recordEvent(std::vector<CUevent_st*>& pool, unsigned flags);
  void refuseInCapture(const char* what) const;
  /// With the mutex held.
  int stopCapture(CUgraph_st** graph);

  CudaDevice& device_;
  const CudaDriver& driver_;
  const std::function<void(const Error&)> onFailure_;
  CUstream_st* stream_ = nullptr;
  std::mutex mutex_;
  std::condition_variable marked_;
  std::condition_variable advanced_;
  std::deque<Mark> marks_;               // tickets do not fall
  std::vector<CUevent_st*> events_;      // all that were made
  std::vector<CUevent_st*> freeEvents_;  // with eventForMarks
  std::vector<CUevent_st*> freeTimeEvents_;
  std::atomic<uint64_t> passed_{0};
  std::atomic<bool> capturing_{false};
  bool closing_ = false;
  std::thread thread_;
};

}  // namespace longscan
