#include "stopwatch.h"

namespace longscan {

double Stopwatch::elapsedMs() {
  const std::chrono::duration<double, std::milli> elapsed = clock_.between(begin_, end_);
  clock_.giveBack(begin_);
  clock_.giveBack(end_);
  return elapsed.count();
}

}  // namespace longscan
