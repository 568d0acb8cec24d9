#pragma once

#include <functional>
#include <memory>
#include <string>
#include <unordered_map>
#include <utility>
#include <vector>

#include "stopwatch.h"

namespace longscan {

/// What the ops of a stream take between two points, each by a stopwatch of its own: on a GPU by its clock,
/// which costs two events an op. `begin`, `run` and `end` are called on the stream's thread, the others once
/// everything up to `end` is done.
class OpProfile {
 public:
  explicit OpProfile(Stream& stream) : stream_(stream), whole_(stream) {}

  void begin() { whole_.begin(); }
  void end() { whole_.end(); }
  /// Runs an op and notes its time in its name, a literal.
  void run(const char* op, const std::function<void()>& task);

  /// Reads the clocks; called once, and needed by what follows.
  void read();
  double wholeMs() const { return wholeMs_; }
  const std::unordered_map<std::string, OpTime>& ops() const { return byOp_; }
  Stream& stream() const { return stream_; }

 private:
  Stream& stream_;
  Stopwatch whole_;
  std::vector<std::pair<const char*, Stopwatch>> watches_;
  double wholeMs_ = 0;
  std::unordered_map<std::string, OpTime> byOp_;
};

}  // namespace longscan
