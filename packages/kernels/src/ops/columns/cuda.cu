#include "cuda.h"

#include "cuda/copy_rows.cuh"

namespace longscan {

namespace {

struct Columns {
  const char* from;
  char* to;
  int64_t fromStep, toStep;
  __device__ const char* source(int64_t row) const { return from ? from + row * fromStep : nullptr; }
  __device__ char* target(int64_t row) const { return to + row * toStep; }
};

}  // namespace

}  // namespace longscan

using namespace longscan;

int longscanCopyColumns(const void* source, int64_t sourceStep, void* target, int64_t targetStep,
                        int64_t numRows, int64_t bytes, CUstream_st* stream) {
  const int64_t steps = addressOf(source) | addressOf(target) | sourceStep | targetStep;
  const Columns columns{static_cast<const char*>(source), static_cast<char*>(target), sourceStep, targetStep};
  return copyRows(numRows, bytes, steps, columns, stream);
}
