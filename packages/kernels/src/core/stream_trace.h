#pragma once

#include <cstddef>
#include <deque>
#include <functional>
#include <string>
#include <unordered_map>
#include <utility>
#include <vector>

#include "stream.h"
#include "stream_clock.h"

namespace longscan {

/// One piece of work in a trace. Times count from where the trace began.
struct TraceSpan {
  const char* op;   // a literal
  uint64_t ticket;  // of the work on its stream
  AwaitedWork waitsFor;
  int32_t collective = 0;  // its number in its communicator, from 1; 0: none
  uint64_t bytesSent = 0;  // by it
  uint64_t bytes = 0;      // of the tensors that the work was given
  std::chrono::nanoseconds begin{0}, end{0};
};

/// What a stream did between two points: each of its ops, or only what it waited for from other ranks. On a
/// GPU a piece of work takes two events, which are read once the GPU has passed them: nobody waits for that.
/// `begin`, `run`, `note…`, `mark` and `end` are called on the stream's thread, the others once everything up
/// to `end` is done.
class StreamTrace {
 public:
  /// `ops`: of every op, not only of waits for communication. Spans beyond `maxSpans`, and marks beyond as
  /// many, are counted and not kept; sums are of all work.
  StreamTrace(Stream& stream, bool ops, size_t maxSpans) : clock_(stream), ops_(ops), maxSpans_(maxSpans) {}

  void begin() { begin_ = clock_.now(); }
  void end() { end_ = clock_.now(); }
  /// Whether the time of this work is to be taken.
  bool wants(const AwaitedWork& waitsFor) const {
    return ops_ || (waitsFor.stream != nullptr && waitsFor.stream->urgent());
  }
  /// Runs an op, given tensors of so many bytes, and takes its time. While a graph is recorded nothing runs
  /// and no time is taken.
  void run(const char* op, uint64_t ticket, const AwaitedWork& waitsFor, uint64_t bytes,
           const std::function<void()>& task);
  /// Of the op that runs: it is this collective and has sent so much.
  void noteCollective(int32_t number, uint64_t bytesSent);
  /// Names this point.
  void mark(std::string name);

  /// Reads the clocks; called once, and needed by what follows.
  void read();
  /// Of the host's monotonic clock; only of a trace that keeps spans.
  std::chrono::steady_clock::time_point beginOnHost() const { return beginOnHost_; }
  std::chrono::nanoseconds length() const { return length_; }
  const std::unordered_map<std::string, OpTime>& ops() const { return byOp_; }
  /// How long the stream stood still for others.
  const std::unordered_map<const Stream*, OpTime>& waits() const { return byAwaited_; }
  const std::vector<TraceSpan>& spans() const { return spans_; }
  const std::vector<std::pair<std::string, std::chrono::nanoseconds>>& marks() const { return marks_; }
  uint64_t numDropped() const { return numDropped_; }

  Stream& stream() const { return clock_.stream(); }

 private:
  struct Pending {
    TraceSpan span;
    StreamClock::Time begin, end;
  };
  void settle(Pending& pending);
  void settlePast();

  const StreamClock clock_;
  const bool ops_;
  const size_t maxSpans_;
  StreamClock::Time begin_, end_;
  std::deque<Pending> pending_;  // whose times are not read yet
  TraceSpan* running_ = nullptr;
  std::vector<std::pair<std::string, StreamClock::Time>> pendingMarks_;

  std::chrono::steady_clock::time_point beginOnHost_;
  std::chrono::nanoseconds length_{0};
  std::unordered_map<std::string, OpTime> byOp_;
  std::unordered_map<const Stream*, OpTime> byAwaited_;
  std::vector<TraceSpan> spans_;
  std::vector<std::pair<std::string, std::chrono::nanoseconds>> marks_;
  uint64_t numDropped_ = 0;
};

}  // namespace longscan
