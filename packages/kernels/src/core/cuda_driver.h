#pragma once

#include <cstddef>
#include <cstdint>
#include <string>

// CUDA's own types, never looked into; declared here so that building needs no CUDA.
struct CUctx_st;
struct CUevent_st;
struct CUgraph_st;
struct CUgraphExec_st;
struct CUstream_st;

namespace longscan {

/// The calls of CUDA's driver interface that memory, streams and events need, opened at run time so that the
/// addon loads on hosts without a GPU. Names and types are those of cuda.h; `int` results are CUresult.
struct CudaDriver {
  using Pointer = unsigned long long;  // CUdeviceptr
  /// Names an allocation to other processes of the host.
  struct IpcHandle {
    char bytes[64];
  };

  int (*init)(unsigned flags);
  int (*driverGetVersion)(int* version);
  int (*getErrorName)(int status, const char** name);
  int (*getErrorString)(int status, const char** text);
  int (*deviceGetCount)(int* count);
  int (*deviceGet)(int* device, int index);
  int (*deviceGetName)(char* name, int length, int device);
  int (*deviceGetAttribute)(int* value, int attribute, int device);
  int (*deviceTotalMem)(size_t* bytes, int device);
  int (*primaryContextRetain)(CUctx_st** context, int device);
  int (*primaryContextRelease)(int device);
  int (*contextSetCurrent)(CUctx_st* context);
  int (*contextGetStreamPriorityRange)(int* least, int* greatest);
  int (*memGetInfo)(size_t* free, size_t* total);
  int (*memAlloc)(Pointer* data, size_t bytes);
  int (*memFree)(Pointer data);
  int (*memHostAlloc)(void** data, size_t bytes, unsigned flags);
  int (*memFreeHost)(void* data);
  int (*memcpyHtoDAsync)(Pointer target, const void* source, size_t bytes, CUstream_st* stream);
  int (*memcpyDtoHAsync)(void* target, Pointer source, size_t bytes, CUstream_st* stream);
  int (*memcpyDtoDAsync)(Pointer target, Pointer source, size_t bytes, CUstream_st* stream);
  int (*ipcGetMemHandle)(IpcHandle* handle, Pointer data);
  int (*ipcOpenMemHandle)(Pointer* data, IpcHandle handle, unsigned flags);
  int (*ipcCloseMemHandle)(Pointer data);
  int (*memsetD8Async)(Pointer target, unsigned char value, size_t bytes, CUstream_st* stream);
  int (*streamCreateWithPriority)(CUstream_st** stream, unsigned flags, int priority);
  int (*streamDestroy)(CUstream_st* stream);
  int (*streamSynchronize)(CUstream_st* stream);
  int (*streamWaitEvent)(CUstream_st* stream, CUevent_st* event, unsigned flags);
  int (*eventCreate)(CUevent_st** event, unsigned flags);
  int (*eventDestroy)(CUevent_st* event);
  int (*eventRecord)(CUevent_st* event, CUstream_st* stream);
  int (*eventQuery)(CUevent_st* event);
  int (*eventSynchronize)(CUevent_st* event);
  int (*eventElapsedTime)(float* ms, CUevent_st* begin, CUevent_st* end);
  int (*streamBeginCapture)(CUstream_st* stream, int mode);
  int (*streamEndCapture)(CUstream_st* stream, CUgraph_st** graph);
  int (*graphInstantiate)(CUgraphExec_st** executable, CUgraph_st* graph, unsigned long long flags);
  int (*graphLaunch)(CUgraphExec_st* executable, CUstream_st* stream);
  int (*graphDestroy)(CUgraph_st* graph);
  int (*graphExecDestroy)(CUgraphExec_st* executable);

  /// The CUDA version that the driver can run at most: 13000 is CUDA 13.0.
  int version = 0;

  /// Throws E-CUDA with the driver's words unless `status` is 0.
  void check(int status, const char* call) const;
};

/// `CUdeviceptr`s are addresses; tensors hold them as pointers.
inline CudaDriver::Pointer cudaPointer(const void* data) {
  return reinterpret_cast<CudaDriver::Pointer>(data);
}

constexpr int cudaOutOfMemory = 2;  // CUDA_ERROR_OUT_OF_MEMORY
constexpr int cudaNotReady = 600;   // CUDA_ERROR_NOT_READY

/// The process's CUDA driver, opened by the first call that succeeds; LONGSCAN_CUDA_DRIVER, if set, is the
/// only path tried. Throws E-CUDA-DRIVER if there is none, it is too old, or it does not start.
const CudaDriver& openCudaDriver();

/// `13.0` for 13000.
std::string cudaVersionName(int version);

}  // namespace longscan
