#include "cuda.h"

#include "cuda/copy_rows.cuh"

namespace longscan {

namespace {

struct Flipped {
  const char* x;
  char* y;
  int64_t length, bytes;
  __device__ const char* source(int64_t row) const {
    const int64_t i = row % length;
    return x + (row - i + length - 1 - i) * bytes;
  }
  __device__ char* target(int64_t row) const { return y + row * bytes; }
};

}  // namespace

}  // namespace longscan

using namespace longscan;

int longscanFlip(const void* x, void* y, int64_t outer, int64_t length, int64_t bytes, CUstream_st* stream) {
  const Flipped rows{static_cast<const char*>(x), static_cast<char*>(y), length, bytes};
  return copyRows(outer * length, bytes, addressOf(x) | addressOf(y), rows, stream);
}
