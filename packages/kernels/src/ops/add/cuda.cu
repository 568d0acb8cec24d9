#include "cuda.h"

#include "../../cuda/map_elements.cuh"

namespace longscan {

namespace {

struct Add {
  __device__ float operator()(float a, float b) const { return a + b; }
};

struct AddScaled {
  float factor;
  __device__ float operator()(float x, float y) const { return y + factor * x; }
};

}  // namespace

}  // namespace longscan

using namespace longscan;

int longscanAdd(LongscanArray a, LongscanArray b, LongscanArray y, int64_t count, CUstream_st* stream) {
  return withArray(a, [=](auto* first) {
    return withArray(b, [=](auto* second) {
      return withArray(y, [=](auto* sum) { return mapElements(count, Add{}, sum, stream, first, second); });
    });
  });
}

int longscanAxpy(float factor, LongscanArray x, LongscanArray y, int64_t count, CUstream_st* stream) {
  return withArray(x, [=](auto* from) {
    return withArray(y,
                     [=](auto* to) { return mapElements(count, AddScaled{factor}, to, stream, from, to); });
  });
}
