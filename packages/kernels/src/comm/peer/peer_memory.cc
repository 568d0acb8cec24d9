#include "peer_memory.h"

namespace longscan {

namespace {

constexpr unsigned hostPortable = 1, hostMapped = 2;  // CU_MEMHOSTALLOC_PORTABLE, CU_MEMHOSTALLOC_DEVICEMAP
constexpr unsigned enablePeerAccess = 1;              // CU_IPC_MEM_LAZY_ENABLE_PEER_ACCESS
constexpr unsigned streamNonBlocking = 1;             // CU_STREAM_NON_BLOCKING

/// An allocation of whole pages of 2 MiB shares none of them, so a peer maps nothing but it.
constexpr size_t pageBytes = size_t{2} << 20;
constexpr size_t landingBytes = (sizeof(LongscanPeerLanding) + pageBytes - 1) / pageBytes * pageBytes;

}  // namespace

PeerMemory::PeerMemory(CudaTimeline& timeline) : device_(timeline.device()), driver_(device_.driver()) {
  CudaDriver::Pointer data = 0;
  driver_.check(driver_.memAlloc(&data, landingBytes), "cuMemAlloc");
  landing_ = reinterpret_cast<LongscanPeerLanding*>(data);
  void* words = nullptr;
  driver_.check(driver_.memHostAlloc(&words, 2 * sizeof(int), hostPortable | hostMapped), "cuMemHostAlloc");
  words_ = static_cast<volatile int*>(words);
  words_[0] = words_[1] = 0;
  driver_.check(driver_.streamCreateWithPriority(&notices_, streamNonBlocking, 0),
                "cuStreamCreateWithPriority");
  timeline.fill(landing_, 0, sizeof(*landing_));
  for (LongscanPeerInbox* inbox : {&landing_->fromLower, &landing_->fromUpper})
    timeline.fill(inbox->slots, 0xff, sizeof(inbox->slots));
  timeline.synchronize();
}

CudaDriver::IpcHandle PeerMemory::handle() const {
  CudaDriver::IpcHandle handle;
  driver_.check(driver_.ipcGetMemHandle(&handle, cudaPointer(landing_)), "cuIpcGetMemHandle");
  return handle;
}

void PeerMemory::map(const CudaDriver::IpcHandle* lower, const CudaDriver::IpcHandle* upper) {
  const auto open = [&](const CudaDriver::IpcHandle* handle, LongscanPeerLanding*& mapped) {
    if (handle == nullptr) return;
    CudaDriver::Pointer data = 0;
    driver_.check(driver_.ipcOpenMemHandle(&data, *handle, enablePeerAccess), "cuIpcOpenMemHandle");
    mapped = reinterpret_cast<LongscanPeerLanding*>(data);
  };
  open(lower, lower_);
  open(upper, upper_);
}

void PeerMemory::unmap() {
  std::lock_guard<std::mutex> lock(mutex_);
  for (LongscanPeerLanding** mapped : {&lower_, &upper_}) {
    if (*mapped != nullptr) driver_.ipcCloseMemHandle(cudaPointer(*mapped));
    *mapped = nullptr;
  }
}

void PeerMemory::release() {
  std::lock_guard<std::mutex> lock(mutex_);
  driver_.streamDestroy(notices_);
  driver_.memFreeHost(const_cast<int*>(words_));
  driver_.memFree(cudaPointer(landing_));
  words_ = nullptr;
}

LongscanPeerLink PeerMemory::lowerLink() const {
  if (lower_ == nullptr) return {};
  return {-1, &landing_->fromLower, &lower_->fromUpper};
}

LongscanPeerLink PeerMemory::upperLink() const {
  if (upper_ == nullptr) return {};
  return {1, &landing_->fromUpper, &upper_->fromLower};
}

void PeerMemory::fill(LongscanPeerChain& chain, int step) const {
  chain.prev = step > 0 ? lowerLink() : upperLink();
  chain.next = step > 0 ? upperLink() : lowerLink();
  chain.passed = landing_->passed[step > 0 ? 0 : 1];
  chain.abort = const_cast<const int*>(&words_[0]);
  chain.lost = const_cast<int*>(&words_[1]);
}

void PeerMemory::stop() {
  std::lock_guard<std::mutex> lock(mutex_);
  if (words_ != nullptr) words_[0] = 1;
}

int PeerMemory::lostSide() const {
  std::lock_guard<std::mutex> lock(mutex_);
  return words_ == nullptr ? 0 : words_[1];
}

void PeerMemory::leave() {
  std::lock_guard<std::mutex> lock(mutex_);
  device_.use();
  for (const LongscanPeerLink& link : {lowerLink(), upperLink()}) {
    if (link.theirs == nullptr) continue;
    auto& gone = link.theirs->gone.count;
    driver_.memsetD8Async(cudaPointer(&gone), 1, sizeof(gone), notices_);
  }
}

}  // namespace longscan
