#include <algorithm>
#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <set>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "fake_chip.h"
#include "fake_settings.h"
#include "fake_stream.h"

// A CUDA driver without a GPU, for tests of what stands on it: memory is the host's, a stream is a thread
// that is always behind. LONGSCAN_FAKE_CUDA, read at each call, says what it pretends to be: "version=13000
// devices=1 capability=90 bytes=1000000 lagUs=1000 fail=cuMemsetD8Async" (this call fails; a
// failed stream's events fail from then on), "uncapturable=cuMemsetD8Async" (no graph can hold it),
// "slow=cuMemsetD8Async" (the call takes a while). Of captures it refuses what a driver does: CUDA's
// programming guide, "Prohibited and Unhandled Operations".

namespace {

constexpr int success = 0, invalidValue = 1, outOfMemory = 2, noDevice = 100, illegalState = 401,
              notReady = 600, illegalAddress = 700, captureUnsupported = 900, captureInvalidated = 901,
              captureIsolation = 905, capturedEvent = 907, captureWrongThread = 908;

bool fails(const char* call) {
  return setting("fail", "") == call;
}

/// Memory in use, and which of it is page-locked.
struct Memory {
  std::mutex mutex;
  size_t usedBytes = 0;
  std::vector<std::pair<void*, size_t>> blocks;
  std::set<void*> pinned;
  std::map<void*, int> numMapped;  // by other ranks
};
Memory& memory() {
  static Memory all;
  return all;
}
size_t totalBytes() {
  return std::strtoull(setting("bytes", "1000000000").c_str(), nullptr, 10);
}

using Task = CUstream_st::Task;

}  // namespace

struct CUevent_st {
  std::mutex mutex;
  std::condition_variable changed;
  uint64_t numRecorded = 0, numPassed = 0;
  int status = success;
  CUstream_st* capturing = nullptr;  // it was recorded last in a capture of this stream
  std::chrono::steady_clock::time_point time;
};

namespace {

/// The stream that this thread captures. Captures are of their thread (CU_STREAM_CAPTURE_MODE_THREAD_LOCAL).
thread_local CUstream_st* capturedHere = nullptr;

/// For what no capture of `stream` can hold: invalidates one that is under way.
int refuseInCapture(CUstream_st* stream, int refusal = captureUnsupported) {
  if (stream == nullptr) return success;
  std::lock_guard<std::mutex> lock(stream->mutex);
  if (stream->recorded == nullptr) return success;
  stream->isInvalidated = true;
  return refusal;
}

/// With the event's mutex held: nothing that is recorded is ever done.
int refuseCaptured(const CUevent_st* event) {
  if (event->capturing == nullptr) return success;
  refuseInCapture(event->capturing);
  return capturedEvent;
}

/// Memory operations that fail do so when they run, as on a GPU.
int addOperation(const char* call, CUstream_st* stream, Task task) {
  if (setting("slow", "") == call) std::this_thread::sleep_for(std::chrono::milliseconds(200));
  if (setting("uncapturable", "") == call) {
    if (const int refusal = refuseInCapture(stream)) return refusal;
  }
  {
    std::lock_guard<std::mutex> lock(stream->mutex);
    if (stream->isInvalidated) return captureInvalidated;
  }
  stream->add([=, broken = fails(call)] {
    if (broken) stream->status = illegalAddress;
    if (stream->status == success) task();
  });
  return success;
}

template <typename Pointer>
Pointer at(unsigned long long address) {
  return reinterpret_cast<Pointer>(address);
}

}  // namespace

