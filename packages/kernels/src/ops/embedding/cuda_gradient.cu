#include <cub/device/device_radix_sort.cuh>

#include "cuda.h"
#include "cuda/map_elements.cuh"
#include "cuda/workspace_parts.h"

// Positions are sorted by their token, in order within a token. Each block sums the rows of one piece of the
// sorted positions, run by run: a run inside the piece goes to the table at once, the share of one that
// reaches over its ends to memory, and the block where such a run begins adds up its shares. So no two blocks
// write a row, and the order of every sum follows from the tokens.

namespace longscan {

namespace {

constexpr int pieceRows = 32;
constexpr int threads = 256;

/// Where the gradient's workspace has what.
struct Parts {
  int32_t *tokens, *positions;              // as given, those that are no row as `vocab`
  int32_t *sortedTokens, *sortedPositions;  // [numTokens]
  float* shares;  // [pieces, 2, dim]: of a run from the piece before, and of one that begins here
  char* sortMemory;
  size_t sortBytes = 0, bytes;

  Parts(const LongscanEmbedding& call, void* workspace) {
    WorkspaceParts parts(workspace);
    tokens = parts.take<int32_t>(call.numTokens);
    positions = parts.take<int32_t>(call.numTokens);
    sortedTokens = parts.take<int32_t>(call.numTokens);
    sortedPositions = parts.take<int32_t>(call.numTokens);
    shares = parts.take<float>((call.numTokens + pieceRows - 1) / pieceRows * 2 * call.dim);
    sort(call, nullptr, nullptr);
    sortMemory = parts.take<char>(static_cast<int64_t>(sortBytes));
    bytes = parts.used();
  }

  /// Stable; without memory, only notes how much it wants.
  cudaError_t sort(const LongscanEmbedding& call, void* memory, cudaStream_t stream) {
    int bits = 1;
    while (call.vocab >> bits != 0) bits++;
    return cub::DeviceRadixSort::SortPairs(memory, sortBytes, tokens, sortedTokens, positions,
                                           sortedPositions, call.numTokens, 0, bits, stream);
  }
};

__global__ void __launch_bounds__(threads)
    numberKernel(const LongscanEmbedding call, int32_t* tokens, int32_t* positions) {
  const int64_t t = static_cast<int64_t>(blockIdx.x) * threads + threadIdx.x;
  if (t >= call.numTokens) return;
  const int64_t token = call.tokens[t];
  tokens[t] = static_cast<int32_t>(token >= 0 && token < call.vocab ? token : call.vocab);
  positions[t] = static_cast<int32_t>(t);
}

template <typename Gradient, typename Target>
struct Sum {
  int64_t numTokens, vocab, dim;
  const int32_t *tokens, *positions;  // sorted
  const Gradient* dy;
  Target* dtable;
  float* shares;

