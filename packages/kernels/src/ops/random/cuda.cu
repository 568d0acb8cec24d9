#include "cuda.h"

#include "../../cuda/elements.cuh"
#include "random.h"

namespace longscan {

namespace {

struct FillNormal {
  float* y;
  int64_t count;
  RandomKey key;
  double deviation;
  __device__ void operator()(int64_t block) const { fillNormalBlock(y, count, key, deviation, block); }
};

}  // namespace

}  // namespace longscan

using namespace longscan;

int longscanFillNormal(uint32_t key0, uint32_t key1, double deviation, float* y, int64_t count,
                       CUstream_st* stream) {
  const int64_t numBlocks = (count + normalsPerBlock - 1) / normalsPerBlock;
  return forEachElement(numBlocks, FillNormal{y, count, {{key0, key1}}, deviation}, stream);
}
