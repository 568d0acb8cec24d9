#include <cuda.h>
#include <cuda_runtime_api.h>
#include <dlfcn.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <map>
#include <mutex>
#include <string>
#include <utility>

#include "fake_chip.h"
#include "fake_kernel_table.h"

// CUDA's runtime without a GPU, in place of the static one in the library of kernels: with it, the code that
// launches them runs as it is, beside the fake driver. No kernel computes anything. Each launch is held
// against what the chip and the kernel's own image allow, and refused as a GPU would, or where a GPU would
// silently do nothing. A refusal is told on stderr, since the code under test sees an error's number alone.
// LONGSCAN_FAKE_LAUNCHES=FILE: the launches, a line each.

namespace {

/// A function on the host's side, as `<<<>>>` names it, and its kernel.
struct FakeKernel {
  std::string symbol;
  int dynamicBytes = 48 << 10;  // that a launch may ask for
};

std::map<const void*, FakeKernel>& kernels() {
  static std::map<const void*, FakeKernel> all;
  return all;
}
std::mutex& mutex() {
  static std::mutex one;
  return one;
}

struct Configuration {
  dim3 grid, block;
  size_t sharedBytes = 0;
  cudaStream_t stream = nullptr;
};
thread_local Configuration pushed;
thread_local cudaError_t lastError = cudaSuccess;

cudaError_t fail(cudaError_t error) {
  if (error != cudaSuccess) lastError = error;
  return error;
}

/// The one that is made for a chip: code for 8.0 runs on all 8.x, code for 9.0a on 9.0 alone.
std::string architectureOf(const FakeChip& chip) {
  return chip.capability == 90 ? "sm_90a" : "sm_80";
}
const FakeKernelImage* imageOf(const FakeKernel& kernel, const FakeChip& chip) {
  return FakeKernelTable::read().find(kernel.symbol, architectureOf(chip));
}

/// The kernel of a function, and its image for the chip.
cudaError_t find(const void* function, const FakeChip& chip, FakeKernel*& kernel,
                 const FakeKernelImage*& image) {
  const auto found = kernels().find(function);
  if (found == kernels().end()) return fail(cudaErrorInvalidDeviceFunction);
  kernel = &found->second;
  image = imageOf(*kernel, chip);
  return image == nullptr ? fail(cudaErrorNoKernelImageForDevice) : cudaSuccess;
}

/// An image that is nothing but a return: on this architecture the kernel is not meant to be launched.
constexpr int emptyRegisters = 4;

/// Registers of a block: warps take them in eights a thread.
int64_t registersOf(const FakeKernelImage& image, int64_t threads) {
  return (image.registers + 7) / 8 * 8 * ((threads + 31) / 32 * 32);
}
constexpr int64_t processorRegisters = 65536;

/// What is wrong with a launch; null if nothing.
const char* faultOf(const FakeKernel& kernel, const FakeChip& chip, const cudaLaunchConfig_t& config) {
  const FakeKernelImage* image = imageOf(kernel, chip);
  if (image == nullptr) return "no code for this chip";
  if (image->registers <= emptyRegisters && architectureOf(chip) != "sm_90a") {
    const FakeKernelImage* newer = FakeKernelTable::read().find(kernel.symbol, "sm_90a");
    if (newer != nullptr && newer->registers > emptyRegisters)
      return "its code for this chip is empty: it would do nothing";
  }
  const dim3 &grid = config.gridDim, &block = config.blockDim;
  const int64_t threads = int64_t{block.x} * block.y * block.z;
  if (grid.x == 0 || grid.y == 0 || grid.z == 0 || threads == 0) return "no blocks or no threads";
  if (grid.x > 0x7fffffffu || grid.y > 65535 || grid.z > 65535) return "too many blocks in a direction";
  if (threads > 1024 || block.z > 64) return "too many threads";
  if (registersOf(*image, threads) > processorRegisters) return "more registers than a multiprocessor has";
  if (config.dynamicSmemBytes > static_cast<size_t>(kernel.dynamicBytes))
    return "more shared memory than was asked for by cudaFuncSetAttribute";
  if (image->sharedBytes + static_cast<int64_t>(config.dynamicSmemBytes) > chip.sharedBytes)
    return "more shared memory than a block may have";
  for (unsigned i = 0; i < config.numAttrs; i++) {
    const cudaLaunchAttribute& attribute = config.attrs[i];
    if (attribute.id == cudaLaunchAttributeProgrammaticStreamSerialization && chip.capability < 90)
      return "a kernel beside the one before it, which needs compute capability 9.0";
    if (attribute.id != cudaLaunchAttributeClusterDimension) continue;
    const auto& cluster = attribute.val.clusterDim;
    if (chip.capability < 90) return "a cluster, which needs compute capability 9.0";
    if (cluster.x * cluster.y * cluster.z > 8) return "a cluster of more than 8 blocks";
    if (grid.x % cluster.x != 0 || grid.y % cluster.y != 0 || grid.z % cluster.z != 0)
      return "a grid that is not whole clusters";
  }
  return nullptr;
}

void record(const FakeKernel& kernel, const cudaLaunchConfig_t& config) {
  static const char* path = std::getenv("LONGSCAN_FAKE_LAUNCHES");
  if (path == nullptr) return;
  static std::FILE* file = std::fopen(path, "a");
  if (file == nullptr) return;
  const dim3 &grid = config.gridDim, &block = config.blockDim;
  std::fprintf(file, "%s <<<(%u, %u, %u), (%u, %u, %u), %zu>>>\n", kernel.symbol.c_str(), grid.x, grid.y,
               grid.z, block.x, block.y, block.z, config.dynamicSmemBytes);
  std::fflush(file);
}

/// A function of the fake driver, which has the streams and the memory.
template <typename Function>
Function ofDriver(const char* name) {
  static void* driver = dlopen(std::getenv("LONGSCAN_CUDA_DRIVER"), RTLD_NOW);
  return reinterpret_cast<Function>(dlsym(driver, name));
}

cudaError_t launch(const void* function, const cudaLaunchConfig_t& config) {
  std::lock_guard<std::mutex> lock(mutex());
  const auto found = kernels().find(function);
  if (found == kernels().end()) return fail(cudaErrorInvalidDeviceFunction);
  record(found->second, config);
  const char* fault = config.stream == nullptr ? "on no stream" : faultOf(found->second, fakeChip(), config);
  // What the stream is in, a capture that is invalid for one, refuses it too.
  using Enqueue = int (*)(cudaStream_t, void (*)(void*), void*);
  if (fault == nullptr)
    return fail(static_cast<cudaError_t>(ofDriver<Enqueue>("cuLaunchHostFunc")(
        config.stream, [](void*) {}, nullptr)));
  std::fprintf(stderr, "fake launch of %s: %s\n", found->second.symbol.c_str(), fault);
  return fail(cudaErrorLaunchFailure);
}

/// As the driver's: what it would refuse of a map of a tensor in bf16.
CUresult encodeTiled(CUtensorMap* map, CUtensorMapDataType type, cuuint32_t rank, void* data,
                     const cuuint64_t* sizes, const cuuint64_t* pitches, const cuuint32_t* box,
                     const cuuint32_t* steps, CUtensorMapInterleave, CUtensorMapSwizzle swizzle,
                     CUtensorMapL2promotion, CUtensorMapFloatOOBfill) {
  const auto address = reinterpret_cast<uintptr_t>(data);
  bool isValid = type == CU_TENSOR_MAP_DATA_TYPE_BFLOAT16 && rank >= 3 && rank <= 5 && address != 0 &&
                 address % 16 == 0 && reinterpret_cast<uintptr_t>(map) % 64 == 0;
  for (cuuint32_t i = 0; i < rank; i++)
    isValid = isValid && sizes[i] > 0 && sizes[i] <= (uint64_t{1} << 32) && box[i] > 0 && box[i] <= 256 &&
              steps[i] == 1;
  for (cuuint32_t i = 0; i + 1 < rank; i++)
    isValid = isValid && pitches[i] % 16 == 0 && pitches[i] > 0 && pitches[i] < (uint64_t{1} << 40);
  const cuuint32_t span = swizzle == CU_TENSOR_MAP_SWIZZLE_128B  ? 128
                          : swizzle == CU_TENSOR_MAP_SWIZZLE_64B ? 64
                                                                 : 0;
  isValid = isValid && 2 * box[0] <= span && 2 * box[0] % 16 == 0;
  if (!isValid)
    std::fprintf(stderr, "fake cuTensorMapEncodeTiled: a tensor that the copy engine does not take\n");
  return isValid ? CUDA_SUCCESS : CUDA_ERROR_INVALID_VALUE;
}

}  // namespace