extern "C" {

int cuDriverGetVersion(int* version) {
  *version = std::atoi(setting("version", "13000").c_str());
  return success;
}
int cuInit(unsigned) {
  return setting("devices", "1") == "none" ? noDevice : success;
}
int cuGetErrorName(int status, const char** name) {
  *name = status == illegalAddress ? "CUDA_ERROR_ILLEGAL_ADDRESS" : "CUDA_ERROR_FAKE";
  return success;
}
int cuGetErrorString(int status, const char** text) {
  *text = status == noDevice ? "no CUDA-capable device is detected" : "a fake failure";
  return success;
}
int cuDeviceGetCount(int* count) {
  *count = std::atoi(setting("devices", "1").c_str());
  return success;
}
int cuDeviceGet(int* device, int index) {
  *device = index;
  return success;
}
int cuDeviceGetName(char* name, int length, int) {
  std::strncpy(name, "Fake GPU", static_cast<size_t>(length));
  return success;
}
int cuDeviceGetAttribute(int* value, int attribute, int) {
  const FakeChip chip = fakeChip();
  *value = attribute == 75   ? chip.capability / 10
           : attribute == 76 ? chip.capability % 10
           : attribute == 97 ? chip.sharedBytes
                             : chip.numProcessors;
  return success;
}
int cuDeviceTotalMem_v2(size_t* bytes, int) {
  *bytes = totalBytes();
  return success;
}
int cuDevicePrimaryCtxRetain(void** context, int) {
  *context = &memory();
  return success;
}
int cuDevicePrimaryCtxRelease_v2(int) {
  return success;
}
int cuCtxSetCurrent(void*) {
  return success;
}
int cuCtxGetStreamPriorityRange(int* least, int* greatest) {
  *least = 0;
  *greatest = -1;
  return success;
}
int cuMemGetInfo_v2(size_t* free, size_t* total) {
  std::lock_guard<std::mutex> lock(memory().mutex);
  *total = totalBytes();
  *free = *total - memory().usedBytes;
  return success;
}
int cuMemAlloc_v2(unsigned long long* data, size_t bytes) {
  if (const int refusal = refuseInCapture(capturedHere)) return refusal;
  std::lock_guard<std::mutex> lock(memory().mutex);
  if (memory().usedBytes + bytes > totalBytes()) return outOfMemory;
  void* block = std::aligned_alloc(256, (bytes + 255) / 256 * 256);
  memory().usedBytes += bytes;
  memory().blocks.emplace_back(block, bytes);
  *data = reinterpret_cast<unsigned long long>(block);
  return success;
}
int cuMemFree_v2(unsigned long long data) {
  if (const int refusal = refuseInCapture(capturedHere)) return refusal;
  std::lock_guard<std::mutex> lock(memory().mutex);
  auto& blocks = memory().blocks;
  const auto found = std::find_if(blocks.begin(), blocks.end(),
                                  [&](const auto& block) { return block.first == at<void*>(data); });
  // What others have mapped may not go before they let go of it.
  if (found == blocks.end() || memory().numMapped[found->first] > 0) return invalidValue;
  memory().usedBytes -= found->second;
  std::free(found->first);
  blocks.erase(found);
  return success;
}
/// Names the allocation by its address: ranks are of one process. "ipc=none": as where GPUs do not reach each
/// other's memory.
int cuIpcGetMemHandle(void* handle, unsigned long long data) {
  std::memset(handle, 0, 64);
  std::memcpy(handle, &data, sizeof(data));
  return success;
}
struct FakeIpcHandle {
  char bytes[64];
};
int cuIpcOpenMemHandle_v2(unsigned long long* data, FakeIpcHandle handle, unsigned) {
  if (setting("ipc", "1") == "none") return invalidValue;
  std::lock_guard<std::mutex> lock(memory().mutex);
  std::memcpy(data, handle.bytes, sizeof(*data));
  memory().numMapped[at<void*>(*data)]++;
  return success;
}
int cuIpcCloseMemHandle(unsigned long long data) {
  std::lock_guard<std::mutex> lock(memory().mutex);
  memory().numMapped[at<void*>(data)]--;
  return success;
}
int cuMemHostAlloc(void** data, size_t bytes, unsigned) {
  if (const int refusal = refuseInCapture(capturedHere)) return refusal;
  std::lock_guard<std::mutex> lock(memory().mutex);
  *data = std::malloc(bytes);
  memory().pinned.insert(*data);
  return success;
}
int cuMemFreeHost(void* data) {
  if (const int refusal = refuseInCapture(capturedHere)) return refusal;
  std::lock_guard<std::mutex> lock(memory().mutex);
  memory().pinned.erase(data);
  std::free(data);
  return success;
}
int cuMemcpyHtoDAsync_v2(unsigned long long target, const void* source, size_t bytes, CUstream_st* stream) {
  // A real one reads the source at each launch, and this one now: nobody may ask it for that.
  if (const int refusal = refuseInCapture(stream)) return refusal;
  const auto* begin = static_cast<const char*>(source);
  return addOperation("cuMemcpyHtoDAsync", stream, [=, copy = std::vector<char>(begin, begin + bytes)] {
    std::memcpy(at<void*>(target), copy.data(), copy.size());
  });
}
int cuMemcpyDtoHAsync_v2(void* target, unsigned long long source, size_t bytes, CUstream_st* stream) {
  if (const int refusal = refuseInCapture(stream)) return refusal;
  addOperation("cuMemcpyDtoHAsync", stream, [=] { std::memcpy(target, at<void*>(source), bytes); });
  bool isPinned;
  {
    std::lock_guard<std::mutex> lock(memory().mutex);
    isPinned = memory().pinned.count(target) > 0;
  }
  if (!isPinned) stream->drain();
  return success;
}
int cuMemcpyDtoDAsync_v2(unsigned long long target, unsigned long long source, size_t bytes,
                         CUstream_st* stream) {
  return addOperation("cuMemcpyDtoDAsync", stream,
                      [=] { std::memcpy(at<void*>(target), at<void*>(source), bytes); });
}
int cuMemsetD8Async(unsigned long long target, unsigned char value, size_t bytes, CUstream_st* stream) {
  return addOperation("cuMemsetD8Async", stream, [=] { std::memset(at<void*>(target), value, bytes); });
}
int cuLaunchHostFunc(CUstream_st* stream, void (*function)(void*), void* data) {
  return addOperation("cuLaunchHostFunc", stream, [=] { function(data); });
}
int cuStreamCreateWithPriority(CUstream_st** stream, unsigned, int) {
  *stream = new CUstream_st(std::chrono::microseconds(std::atoi(setting("lagUs", "1000").c_str())));
  return success;
}
int cuStreamSynchronize(CUstream_st* stream) {
  if (const int refusal = refuseInCapture(stream)) return refusal;
  stream->drain();
  return stream->status;
}
int cuStreamDestroy_v2(CUstream_st* stream) {
  {
    std::lock_guard<std::mutex> lock(stream->mutex);
    stream->closing = true;
  }
  stream->changed.notify_all();
  stream->thread.join();
  delete stream->recorded;
  delete stream;
  return success;
}
int cuEventCreate(CUevent_st** event, unsigned) {
  *event = new CUevent_st;
  return success;
}
int cuEventDestroy_v2(CUevent_st* event) {
  delete event;
  return success;
}
int cuEventRecord(CUevent_st* event, CUstream_st* stream) {
  uint64_t number;
  {
    std::scoped_lock lock(event->mutex, stream->mutex);
    event->capturing = stream->recorded == nullptr ? nullptr : stream;
    if (event->capturing != nullptr) return stream->isInvalidated ? captureInvalidated : success;
    number = ++event->numRecorded;
  }
  stream->add([=] {
    {
      std::lock_guard<std::mutex> lock(event->mutex);
      event->numPassed = std::max(event->numPassed, number);
      event->status = stream->status;
      event->time = std::chrono::steady_clock::now();
    }
    event->changed.notify_all();
  });
  return success;
}
int cuStreamWaitEvent(CUstream_st* stream, CUevent_st* event, unsigned) {
  uint64_t number;
  {
    std::lock_guard<std::mutex> lock(event->mutex);
    if (event->capturing != nullptr) {
      // In its own capture it orders nothing new. A real driver draws other streams in, which nobody may ask
      // of this one.
      return event->capturing == stream ? success : refuseCaptured(event);
    }
    number = event->numRecorded;
  }
  if (const int refusal = refuseInCapture(stream, captureIsolation)) return refusal;
  stream->add([=] {
    std::unique_lock<std::mutex> lock(event->mutex);
    event->changed.wait(lock, [&] { return event->numPassed >= number; });
  });
  return success;
}
int cuEventQuery(CUevent_st* event) {
  std::lock_guard<std::mutex> lock(event->mutex);
  if (const int refusal = refuseCaptured(event)) return refusal;
  return event->numPassed < event->numRecorded ? notReady : event->status;
}
int cuEventSynchronize(CUevent_st* event) {
  std::unique_lock<std::mutex> lock(event->mutex);
  if (const int refusal = refuseCaptured(event)) return refusal;
  event->changed.wait(lock, [&] { return event->numPassed == event->numRecorded; });
  return event->status;
}
int cuStreamBeginCapture_v2(CUstream_st* stream, int) {
  std::lock_guard<std::mutex> lock(stream->mutex);
  if (stream->recorded != nullptr) return illegalState;
  stream->recorded = new std::vector<Task>;
  stream->recorder = std::this_thread::get_id();
  capturedHere = stream;
  return success;
}
int cuStreamEndCapture(CUstream_st* stream, std::vector<Task>** graph) {
  std::lock_guard<std::mutex> lock(stream->mutex);
  *graph = nullptr;
  if (stream->recorded == nullptr) return illegalState;
  if (stream->recorder != std::this_thread::get_id()) return captureWrongThread;
  capturedHere = nullptr;
  *graph = std::exchange(stream->recorded, nullptr);
  if (!std::exchange(stream->isInvalidated, false) && !fails("cuStreamEndCapture")) return success;
  delete std::exchange(*graph, nullptr);
  return captureInvalidated;
}
int cuGraphInstantiateWithFlags(std::vector<Task>** executable, std::vector<Task>* graph,
                                unsigned long long) {
  *executable = new std::vector<Task>(*graph);
  return success;
}
int cuGraphLaunch(std::vector<Task>* executable, CUstream_st* stream) {
  // A graph in a graph, of which this one knows nothing.
  if (const int refusal = refuseInCapture(stream)) return refusal;
  for (const Task& task : *executable) stream->add(task);
  return success;
}
int cuGraphDestroy(std::vector<Task>* graph) {
  delete graph;
  return success;
}
int cuGraphExecDestroy(std::vector<Task>* executable) {
  delete executable;
  return success;
}
int cuEventElapsedTime(float* ms, CUevent_st* begin, CUevent_st* end) {
  *ms = std::chrono::duration<float, std::milli>(end->time - begin->time).count();
  return success;
}

}  // extern "C"
