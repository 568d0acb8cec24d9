#include "stream_clock.h"

#include "cuda_timeline.h"
#include "stream.h"

namespace longscan {

StreamClock::Time StreamClock::now() const {
  CudaTimeline* timeline = stream_.timeline();
  return {std::chrono::steady_clock::now(), timeline ? timeline->recordTime() : nullptr};
}

bool StreamClock::isPast(const Time& time) const {
  return time.event == nullptr || stream_.timeline()->reached(time.event);
}

std::chrono::nanoseconds StreamClock::between(const Time& begin, const Time& end) const {
  if (begin.event == nullptr) return end.host - begin.host;
  const CudaDriver& driver = stream_.timeline()->device().driver();
  return cudaElapsed(driver, begin.event, end.event);
}

std::chrono::steady_clock::time_point StreamClock::onHost(const Time& time) const {
  return time.event == nullptr ? time.host : stream_.timeline()->device().clock().onHost(time.event);
}

void StreamClock::giveBack(const Time& time) const {
  if (time.event != nullptr) stream_.timeline()->returnTime(time.event);
}

}  // namespace longscan
