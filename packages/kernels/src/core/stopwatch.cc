#include "stopwatch.h"

#include "cuda_timeline.h"

namespace longscan {

Stopwatch::Point Stopwatch::now() const {
  CudaTimeline* timeline = stream_.timeline();
  return {std::chrono::steady_clock::now(), timeline ? timeline->recordTime() : nullptr};
}

double Stopwatch::elapsedMs() const {
  if (CudaTimeline* timeline = stream_.timeline()) return timeline->elapsedMs(begin_.event, end_.event);
  return std::chrono::duration<double, std::milli>(end_.time - begin_.time).count();
}

}  // namespace longscan
