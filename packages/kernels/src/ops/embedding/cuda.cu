#include "cuda.h"

#include "cuda/copy_rows.cuh"

namespace longscan {

namespace {

struct Lookup {
  LongscanEmbedding call;
  const char* table;
  char* y;
  int64_t rowBytes;
  __device__ const char* source(int64_t row) const {
    const int64_t token = call.tokens[row];
    return token >= 0 && token < call.vocab ? table + token * rowBytes : nullptr;
  }
  __device__ char* target(int64_t row) const { return y + row * rowBytes; }
};

constexpr int checkThreads = 1024;

__global__ void __launch_bounds__(checkThreads) checkKernel(const LongscanEmbedding call, int32_t* found) {
  __shared__ unsigned first;
  if (threadIdx.x == 0) first = ~0u;
  __syncthreads();
  unsigned mine = ~0u;
#pragma unroll 8
  for (int64_t t = threadIdx.x; t < call.numTokens; t += checkThreads) {
    const int64_t token = call.tokens[t];
    if (token < 0 || token >= call.vocab) mine = min(mine, static_cast<unsigned>(t));
  }
  if (mine != ~0u) atomicMin(&first, mine);
  __syncthreads();
  if (threadIdx.x != 0) return;
  found[0] = first == ~0u ? -1 : static_cast<int32_t>(first);
  found[1] = first == ~0u ? 0 : call.tokens[first];
}

}  // namespace

}  // namespace longscan

using namespace longscan;

int longscanFindWrongToken(const LongscanEmbedding* call, int32_t* found, CUstream_st* stream) {
  checkKernel<<<1, checkThreads, 0, stream>>>(*call, found);
  return cudaGetLastError();
}

int longscanEmbedding(const LongscanEmbedding* call, const void* table, void* y, int64_t bytes,
                      CUstream_st* stream) {
  const Lookup rows{*call, static_cast<const char*>(table), static_cast<char*>(y), call->dim * bytes};
  return copyRows(call->numTokens, rows.rowBytes, addressOf(table) | addressOf(y), rows, stream);
}
