#include "cuda_solve.h"

#include "cuda/mma.cuh"
#include "cuda/pack.cuh"

// A block takes a chunk of a head at a time, its tokens one after the other: the state goes on from token to
// token, but no factor does, for lambda does not decay with the state.

namespace longscan {

namespace {

constexpr int solveThreads = 256, chunkTokens = 64, panel = 16, pitch = panel + 4;
/// Blocks that walk over all chunks, each with a state in the cache: three a multiprocessor.
constexpr int64_t solveBlocks = 3 * 132;

__host__ __device__ inline int paddedSize(int K) {
  return (K + panel - 1) / panel * panel;
}

/// The lower triangle in panels of 16 columns, each from its diagonal down, and below it one more row: that
/// of the right-hand side, which the factor's own steps solve forward.
struct Panels {
  float* base;
  int size;

  __host__ __device__ static int offset(int size, int number) {
    return pitch * (number * (size + 1) - panel / 2 * number * (number - 1));
  }
  /// Element (16 number + row, 16 number + column).
  __device__ float* row(int number, int row) const { return base + offset(size, number) + row * pitch; }
  __device__ int rows(int number) const { return size + 1 - panel * number; }
};

struct SolveArguments {
  LongscanMesa call;
  const float *k, *states, *b, *solved;
  int stateColumns, keyColumns, numChunks;
  float *scratch, *x, *negative, *shares;
  void* dq;
};

/// 1 / sqrt(x) to the last bit but one.
__device__ inline float inverseRoot(float x) {
  const float y = rsqrtf(x);
  return y * fmaf(-0.5f * x * y, y, 1.5f);
}

class Solver {
  const SolveArguments& s;
  const Panels factor, state;
  float *key, *scaledKey, *diagonal, *inverse, *solution, (*partial)[panel];
  int64_t bh, b, h, chunk;
  int numPanels;

 public:
  __device__ Solver(const SolveArguments& arguments, float* memory)
      : s(arguments),
        factor{memory, paddedSize(arguments.call.K)},
        state{arguments.scratch + int64_t{blockIdx.x} * Panels::offset(factor.size, factor.size / panel),
              factor.size},
        numPanels(factor.size / panel) {
    float* next = memory + Panels::offset(factor.size, numPanels);
    for (float** vector : {&key, &scaledKey, &diagonal, &inverse, &solution})
      *vector = next, next += factor.size;
    partial = reinterpret_cast<float(*)[panel]>(next);
  }

  __device__ void run(int64_t number) {
    bh = number / s.numChunks, chunk = number % s.numChunks;
    b = bh / s.call.H, h = bh % s.call.H;
    const int count = static_cast<int>(min(int64_t{chunkTokens}, s.call.T - chunk * chunkTokens));
    enter();
    float share = 0.0f;
    for (int i = 0; i < count; i++) {
      const int64_t t = chunk * chunkTokens + i, token = (b * s.call.T + t) * s.call.H + h;
      write(t, token);
      for (int p = 0; p < numPanels; p++) {
        if (p > 0) subtractBefore(p);
        factorDiagonal(p);
        solveBelow(p);
      }
      for (int p = numPanels - 1; p >= 0; p--) solveBack(p);
      share += leave(token);
    }
    if (s.shares && threadIdx.x < s.call.K)
      s.shares[(chunk * s.call.B * s.call.H + bh) * s.call.K + threadIdx.x] = -share;
  }

 private:
  /// visit(value, panel, row in it, column in it) for the elements of a state, each by its own thread; eight
  /// of a thread's are on their way from memory at once.
  template <typename Visit>
  __device__ void eachOfState(Visit&& visit) const {
    constexpr int atOnce = 4;
    const int row = threadIdx.x / panel, column = threadIdx.x % panel, rowStep = solveThreads / panel;
    for (int p = 0; p < numPanels; p++) {
      const int rows = factor.size - panel * p;
      for (int first = row; first < rows; first += atOnce * rowStep) {
        float* at = state.row(p, first) + column;
        float value[atOnce];
#pragma unroll
        for (int i = 0; i < atOnce; i++)
          value[i] = first + i * rowStep < rows ? at[i * rowStep * pitch] : 0.0f;
#pragma unroll
        for (int i = 0; i < atOnce; i++) {
          if (first + i * rowStep >= rows) continue;
          visit(value[i], p, first + i * rowStep, column);
          at[i * rowStep * pitch] = value[i];
        }
      }
    }
  }

