#include "stream_trace.h"

#include "cuda_timeline.h"

namespace longscan {

namespace {

/// Times are read in batches: on a GPU, asking whether one has passed is a call of the driver. Since a stream
/// of CUDA holds about a thousand launches at most, few more than these are ever pending.
constexpr size_t settleEvery = 256;

void add(OpTime& time, std::chrono::nanoseconds more, uint64_t bytes) {
  time.count++;
  time.total += more;
  time.bytes += bytes;
}

}  // namespace

void StreamTrace::run(const char* op, uint64_t ticket, const AwaitedWork& waitsFor, uint64_t bytes,
                      const std::function<void()>& task) {
  if (const CudaTimeline* timeline = stream().timeline(); timeline != nullptr && timeline->isCapturing()) {
    return task();
  }
  pending_.push_back({{op, ticket, waitsFor}, clock_.now(), {}});
  Pending& pending = pending_.back();
  pending.span.bytes = bytes;
  running_ = &pending.span;
  try {
    task();
  } catch (...) {
    running_ = nullptr;
    pending_.pop_back();  // its stream has failed, and nobody will read the trace
    throw;
  }
  running_ = nullptr;
  pending.end = clock_.now();
  if (pending_.size() % settleEvery == 0) settlePast();
}

void StreamTrace::noteCollective(int32_t number, uint64_t bytesSent) {
  if (running_ == nullptr) return;
  running_->collective = number;
  running_->bytesSent = bytesSent;
}

void StreamTrace::mark(std::string name) {
  if (pendingMarks_.size() < maxSpans_) {
    pendingMarks_.emplace_back(std::move(name), clock_.now());
  } else {
    numDropped_++;
  }
}

void StreamTrace::settle(Pending& pending) {
  TraceSpan& span = pending.span;
  span.begin = clock_.between(begin_, pending.begin);
  span.end = clock_.between(begin_, pending.end);
  clock_.giveBack(pending.begin);
  clock_.giveBack(pending.end);
  const auto length = span.end - span.begin;
  if (ops_) add(byOp_[span.op], length, span.bytes);
  if (span.waitsFor.stream != nullptr) add(byAwaited_[span.waitsFor.stream], length, span.bytes);
  if (spans_.size() < maxSpans_) {
    spans_.push_back(span);
  } else {
    numDropped_++;
  }
}

void StreamTrace::settlePast() {
  while (!pending_.empty() && clock_.isPast(pending_.front().end)) {
    settle(pending_.front());
    pending_.pop_front();
  }
}

void StreamTrace::read() {
  for (Pending& pending : pending_) settle(pending);
  pending_.clear();
  for (auto& [name, time] : pendingMarks_) {
    marks_.emplace_back(std::move(name), clock_.between(begin_, time));
    clock_.giveBack(time);
  }
  length_ = clock_.between(begin_, end_);
  if (maxSpans_ > 0) beginOnHost_ = clock_.onHost(begin_);
  clock_.giveBack(begin_);
  clock_.giveBack(end_);
}

}  // namespace longscan
