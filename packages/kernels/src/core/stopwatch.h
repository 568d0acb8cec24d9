#pragma once

#include <chrono>

#include "stream.h"

struct CUevent_st;

namespace longscan {

/// Takes the time of the work on a stream between two points: on a GPU by its own clock. `begin` and `end`
/// are called on the stream's thread, `elapsedMs` once everything up to `end` is done.
class Stopwatch {
 public:
  explicit Stopwatch(Stream& stream) : stream_(stream) {}
  void begin() { begin_ = now(); }
  void end() { end_ = now(); }
  double elapsedMs() const;
  Stream& stream() const { return stream_; }

 private:
  struct Point {
    std::chrono::steady_clock::time_point time;
    CUevent_st* event;  // the timeline's, which outlives this; null on the CPU
  };
  Point now() const;

  Stream& stream_;
  Point begin_{}, end_{};
};

}  // namespace longscan
