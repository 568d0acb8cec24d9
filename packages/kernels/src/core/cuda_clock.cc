#include "cuda_clock.h"

#include <utility>

namespace longscan {

namespace {
using Clock = std::chrono::steady_clock;

constexpr unsigned streamNonBlocking = 1;  // CU_STREAM_NON_BLOCKING
/// Of so many tries the one that took the shortest counts: the event lies somewhere in it.
constexpr int numTries = 16;
/// Elapsed times are floats of milliseconds: over so much they are still exact to a microsecond.
constexpr auto longestElapsed = std::chrono::seconds(8);
}  // namespace

std::chrono::nanoseconds cudaElapsed(const CudaDriver& driver, CUevent_st* begin, CUevent_st* end) {
  float ms = 0;
  driver.check(driver.eventElapsedTime(&ms, begin, end), "cuEventElapsedTime");
  return std::chrono::nanoseconds(static_cast<int64_t>(1e6 * static_cast<double>(ms)));
}

CudaClock::CudaClock(const CudaDriver& driver) : driver_(driver) {
  driver_.check(driver_.streamCreateWithPriority(&stream_, streamNonBlocking, 0),
                "cuStreamCreateWithPriority");
  driver_.check(driver_.eventCreate(&anchor_, 0), "cuEventCreate");
  driver_.check(driver_.eventCreate(&spare_, 0), "cuEventCreate");
  auto shortest = Clock::duration::max();
  for (int i = 0; i < numTries; i++) {
    const auto before = Clock::now();
    recordSpare();
    const auto length = Clock::now() - before;
    if (length >= shortest) continue;
    shortest = length;
    anchorOnHost_ = before + length / 2;
    std::swap(anchor_, spare_);
  }
}

CudaClock::~CudaClock() {
  driver_.eventDestroy(anchor_);
  driver_.eventDestroy(spare_);
  driver_.streamDestroy(stream_);
}

void CudaClock::recordSpare() {
  driver_.check(driver_.eventRecord(spare_, stream_), "cuEventRecord");
  driver_.check(driver_.eventSynchronize(spare_), "cuEventSynchronize");
}

Clock::time_point CudaClock::onHost(CUevent_st* event) {
  std::lock_guard<std::mutex> lock(mutex_);
  if (cudaElapsed(driver_, anchor_, event) > longestElapsed) {
    recordSpare();
    anchorOnHost_ += cudaElapsed(driver_, anchor_, spare_);
    std::swap(anchor_, spare_);
  }
  return anchorOnHost_ + cudaElapsed(driver_, anchor_, event);
}

}  // namespace longscan
