#pragma once

#include <chrono>
#include <cstdint>

struct CUevent_st;

namespace longscan {

class Stream;

/// Takes the time at points of a stream: on a GPU by its clock when it comes there, else when the stream's
/// thread does.
class StreamClock {
 public:
  struct Time {
    std::chrono::steady_clock::time_point host;  // when the thread was there
    CUevent_st* event = nullptr;                 // the timeline's, which outlives this; null on the CPU
  };

  explicit StreamClock(Stream& stream) : stream_(stream) {}

  /// On the stream's thread; on a GPU not while a graph is recorded.
  Time now() const;
  /// Whether it is over; the functions below are for times that are.
  bool isPast(const Time& time) const;
  std::chrono::nanoseconds between(const Time& begin, const Time& end) const;
  /// By the host's monotonic clock. A GPU's clock is set against it once, to within a few microseconds.
  std::chrono::steady_clock::time_point onHost(const Time& time) const;
  /// Ends the use of a time: a GPU's event is used again.
  void giveBack(const Time& time) const;

  Stream& stream() const { return stream_; }

 private:
  Stream& stream_;
};

}  // namespace longscan
