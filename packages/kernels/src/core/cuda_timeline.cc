#include "cuda_timeline.h"

#include <algorithm>

namespace longscan {

namespace {
constexpr unsigned streamNonBlocking = 1;  // CU_STREAM_NON_BLOCKING
constexpr unsigned eventForMarks = 1 | 2;  // CU_EVENT_BLOCKING_SYNC, CU_EVENT_DISABLE_TIMING
constexpr unsigned eventForTimes = 0;      // CU_EVENT_DEFAULT
// CU_STREAM_CAPTURE_MODE_THREAD_LOCAL: other threads may allocate meanwhile.
constexpr int captureOfThread = 1;
}  // namespace

CudaTimeline::CudaTimeline(CudaDevice& device, bool urgent, std::function<void(const Error&)> onFailure)
    : device_(device), driver_(device.driver()), onFailure_(std::move(onFailure)) {
  device_.use();
  int least = 0, greatest = 0;
  driver_.check(driver_.contextGetStreamPriorityRange(&least, &greatest), "cuCtxGetStreamPriorityRange");
  driver_.check(driver_.streamCreateWithPriority(&stream_, streamNonBlocking, urgent ? greatest : least),
                "cuStreamCreateWithPriority");
  thread_ = std::thread([this] { serve(); });
}

CudaTimeline::~CudaTimeline() {
  close();
  device_.use();
  for (CUevent_st* event : events_) driver_.eventDestroy(event);
  driver_.streamDestroy(stream_);
}

void CudaTimeline::close() {
  {
    std::lock_guard<std::mutex> lock(mutex_);
    if (closing_) return;
    closing_ = true;
  }
  marked_.notify_all();
  thread_.join();
  device_.use();
  driver_.streamSynchronize(stream_);
}

CUevent_st* CudaTimeline::recordEvent(std::vector<CUevent_st*>& pool, unsigned flags) {
  refuseInCapture("an event or a read-back");
  if (pool.empty()) {
    CUevent_st* fresh = nullptr;
    driver_.check(driver_.eventCreate(&fresh, flags), "cuEventCreate");
    events_.push_back(fresh);
    pool.push_back(fresh);
  }
  CUevent_st* event = pool.back();
  driver_.check(driver_.eventRecord(event, stream_), "cuEventRecord");
  pool.pop_back();
  return event;
}

CUevent_st* CudaTimeline::recordPoint() {
  std::lock_guard<std::mutex> lock(mutex_);
  return recordEvent(freeEvents_, eventForMarks);
}

bool CudaTimeline::reached(CUevent_st* point) const {
  const int status = driver_.eventQuery(point);
  if (status == cudaNotReady) return false;
  driver_.check(status, "cuEventQuery");
  return true;
}

void CudaTimeline::returnPoint(CUevent_st* point) {
  std::lock_guard<std::mutex> lock(mutex_);
  freeEvents_.push_back(point);
}

CUevent_st* CudaTimeline::recordTime() {
  std::lock_guard<std::mutex> lock(mutex_);
  return recordEvent(freeTimeEvents_, eventForTimes);
}

void CudaTimeline::returnTime(CUevent_st* time) {
  std::lock_guard<std::mutex> lock(mutex_);
  freeTimeEvents_.push_back(time);
}

void CudaTimeline::addMark(uint64_t ticket, Then then) {
  CUevent_st* event = nullptr;
  try {
    event = recordEvent(freeEvents_, eventForMarks);
  } catch (const Error& error) {
    onFailure_(error);
  }
  marks_.push_back({ticket, event, std::move(then)});
  marked_.notify_one();
}

void CudaTimeline::mark(uint64_t ticket, Then then) {
  std::lock_guard<std::mutex> lock(mutex_);
  addMark(ticket, std::move(then));
}

void CudaTimeline::cover(uint64_t ticket) {
  const uint64_t covered = marks_.empty() ? passed_.load() : marks_.back().ticket;
  if (covered < ticket) addMark(ticket, nullptr);
}

bool CudaTimeline::passed(uint64_t ticket) {
  if (passed_.load(std::memory_order_acquire) >= ticket) return true;
  device_.use();
  std::lock_guard<std::mutex> lock(mutex_);
  if (capturing_) return false;  // no mark may be recorded now
  cover(ticket);
  return false;
}

void CudaTimeline::waitFor(uint64_t ticket) {
  device_.use();
  std::unique_lock<std::mutex> lock(mutex_);
  // The thread may have come to a later recording, in which no mark may be recorded.
  advanced_.wait(lock, [&] { return passed_.load() >= ticket || !capturing_; });
  cover(ticket);
  advanced_.wait(lock, [&] { return passed_.load() >= ticket; });
}

void CudaTimeline::follow(CudaTimeline& other, uint64_t ticket) {
  std::lock_guard<std::mutex> lock(other.mutex_);
  if (other.passed_.load() >= ticket) return;
  other.cover(ticket);
  const auto mark = std::find_if(other.marks_.begin(), other.marks_.end(),
                                 [&](const Mark& mark) { return mark.ticket >= ticket; });
  if (mark->event == nullptr) return;
  driver_.check(driver_.streamWaitEvent(stream_, mark->event, 0), "cuStreamWaitEvent");
}

void CudaTimeline::synchronize() {
  if (capturing_) return;  // nothing runs
  driver_.check(driver_.streamSynchronize(stream_), "cuStreamSynchronize");
}

void CudaTimeline::fill(void* target, unsigned char byte, size_t bytes) {
  driver_.check(driver_.memsetD8Async(cudaPointer(target), byte, bytes, stream_), "cuMemsetD8Async");
}

void CudaTimeline::copy(const void* source, void* target, size_t bytes) {
  if (bytes == 0) return;
  driver_.check(driver_.memcpyDtoDAsync(cudaPointer(target), cudaPointer(source), bytes, stream_),
                "cuMemcpyDtoDAsync");
}

void CudaTimeline::copyFromHost(const void* source, void* target, size_t bytes) {
  refuseInCapture("a copy from the host");
  if (bytes == 0) return;
  driver_.check(driver_.memcpyHtoDAsync(cudaPointer(target), source, bytes, stream_), "cuMemcpyHtoDAsync");
}

void CudaTimeline::copyToHost(const void* source, void* target, size_t bytes) {
  refuseInCapture("a copy to the host");
  if (bytes == 0) return;
  driver_.check(driver_.memcpyDtoHAsync(target, cudaPointer(source), bytes, stream_), "cuMemcpyDtoHAsync");
}

void CudaTimeline::refuseInCapture(const char* what) const {
  if (!capturing_) return;
  throw Error("E-CUDA-GRAPH",
              std::string(what) + " while a graph is recorded. Fix: record only work that stays on the GPU");
}

void CudaTimeline::beginCapture() {
  std::lock_guard<std::mutex> lock(mutex_);  // others record marks here
  driver_.check(driver_.streamBeginCapture(stream_, captureOfThread), "cuStreamBeginCapture");
  capturing_ = true;
}

CUgraphExec_st* CudaTimeline::endCapture() {
  CUgraph_st* graph = nullptr;
  {
    std::lock_guard<std::mutex> lock(mutex_);
    driver_.check(stopCapture(&graph), "cuStreamEndCapture");
  }
  CUgraphExec_st* executable = nullptr;
  const int status = driver_.graphInstantiate(&executable, graph, 0);
  driver_.graphDestroy(graph);
  driver_.check(status, "cuGraphInstantiateWithFlags");
  return executable;
}

int CudaTimeline::stopCapture(CUgraph_st** graph) {
  const int status = driver_.streamEndCapture(stream_, graph);
  capturing_ = false;
  advanced_.notify_all();
  return status;
}

void CudaTimeline::dropCapture() {
  std::lock_guard<std::mutex> lock(mutex_);
  CUgraph_st* graph = nullptr;
  // Its status says no more than the failure before.
  stopCapture(&graph);
  if (graph != nullptr) driver_.graphDestroy(graph);
}

void CudaTimeline::launchGraph(CUgraphExec_st* graph) {
  driver_.check(driver_.graphLaunch(graph, stream_), "cuGraphLaunch");
}

void CudaTimeline::serve() {
  device_.use();
  std::unique_lock<std::mutex> lock(mutex_);
  for (;;) {
    marked_.wait(lock, [&] { return closing_ || !marks_.empty(); });
    if (marks_.empty()) return;
    // Others only add to the end, so this one stays where it is.
    const Mark& oldest = marks_.front();
    lock.unlock();
    try {
      if (oldest.event != nullptr) driver_.check(driver_.eventSynchronize(oldest.event), "the GPU's work");
    } catch (const Error& error) {
      onFailure_(error);
    }
    lock.lock();
    const Mark mark = std::move(marks_.front());
    marks_.pop_front();
    if (mark.event != nullptr) freeEvents_.push_back(mark.event);
    passed_.store(mark.ticket, std::memory_order_release);
    advanced_.notify_all();
    lock.unlock();
    if (mark.then) mark.then();
    lock.lock();
  }
}

}  // namespace longscan