extern "C" {

void** __cudaRegisterFatBinary(void*) {
  static void* handle = nullptr;
  return &handle;
}
void __cudaRegisterFatBinaryEnd(void**) {}
void __cudaUnregisterFatBinary(void**) {}
void __cudaRegisterVar(void**, char*, char*, const char*, int, size_t, int, int) {}
void __cudaRegisterFunction(void**, const char* function, char*, const char* symbol, int, uint3*, uint3*,
                            dim3*, dim3*, int*) {
  std::lock_guard<std::mutex> lock(mutex());
  kernels()[function] = FakeKernel{symbol};
}

unsigned __cudaPushCallConfiguration(dim3 grid, dim3 block, size_t sharedBytes, cudaStream_t stream) {
  pushed = {grid, block, sharedBytes, stream};
  return 0;
}
cudaError_t __cudaPopCallConfiguration(dim3* grid, dim3* block, size_t* sharedBytes, void* stream) {
  *grid = pushed.grid;
  *block = pushed.block;
  *sharedBytes = pushed.sharedBytes;
  *static_cast<cudaStream_t*>(stream) = pushed.stream;
  return cudaSuccess;
}
cudaError_t __cudaGetKernel(cudaKernel_t* kernel, const void* function) {
  *kernel = reinterpret_cast<cudaKernel_t>(const_cast<void*>(function));
  return cudaSuccess;
}
cudaError_t __cudaLaunchKernel(cudaKernel_t kernel, dim3 grid, dim3 block, void**, size_t sharedBytes,
                               cudaStream_t stream) {
  cudaLaunchConfig_t config{};
  config.gridDim = grid;
  config.blockDim = block;
  config.dynamicSmemBytes = sharedBytes;
  config.stream = stream;
  return launch(kernel, config);
}
cudaError_t cudaLaunchKernelExC(const cudaLaunchConfig_t* config, const void* function, void**) {
  return launch(function, *config);
}

cudaError_t cudaFuncSetAttribute(const void* function, cudaFuncAttribute attribute, int value) {
  std::lock_guard<std::mutex> lock(mutex());
  const FakeChip chip = fakeChip();
  FakeKernel* kernel = nullptr;
  const FakeKernelImage* image = nullptr;
  if (const cudaError_t error = find(function, chip, kernel, image)) return error;
  if (attribute != cudaFuncAttributeMaxDynamicSharedMemorySize) return cudaSuccess;
  if (value < 0 || image->sharedBytes + value > chip.sharedBytes) {
    std::fprintf(stderr, "fake attribute of %s: %d bytes of shared memory, a block may have %d\n",
                 kernel->symbol.c_str(), image->sharedBytes + value, chip.sharedBytes);
    return fail(cudaErrorInvalidValue);
  }
  kernel->dynamicBytes = value;
  return cudaSuccess;
}
cudaError_t cudaFuncGetAttributes(cudaFuncAttributes* attributes, const void* function) {
  std::lock_guard<std::mutex> lock(mutex());
  const FakeChip chip = fakeChip();
  FakeKernel* kernel = nullptr;
  const FakeKernelImage* image = nullptr;
  if (const cudaError_t error = find(function, chip, kernel, image)) return error;
  *attributes = {};
  attributes->numRegs = image->registers;
  attributes->sharedSizeBytes = static_cast<size_t>(image->sharedBytes);
  attributes->maxDynamicSharedSizeBytes = kernel->dynamicBytes;
  attributes->maxThreadsPerBlock =
      static_cast<int>(std::min<int64_t>(1024, processorRegisters / registersOf(*image, 1) * 32));
  attributes->ptxVersion = attributes->binaryVersion = architectureOf(chip) == "sm_90a" ? 90 : 80;
  return cudaSuccess;
}
cudaError_t cudaOccupancyMaxActiveBlocksPerMultiprocessorWithFlags(int* numBlocks, const void* function,
                                                                   int threads, size_t sharedBytes,
                                                                   unsigned) {
  std::lock_guard<std::mutex> lock(mutex());
  const FakeChip chip = fakeChip();
  FakeKernel* kernel = nullptr;
  const FakeKernelImage* image = nullptr;
  if (const cudaError_t error = find(function, chip, kernel, image)) return error;
  // The system keeps a kilobyte of a block's shared memory.
  const int64_t blockBytes = image->sharedBytes + static_cast<int64_t>(sharedBytes) + 1024;
  const int64_t most =
      std::min({processorRegisters / std::max<int64_t>(1, registersOf(*image, threads)),
                chip.processorSharedBytes / blockBytes, int64_t{2048} / threads, int64_t{32}});
  *numBlocks = static_cast<int>(most);
  return cudaSuccess;
}

cudaError_t cudaGetDeviceCount(int* count) {
  *count = 1;
  return cudaSuccess;
}
cudaError_t cudaGetDevice(int* device) {
  *device = 0;
  return cudaSuccess;
}
cudaError_t cudaSetDevice(int) {
  return cudaSuccess;
}
cudaError_t cudaDeviceGetAttribute(int* value, cudaDeviceAttr attribute, int) {
  const FakeChip chip = fakeChip();
  switch (attribute) {
    case cudaDevAttrComputeCapabilityMajor:
      *value = chip.capability / 10;
      return cudaSuccess;
    case cudaDevAttrMultiProcessorCount:
      *value = chip.numProcessors;
      return cudaSuccess;
    case cudaDevAttrMaxSharedMemoryPerBlockOptin:
      *value = chip.sharedBytes;
      return cudaSuccess;
    case cudaDevAttrMaxSharedMemoryPerMultiprocessor:
      *value = chip.processorSharedBytes;
      return cudaSuccess;
    default:
      std::fprintf(stderr, "fake runtime: attribute %d is not known\n", attribute);
      return fail(cudaErrorNotSupported);
  }
}
cudaError_t cudaGetDriverEntryPointByVersion(const char* name, void** entry, unsigned, unsigned long long,
                                             cudaDriverEntryPointQueryResult* result) {
  const bool isKnown = std::string(name) == "cuTensorMapEncodeTiled";
  *entry = isKnown ? reinterpret_cast<void*>(&encodeTiled) : nullptr;
  *result = isKnown ? cudaDriverEntryPointSuccess : cudaDriverEntryPointSymbolNotFound;
  return cudaSuccess;
}

cudaError_t cudaMemsetAsync(void* data, int value, size_t bytes, cudaStream_t stream) {
  using Set = int (*)(unsigned long long, unsigned char, size_t, cudaStream_t);
  return fail(static_cast<cudaError_t>(ofDriver<Set>("cuMemsetD8Async")(
      reinterpret_cast<unsigned long long>(data), static_cast<unsigned char>(value), bytes, stream)));
}
cudaError_t cudaMemcpyAsync(void* to, const void* from, size_t bytes, cudaMemcpyKind kind,
                            cudaStream_t stream) {
  if (kind != cudaMemcpyDeviceToDevice) return fail(cudaErrorNotSupported);
  using Copy = int (*)(unsigned long long, unsigned long long, size_t, cudaStream_t);
  return fail(static_cast<cudaError_t>(ofDriver<Copy>("cuMemcpyDtoDAsync_v2")(
      reinterpret_cast<unsigned long long>(to), reinterpret_cast<unsigned long long>(from), bytes, stream)));
}

cudaError_t cudaGetLastError(void) {
  return std::exchange(lastError, cudaSuccess);
}
cudaError_t cudaPeekAtLastError(void) {
  return lastError;
}
const char* cudaGetErrorString(cudaError_t error) {
  return error == cudaErrorNoKernelImageForDevice ? "no kernel image is available for execution on the device"
                                                  : "a launch that the fake runtime refuses";
}

}  // extern "C"
