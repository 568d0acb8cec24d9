#include "cuda.h"

#include "../../cuda/elements.cuh"

namespace longscan {

namespace {

struct RoundBias {
  const float* bias;
  __nv_bfloat16* rounded;
  __device__ void operator()(int64_t i) const { store(rounded, i, bias[i]); }
};

}  // namespace

}  // namespace longscan

using namespace longscan;

int longscanRoundBias(const float* bias, void* rounded, int64_t count, CUstream_st* stream) {
  return forEachElement(count, RoundBias{bias, static_cast<__nv_bfloat16*>(rounded)}, stream);
}
