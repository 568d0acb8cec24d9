#include "communicator.h"

#include "../core/context.h"
#include "../core/stream_trace.h"

namespace longscan {

std::shared_ptr<Communicator> Communicator::create(std::unique_ptr<Collectives> collectives, Stream& stream) {
  std::shared_ptr<Communicator> communicator(new Communicator(std::move(collectives), stream));
  // Weak, because the hook may run or stay behind after the communicator has gone.
  communicator->abortHook_ = stream.context().addAbortHook(
      [weak = std::weak_ptr<Communicator>(communicator)](const StreamFailure& failure) {
        if (const auto alive = weak.lock()) alive->abort(failure.message);
      },
      [weak = std::weak_ptr<Communicator>(communicator)] {
        if (const auto alive = weak.lock()) alive->collectives_->detach();
      });
  return communicator;
}

std::function<void()> Communicator::task(std::function<void(Collectives&)> collective) {
  return [self = shared_from_this(), collective = std::move(collective)] {
    const int32_t number = self->countCollective();
    const uint64_t sentBefore = self->bytesSent();
    collective(*self->collectives_);
    if (StreamTrace* trace = self->stream_.trace()) {
      trace->noteCollective(number, self->bytesSent() - sentBefore);
    }
  };
}

int32_t Communicator::countCollective() {
  std::lock_guard<std::mutex> lock(progressMutex_);
  numCollectives_++;
  // Read by another thread through a SharedArrayBuffer.
  if (progress_ != nullptr) __atomic_store_n(progress_, numCollectives_, __ATOMIC_RELEASE);
  return numCollectives_;
}

void Communicator::attachProgress(int32_t* slot) {
  std::lock_guard<std::mutex> lock(progressMutex_);
  progress_ = slot;
}

void Communicator::close(Stream& stream) {
  collectives_->expectClose();
  stream.enqueueAlways([self = shared_from_this(), &context = stream.context()](const auto&) {
    context.removeAbortHook(self->abortHook_);
    self->collectives_->close();
  });
}

void Communicator::closeNow() {
  collectives_->close();
}

}  // namespace longscan
