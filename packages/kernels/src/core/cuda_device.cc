#include "cuda_device.h"

#include "bytes_text.h"
#include "cuda_timeline.h"
#include "error.h"
#include "stream.h"

namespace longscan {

namespace {

// Of CUdevice_attribute.
constexpr int attributeMultiprocessors = 16;
constexpr int attributeMajor = 75;
constexpr int attributeMinor = 76;

int attribute(const CudaDriver& driver, int attribute, int device) {
  int value = 0;
  driver.check(driver.deviceGetAttribute(&value, attribute, device), "cuDeviceGetAttribute");
  return value;
}

}  // namespace

int CudaDevice::count() {
  const CudaDriver& driver = openCudaDriver();
  int count = 0;
  driver.check(driver.deviceGetCount(&count), "cuDeviceGetCount");
  if (count == 0) {
    throw Error("E-CUDA-DEVICE",
                "the CUDA driver sees no GPU. Fix: see whether `nvidia-smi` lists one and whether "
                "CUDA_VISIBLE_DEVICES hides it");
  }
  return count;
}

CudaDevice::CudaDevice(int index) : driver_(openCudaDriver()), index_(index) {
  const int number = count();
  if (index < 0 || index >= number) {
    throw Error("E-CUDA-DEVICE", "GPU " + std::to_string(index) + " of " + std::to_string(number) +
                                     ", counted from 0. Fix: choose one that is there");
  }
  driver_.check(driver_.deviceGet(&device_, index), "cuDeviceGet");
  char name[256] = "";
  driver_.check(driver_.deviceGetName(name, sizeof(name), device_), "cuDeviceGetName");
  name_ = name;
  capability_ =
      10 * attribute(driver_, attributeMajor, device_) + attribute(driver_, attributeMinor, device_);
  numMultiprocessors_ = attribute(driver_, attributeMultiprocessors, device_);
  driver_.check(driver_.deviceTotalMem(&totalBytes_, device_), "cuDeviceTotalMem");
  driver_.check(driver_.primaryContextRetain(&context_, device_), "cuDevicePrimaryCtxRetain");
}

CudaDevice::~CudaDevice() {
  driver_.contextSetCurrent(context_);
  clock_.reset();
  for (void* data : freeStaging_) driver_.memFreeHost(data);
  driver_.primaryContextRelease(device_);
}

void CudaDevice::use() const {
  driver_.check(driver_.contextSetCurrent(context_), "cuCtxSetCurrent");
}

size_t CudaDevice::freeBytes() const {
  use();
  size_t free = 0, total = 0;
  driver_.check(driver_.memGetInfo(&free, &total), "cuMemGetInfo");
  return free;
}

const CudaKernels& CudaDevice::kernels() {
  use();  // functions that say how much memory a kernel wants ask the current GPU
  if (kernels_ == nullptr) {
    kernels_ = std::make_unique<CudaKernels>(name_, capability_, driver_.version);
  }
  return *kernels_;
}

CudaClock& CudaDevice::clock() {
  std::lock_guard<std::mutex> lock(clockMutex_);
  if (clock_ == nullptr) clock_ = std::make_unique<CudaClock>(driver_);
  return *clock_;
}

std::shared_ptr<void> CudaDevice::staging() {
  void* data = nullptr;
  {
    std::lock_guard<std::mutex> lock(stagingMutex_);
    if (!freeStaging_.empty()) {
      data = freeStaging_.back();
      freeStaging_.pop_back();
    }
  }
  use();
  if (data == nullptr) driver_.check(driver_.memHostAlloc(&data, stagingBytes, 0), "cuMemHostAlloc");
  return std::shared_ptr<void>(data, [this](void* free) {
    std::lock_guard<std::mutex> lock(stagingMutex_);
    freeStaging_.push_back(free);
  });
}

void* CudaMemory::map(size_t bytes) {
  device_.use();
  CudaDriver::Pointer data = 0;
  const int status = device_.driver().memAlloc(&data, bytes);
  if (status == cudaOutOfMemory) return nullptr;
  device_.driver().check(status, "cuMemAlloc");
  return reinterpret_cast<void*>(data);
}

void CudaMemory::unmap(void* data, size_t) {
  device_.use();
  device_.driver().memFree(cudaPointer(data));
}

void CudaMemory::poison(void* data, size_t bytes, Stream& stream) {
  stream.enqueue("poison",
                 [data, bytes, timeline = stream.timeline()] { timeline->fill(data, 0xff, bytes); });
}

std::string CudaMemory::describeShortage() const {
  return ", " + bytesText(device_.freeBytes()) + " of " + bytesText(device_.totalBytes()) + " free on GPU " +
         std::to_string(device_.index()) + " (" + device_.name() +
         "). Fix: cut sequences over more ranks (parallel.sp), recompute activations (model.recompute = "
         "true), "
         "or take fewer sequences at once (data.batchSize, data.accumulate)";
}

}  // namespace longscan