  __device__ void enter() {
    const float* from = s.states + (bh * s.numChunks + chunk) * s.keyColumns * s.stateColumns;
    eachOfState([&](float& value, int p, int row, int column) {
      const int i = panel * p + row, j = panel * p + column;
      const bool exists = i < s.call.K && j < s.call.K;
      value = exists ? from[int64_t{i} * s.stateColumns + j] : 0.0f;
    });
    for (int i = threadIdx.x; i < factor.size; i += solveThreads)
      diagonal[i] = i < s.call.K ? s.call.lambda[h * s.call.K + i] : 1.0f;
  }

  /// The token into the state, the system of equations from it.
  __device__ void write(int64_t t, int64_t token) {
    const float beta = s.call.beta[token], decay = expf(s.call.g[token]);
    const bool fresh = s.call.resets && s.call.resets[b * s.call.T + t] != 0;
    __syncthreads();
    for (int i = threadIdx.x; i < factor.size; i += solveThreads) {
      const bool exists = i < s.keyColumns;
      key[i] = exists ? s.k[token * s.keyColumns + i] : 0.0f;
      scaledKey[i] = beta * key[i];
      factor.row(i / panel, factor.size - i / panel * panel)[i % panel] =
          exists ? s.b[token * s.keyColumns + i] : 0.0f;
    }
    __syncthreads();
    eachOfState([&](float& value, int p, int row, int column) {
      const int i = panel * p + row, j = panel * p + column;
      // Selected: the state of another document may hold anything.
      value = fmaf(scaledKey[i], key[j], fresh ? 0.0f : decay * value);
      factor.row(p, row)[column] = i == j ? value + diagonal[i] : value;
    });
    __syncthreads();
  }

  /// Panel p less the products of its rows with the diagonal's, in the panels before: on tensor cores, in
  /// three products of leading and trailing parts of TF32. A warp has 16 rows at a time.
  __device__ void subtractBefore(int p) {
    const int lane = threadIdx.x % 32, outer = lane / 4, inner = lane % 4, rows = factor.rows(p);
    const auto split = [](float x, uint32_t& lead, uint32_t& trail) {
      lead = roundToTf32(x);
      trail = roundToTf32(x - __uint_as_float(lead));
    };
    for (int first = threadIdx.x / 32 * panel; first < rows; first += solveThreads / 32 * panel) {
      float sum[2][4] = {};
      for (int before = 0; before < p; before++) {
        const int up = panel * (p - before);
        const float* ofRows[2] = {factor.row(before, up + min(first + outer, rows - 1)) + inner,
                                  factor.row(before, up + min(first + outer + 8, rows - 1)) + inner};
        const float* ofDiagonal[2] = {factor.row(before, up + outer) + inner,
                                      factor.row(before, up + outer + 8) + inner};
#pragma unroll
        for (int k = 0; k < panel; k += 8) {
          uint32_t A[4], trailA[4], B[2][2], trailB[2][2];
#pragma unroll
          for (int i = 0; i < 4; i++) split(ofRows[i & 1][k + 4 * (i >> 1)], A[i], trailA[i]);
#pragma unroll
          for (int n = 0; n < 2; n++) {
#pragma unroll
            for (int i = 0; i < 2; i++) split(ofDiagonal[n][k + 4 * i], B[n][i], trailB[n][i]);
            mmaTf32(sum[n], trailA, B[n][0], B[n][1]);
            mmaTf32(sum[n], A, trailB[n][0], trailB[n][1]);
            mmaTf32(sum[n], A, B[n][0], B[n][1]);
          }
        }
      }
#pragma unroll
      for (int n = 0; n < 2; n++)
#pragma unroll
        for (int i = 0; i < 4; i++) {
          const int row = first + outer + i / 2 * 8;
          if (row < rows) factor.row(p, row)[8 * n + 2 * inner + i % 2] -= sum[n][i];
        }
    }
    __syncthreads();
  }

  /// A warp, a lane a row; the upper half of it does the same again.
  __device__ void factorDiagonal(int p) {
    if (threadIdx.x < 32) {
      const int row = threadIdx.x % panel;
      float x[panel];
#pragma unroll
      for (int c = 0; c < panel; c++) x[c] = factor.row(p, row)[c];
#pragma unroll
      for (int c = 0; c < panel; c++) {
        const float perUnit = inverseRoot(__shfl_sync(~0u, x[c], c));
        x[c] *= perUnit;
        if (threadIdx.x == 0) inverse[panel * p + c] = perUnit;
#pragma unroll
        for (int d = c + 1; d < panel; d++) x[d] -= x[c] * __shfl_sync(~0u, x[c], d);
      }
      // Both halves have read the rows.
      __syncwarp();
#pragma unroll
      for (int c = 0; c < panel; c++)
        if (threadIdx.x < panel) factor.row(p, row)[c] = x[c];
    }
    __syncthreads();
  }

