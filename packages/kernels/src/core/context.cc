#include "context.h"

#include <algorithm>

#include "error.h"

namespace longscan {

Stream& Context::createStream(std::string name, bool urgent) {
  auto stream = std::make_unique<Stream>(*this, std::move(name), urgent);
  std::lock_guard<std::mutex> lock(mutex_);
  if (failure_) stream->fail(*failure_);
  streams_.push_back(std::move(stream));
  return *streams_.back();
}

CudaGemmEngine& Context::cudaGemm() {
  if (cudaGemm_ == nullptr) cudaGemm_ = std::make_unique<CudaGemmEngine>(*cuda_, allocator_);
  return *cudaGemm_;
}

void Context::beginRecording(CudaGraph& graph) {
  allocator_.beginRecording();
  recording_ = &graph;
}

std::shared_ptr<RecordedMemory> Context::endRecording() {
  recording_ = nullptr;
  return allocator_.endRecording();
}

void Context::refuseInRecording(const std::string& what) const {
  if (recording_ == nullptr) return;
  throw Error("E-CUDA-GRAPH", what +
                                  ", expected work that stays on the GPU while a graph is recorded. Fix: do "
                                  "it before or after, or at each launch (stream.between)");
}

void Context::fail(const StreamFailure& failure) {
  std::vector<Hook> hooks;
  {
    std::lock_guard<std::mutex> lock(mutex_);
    if (failure_) return;
    failure_ = failure;
    for (auto& stream : streams_) stream->fail(failure);
    hooks = hooks_;
  }
  for (auto& hook : hooks) hook.run(failure);
}

bool Context::isOwnFailure(const std::string& message) {
  std::lock_guard<std::mutex> lock(mutex_);
  return failure_ && failure_->message == message;
}

int Context::addAbortHook(std::function<void(const StreamFailure&)> hook, std::function<void()> onClose) {
  std::lock_guard<std::mutex> lock(mutex_);
  hooks_.push_back({nextHook_, std::move(hook), std::move(onClose)});
  return nextHook_++;
}

void Context::removeAbortHook(int number) {
  std::lock_guard<std::mutex> lock(mutex_);
  hooks_.erase(
      std::remove_if(hooks_.begin(), hooks_.end(), [&](const Hook& hook) { return hook.number == number; }),
      hooks_.end());
}

void Context::close() {
  bool hasOps = false;
  for (auto& stream : streams_) hasOps = hasOps || stream->hasOps();
  if (hasOps) fail({"E-STREAM", "the device was closed with work under way"});
  std::vector<Hook> hooks;
  {
    std::lock_guard<std::mutex> lock(mutex_);
    hooks = hooks_;
  }
  for (auto& hook : hooks) {
    if (hook.onClose) hook.onClose();
  }
  for (auto& stream : streams_) stream->close();
}

}  // namespace longscan
