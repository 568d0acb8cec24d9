#include <cstdlib>
#include <string>

#include "../../ops/gated-linear/cuda.h"
#include "../library.h"

// A library of CUDA kernels without any, for tests of what is said where there are none. LONGSCAN_FAKE_CUDA,
// as for the fake driver: "toolkit=13000 probe=209" (a cudaError_t: no code for this GPU; 716: a failed
// kernel's context). Head sizes are refused as the real kernels refuse them.

namespace {

int setting(const char* name, int otherwise) {
  const char* all = std::getenv("LONGSCAN_FAKE_CUDA");
  const std::string text = std::string(" ") + (all == nullptr ? "" : all);
  const std::string key = std::string(" ") + name + "=";
  const size_t at = text.find(key);
  return at == std::string::npos ? otherwise : std::atoi(text.c_str() + at + key.size());
}

size_t bytesOf(const LongscanGatedLinear* call) {
  const bool isOffered = call->K % 8 == 0 && call->K <= 256 && call->V % 8 == 0 && call->V <= 512;
  return isOffered ? 64 * static_cast<size_t>(call->T) : 0;
}

}  // namespace

void longscanCudaDescribe(LongscanCudaLibrary* library) {
  *library = {setting("toolkit", 13000), 2, {800, 900}};
}
int longscanCudaProbe() {
  return setting("probe", 0);
}
const char* longscanCudaErrorText(int error) {
  return error == 209 ? "no kernel image is available for execution on the device" : "misaligned address";
}

size_t longscanGatedLinearStatesBytes(const LongscanGatedLinear* call) {
  return bytesOf(call);
}
size_t longscanGatedLinearWorkspaceBytes(const LongscanGatedLinear* call) {
  return bytesOf(call);
}
size_t longscanGatedLinearBackwardWorkspaceBytes(const LongscanGatedLinear* call) {
  return bytesOf(call);
}
int longscanGatedLinearForward(const LongscanGatedLinear*, const LongscanGatedLinearForward*, CUstream_st*) {
  return 0;
}
int longscanGatedLinearBackward(const LongscanGatedLinear*, const LongscanGatedLinearBackward*,
                                CUstream_st*) {
  return 0;
}
