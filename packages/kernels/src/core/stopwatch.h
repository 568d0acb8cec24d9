#pragma once

#include "stream_clock.h"

namespace longscan {

/// Takes the time of the work on a stream between two points: on a GPU by its own clock. `begin` and `end`
/// are called on the stream's thread, `elapsedMs`, once, when everything up to `end` is done.
class Stopwatch {
 public:
  explicit Stopwatch(Stream& stream) : clock_(stream) {}
  void begin() { begin_ = clock_.now(); }
  void end() { end_ = clock_.now(); }
  double elapsedMs();
  Stream& stream() const { return clock_.stream(); }

 private:
  const StreamClock clock_;
  StreamClock::Time begin_, end_;
};

}  // namespace longscan