  __device__ float* share(int64_t piece, int which) const { return shares + (piece * 2 + which) * dim; }
  /// Whether sorted places i - 1 and i have one token.
  __device__ bool joins(int64_t i) const { return i > 0 && i < numTokens && tokens[i - 1] == tokens[i]; }
};

struct Plus {
  __device__ float operator()(float a, float b) const { return a + b; }
};

template <int width, typename Gradient, typename Target>
__device__ void addToRow(const Sum<Gradient, Target>& sum, int64_t token, int64_t column,
                         const Values<width>& values) {
  if (token >= sum.vocab) return;
  Target* const at = sum.dtable + token * sum.dim + column;
  storeValues(at, mapValues(Plus{}, loadValues<width>(at), values));
}

/// A thread has `width` columns of a piece.
template <int width, typename Gradient, typename Target>
__global__ void __launch_bounds__(threads) pieceKernel(const Sum<Gradient, Target> sum) {
  __shared__ int32_t tokens[pieceRows], positions[pieceRows];
  const int64_t piece = blockIdx.x, begin = piece * pieceRows;
  const int count = static_cast<int>(min(static_cast<int64_t>(pieceRows), sum.numTokens - begin));
  if (threadIdx.x < count) {
    tokens[threadIdx.x] = sum.tokens[begin + threadIdx.x];
    positions[threadIdx.x] = sum.positions[begin + threadIdx.x];
  }
  __syncthreads();
  const int64_t column = (static_cast<int64_t>(blockIdx.y) * threads + threadIdx.x) * width;
  if (column >= sum.dim) return;
  const bool fromBefore = sum.joins(begin), goesOn = sum.joins(begin + count);
  Values<width> run{};
  int first = 0;  // of the run
#pragma unroll 4
  for (int i = 0; i < count; i++) {
    run = mapValues(Plus{}, run, loadValues<width>(sum.dy + positions[i] * sum.dim + column));
    if (i + 1 < count && tokens[i + 1] == tokens[i]) continue;
    if (first == 0 && fromBefore)
      storeValues(sum.share(piece, 0) + column, run);
    else if (i + 1 == count && goesOn)
      storeValues(sum.share(piece, 1) + column, run);
    else
      addToRow(sum, tokens[i], column, run);
    run = {};
    first = i + 1;
  }
}

/// The runs over several pieces, each by the block of the piece where it begins.
template <int width, typename Gradient, typename Target>
__global__ void __launch_bounds__(threads) runKernel(const Sum<Gradient, Target> sum) {
  const int64_t piece = blockIdx.x, next = (piece + 1) * pieceRows;
  if (!sum.joins(next)) return;
  const int32_t token = sum.tokens[next];
  // All of the piece is of that token, and so is the one before: the run began earlier.
  if (sum.tokens[piece * pieceRows] == token && sum.joins(piece * pieceRows)) return;
  const int64_t column = (static_cast<int64_t>(blockIdx.y) * threads + threadIdx.x) * width;
  if (column >= sum.dim) return;
  Values<width> run = loadValues<width>(sum.share(piece, 1) + column);
#pragma unroll 4
  for (int64_t i = next; i < sum.numTokens && sum.tokens[i] == token; i += pieceRows)
    run = mapValues(Plus{}, run, loadValues<width>(sum.share(i / pieceRows, 0) + column));
  addToRow(sum, token, column, run);
}

template <int width, typename Gradient, typename Target>
cudaError_t launch(const Sum<Gradient, Target>& sum, cudaStream_t stream) {
  const int64_t perBlock = threads * width;
  const dim3 grid(static_cast<unsigned>((sum.numTokens + pieceRows - 1) / pieceRows),
                  static_cast<unsigned>((sum.dim + perBlock - 1) / perBlock));
  pieceKernel<width><<<grid, threads, 0, stream>>>(sum);
  runKernel<width><<<grid, threads, 0, stream>>>(sum);
  return cudaGetLastError();
}

}  // namespace

}  // namespace longscan

using namespace longscan;

size_t longscanEmbeddingGradientWorkspaceBytes(const LongscanEmbedding* call) {
  return Parts(*call, nullptr).bytes;
}

int longscanEmbeddingGradient(const LongscanEmbedding* call, LongscanArray dy, LongscanArray dtable,
                              int accumulate, void* workspace, CUstream_st* stream) {
  if (!accumulate) {
    const size_t bytes = static_cast<size_t>(call->vocab * call->dim) * (dtable.isBf16 ? 2 : 4);
    const cudaError_t error = cudaMemsetAsync(dtable.data, 0, bytes, stream);
    if (error) return error;
  }
  if (call->numTokens == 0 || call->dim == 0) return cudaSuccess;
  Parts parts(*call, workspace);
  const auto blocks = static_cast<unsigned>((call->numTokens + threads - 1) / threads);
  numberKernel<<<blocks, threads, 0, stream>>>(*call, parts.tokens, parts.positions);
  const cudaError_t error = parts.sort(*call, parts.sortMemory, stream);
  if (error) return error;
  return withArray(dy, [&](auto* gradient) {
    return withArray(dtable, [&](auto* target) {
      using Gradient = std::remove_pointer_t<decltype(gradient)>;
      using Target = std::remove_pointer_t<decltype(target)>;
      const Sum<Gradient, Target> sum{call->numTokens,       call->vocab, call->dim, parts.sortedTokens,
                                      parts.sortedPositions, gradient,    target,    parts.shares};
      const auto addresses = reinterpret_cast<uintptr_t>(gradient) | reinterpret_cast<uintptr_t>(target);
      const bool packed = call->dim % valuesAtOnce == 0 && addresses % 16 == 0;
      return packed ? launch<valuesAtOnce>(sum, stream) : launch<1>(sum, stream);
    });
  });
}
