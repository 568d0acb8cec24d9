#include "op_profile.h"

namespace longscan {

void OpProfile::run(const char* op, const std::function<void()>& task) {
  Stopwatch watch(stream_);
  watch.begin();
  task();
  watch.end();
  watches_.emplace_back(op, watch);
}

void OpProfile::read() {
  wholeMs_ = whole_.elapsedMs();
  for (const auto& [op, watch] : watches_) {
    OpTime& time = byOp_[op];
    time.count++;
    time.total += std::chrono::nanoseconds(static_cast<int64_t>(1e6 * watch.elapsedMs()));
  }
}

}  // namespace longscan
