#include "cuda.h"

#include "cuda/copy_rows.cuh"

namespace longscan {

namespace {

struct Selected {
  const int32_t* condition;
  const char *a, *b;
  char* y;
  int64_t bytes;
  __device__ const char* source(int64_t row) const {
    const char* from = condition[row] != 0 ? a : b;
    return from == nullptr ? nullptr : from + row * bytes;
  }
  __device__ char* target(int64_t row) const { return y + row * bytes; }
};

}  // namespace

}  // namespace longscan

using namespace longscan;

int longscanSelectRows(const int32_t* condition, const void* a, const void* b, void* y, int64_t numRows,
                       int64_t bytes, CUstream_st* stream) {
  const Selected rows{condition, static_cast<const char*>(a), static_cast<const char*>(b),
                      static_cast<char*>(y), bytes};
  return copyRows(numRows, bytes, addressOf(a) | addressOf(b) | addressOf(y), rows, stream);
}
