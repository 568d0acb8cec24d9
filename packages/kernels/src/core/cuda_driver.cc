#include "cuda_driver.h"

#include <dlfcn.h>

#include <cstdlib>

#include "error.h"

namespace longscan {

namespace {

constexpr const char* remedy =
    "Fix: run on a Linux host with an NVIDIA GPU and its driver, name the driver's libcuda.so.1 in "
    "LONGSCAN_CUDA_DRIVER, or choose the CPU: device.kind = \"cpu\" in a job, --device cpu of a bench";

/// The oldest whose interface has every call above, in the forms that we declare (graphInstantiate's flags).
constexpr int oldestVersion = 11040;

/// CUDA_ERROR_NO_DEVICE and CUDA_ERROR_INVALID_DEVICE.
constexpr int noDevice = 100;
constexpr int invalidDevice = 101;

void* openLibrary() {
  const char* given = std::getenv("LONGSCAN_CUDA_DRIVER");
  const std::string path = given != nullptr && *given != '\0' ? given : "libcuda.so.1";
  void* handle = dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL);
  if (handle != nullptr) return handle;
  throw Error("E-CUDA-DRIVER", std::string("no CUDA driver. Tried: ") + dlerror() + ". " + remedy);
}

template <typename Function>
void find(void* handle, const char* name, Function& function) {
  function = reinterpret_cast<Function>(dlsym(handle, name));
  if (function != nullptr) return;
  throw Error("E-CUDA-DRIVER",
              std::string("the CUDA driver has no ") + name + ". Fix: install a newer NVIDIA driver");
}

/// Why the driver did not start. Names in CUDA_VISIBLE_DEVICES that no GPU has are the usual reason where
/// there is one.
std::string describeStart(const CudaDriver& driver, int status) {
  const char* text = nullptr;
  driver.getErrorString(status, &text);
  const std::string found = "the CUDA driver does not start (status " + std::to_string(status) + ": " +
                            (text == nullptr ? "unknown" : text) + ")";
  const char* visible = std::getenv("CUDA_VISIBLE_DEVICES");
  if (visible == nullptr || (status != noDevice && status != invalidDevice)) return found + ". " + remedy;
  return found + " under CUDA_VISIBLE_DEVICES = \"" + visible +
         "\". Fix: unset it, or name GPUs that there are (nvidia-smi -L lists them), each once";
}

CudaDriver open() {
  void* handle = openLibrary();
  CudaDriver driver{};
  find(handle, "cuInit", driver.init);
  find(handle, "cuDriverGetVersion", driver.driverGetVersion);
  find(handle, "cuGetErrorName", driver.getErrorName);
  find(handle, "cuGetErrorString", driver.getErrorString);
  driver.check(driver.driverGetVersion(&driver.version), "cuDriverGetVersion");
  if (driver.version < oldestVersion) {
    throw Error("E-CUDA-DRIVER", "the driver is of CUDA " + cudaVersionName(driver.version) + ", expected " +
                                     cudaVersionName(oldestVersion) +
                                     " or newer. Fix: install a newer NVIDIA driver");
  }
  if (const int status = driver.init(0); status != 0) {
    throw Error("E-CUDA-DRIVER", describeStart(driver, status));
  }
  find(handle, "cuDeviceGetCount", driver.deviceGetCount);
  find(handle, "cuDeviceGet", driver.deviceGet);
  find(handle, "cuDeviceGetName", driver.deviceGetName);
  find(handle, "cuDeviceGetAttribute", driver.deviceGetAttribute);
  find(handle, "cuDeviceTotalMem_v2", driver.deviceTotalMem);
  find(handle, "cuDevicePrimaryCtxRetain", driver.primaryContextRetain);
  find(handle, "cuDevicePrimaryCtxRelease_v2", driver.primaryContextRelease);
  find(handle, "cuCtxSetCurrent", driver.contextSetCurrent);
  find(handle, "cuCtxGetStreamPriorityRange", driver.contextGetStreamPriorityRange);
  find(handle, "cuMemGetInfo_v2", driver.memGetInfo);
  find(handle, "cuMemAlloc_v2", driver.memAlloc);
  find(handle, "cuMemFree_v2", driver.memFree);
  find(handle, "cuMemHostAlloc", driver.memHostAlloc);
  find(handle, "cuMemFreeHost", driver.memFreeHost);
  find(handle, "cuMemcpyHtoDAsync_v2", driver.memcpyHtoDAsync);
  find(handle, "cuMemcpyDtoHAsync_v2", driver.memcpyDtoHAsync);
  find(handle, "cuMemcpyDtoDAsync_v2", driver.memcpyDtoDAsync);
  find(handle, "cuIpcGetMemHandle", driver.ipcGetMemHandle);
  find(handle, "cuIpcOpenMemHandle_v2", driver.ipcOpenMemHandle);
  find(handle, "cuIpcCloseMemHandle", driver.ipcCloseMemHandle);
  find(handle, "cuMemsetD8Async", driver.memsetD8Async);
  find(handle, "cuStreamCreateWithPriority", driver.streamCreateWithPriority);
  find(handle, "cuStreamDestroy_v2", driver.streamDestroy);
  find(handle, "cuStreamSynchronize", driver.streamSynchronize);
  find(handle, "cuStreamWaitEvent", driver.streamWaitEvent);
  find(handle, "cuEventCreate", driver.eventCreate);
  find(handle, "cuEventDestroy_v2", driver.eventDestroy);
  find(handle, "cuEventRecord", driver.eventRecord);
  find(handle, "cuEventQuery", driver.eventQuery);
  find(handle, "cuEventSynchronize", driver.eventSynchronize);
  find(handle, "cuEventElapsedTime", driver.eventElapsedTime);
  find(handle, "cuStreamBeginCapture_v2", driver.streamBeginCapture);
  find(handle, "cuStreamEndCapture", driver.streamEndCapture);
  find(handle, "cuGraphInstantiateWithFlags", driver.graphInstantiate);
  find(handle, "cuGraphLaunch", driver.graphLaunch);
  find(handle, "cuGraphDestroy", driver.graphDestroy);
  find(handle, "cuGraphExecDestroy", driver.graphExecDestroy);
  return driver;
}

}  // namespace

std::string cudaVersionName(int version) {
  return std::to_string(version / 1000) + "." + std::to_string(version % 1000 / 10);
}

void CudaDriver::check(int status, const char* call) const {
  if (status == 0) return;
  const char *name = nullptr, *text = nullptr;
  getErrorName(status, &name);
  getErrorString(status, &text);
  throw Error("E-CUDA", std::string(call) + " failed: " + (name == nullptr ? "unknown status" : name) + " (" +
                            std::to_string(status) + "), " + (text == nullptr ? "no description" : text));
}

const CudaDriver& openCudaDriver() {
  static const CudaDriver driver = open();
  return driver;
}

}  // namespace longscan