  /// Rows below the diagonal, a thread a row.
  __device__ void solveBelow(int p) {
    for (int row = panel + threadIdx.x; row < factor.rows(p); row += solveThreads) {
      float* own = factor.row(p, row);
      float x[panel];
#pragma unroll
      for (int c = 0; c < panel; c++) x[c] = own[c];
#pragma unroll
      for (int c = 0; c < panel; c++) {
        x[c] *= inverse[panel * p + c];
#pragma unroll
        for (int d = c + 1; d < panel; d++) x[d] -= x[c] * factor.row(p, d)[c];
      }
#pragma unroll
      for (int c = 0; c < panel; c++) own[c] = x[c];
    }
    __syncthreads();
  }

  /// Of the transposed factor: 16 numbers of the solution from those after them.
  __device__ void solveBack(int p) {
    const int column = threadIdx.x % panel, rows = factor.rows(p) - 1;
    float sum = 0.0f;
    for (int row = panel + threadIdx.x / panel; row < rows; row += solveThreads / panel)
      sum += factor.row(p, row)[column] * solution[panel * p + row];
    sum += __shfl_xor_sync(~0u, sum, panel);
    if (threadIdx.x % 32 < panel) partial[threadIdx.x / 32][column] = sum;
    __syncthreads();
    if (threadIdx.x < 32) {
      float x = factor.row(p, rows)[column];
#pragma unroll
      for (int i = 0; i < solveThreads / 32; i++) x -= partial[i][column];
#pragma unroll
      for (int c = panel - 1; c >= 0; c--) {
        const float found = __shfl_sync(~0u, x, c) * inverse[panel * p + c];
        if (column == c) x = found;
        if (column < c) x -= factor.row(p, c)[column] * found;
      }
      if (threadIdx.x < panel) solution[panel * p + column] = x;
    }
    __syncthreads();
  }

  /// The solution to memory. Returns its product with the forward pass's, of the thread's own number.
  __device__ float leave(int64_t token) {
    const int i = threadIdx.x;
    if (i >= s.keyColumns) return 0.0f;
    const float x = i < s.call.K ? solution[i] : 0.0f;
    s.x[token * s.keyColumns + i] = x;
    if (s.solved == nullptr) return 0.0f;
    s.negative[token * s.stateColumns + i] = -x;
    if (i >= s.call.K) return 0.0f;
    const int64_t at = token * s.call.K + i;
    if (s.call.type == longscanElementBf16)
      static_cast<__nv_bfloat16*>(s.dq)[at] = fromFloat<__nv_bfloat16>(x);
    else
      static_cast<float*>(s.dq)[at] = x;
    return x * s.solved[token * s.keyColumns + i];
  }
};

__global__ void __launch_bounds__(solveThreads, 3)
    solveKernel(const __grid_constant__ SolveArguments arguments) {
  extern __shared__ __align__(16) float memory[];
  Solver solver(arguments, memory);
  const int64_t numbers = arguments.call.B * arguments.call.H * arguments.numChunks;
  for (int64_t number = blockIdx.x; number < numbers; number += gridDim.x) solver.run(number);
}

}  // namespace

int64_t solveScratchNumbers(int K) {
  const int size = paddedSize(K);
  return solveBlocks * Panels::offset(size, size / panel);
}

cudaError_t launchSolve(const SolveCall& solve, cudaStream_t stream) {
  const LongscanMesa& call = solve.call;
  const int size = paddedSize(call.K), keyColumns = (call.K + 7) / 8 * 8;
  const SolveArguments arguments{call,           solve.k,
                                 solve.states,   solve.b,
                                 solve.solved,   solve.stateColumns,
                                 keyColumns,     static_cast<int>((call.T + chunkTokens - 1) / chunkTokens),
                                 solve.scratch,  solve.x,
                                 solve.negative, solve.shares,
                                 solve.dq};
  const int numbers = Panels::offset(size, size / panel) + 5 * size + solveThreads / 32 * panel;
  const int bytes = numbers * static_cast<int>(sizeof(float));
  const cudaError_t error =
      cudaFuncSetAttribute(solveKernel, cudaFuncAttributeMaxDynamicSharedMemorySize, bytes);
  if (error) return error;
  const int64_t chunks = call.B * call.H * arguments.numChunks;
  const auto blocks = static_cast<unsigned>(chunks < solveBlocks ? chunks : solveBlocks);
  solveKernel<<<blocks, solveThreads, bytes, stream>>>(arguments);
  return cudaGetLastError();
}

}  // namespace longscan
