#pragma once

#include "cuda/pack.cuh"
#include "cuda/tile.cuh"
#include "cuda_general_sweep.h"

// A state in registers and the rows that come to it. `lanes` threads share a row of the state, 16 numbers
// each, and each has two rows. Rows of the sequence are staged in shared memory, a few stages ahead.

namespace longscan {

/// What is staged of each row of the sequence, by role.
struct DeltaStaging {
  static constexpr int most = 9;
  struct Source {
    DeltaRows rows;
    bool sliced;  // only the block's own free channels
    int at;       // its place in a staged row
    int log2Units;
  };
  Source sources[most];
  int count = 0, rowNumbers = 0;

  /// `numbers`: a power of two, at least 4. Sources that are null have a role, but no place.
  void add(const DeltaRows& rows, bool sliced, int numbers) {
    int log2Units = 0;
    while (4 << log2Units < numbers) log2Units++;
    sources[count++] = {rows, sliced, rowNumbers, log2Units};
    if (rows.data != nullptr) rowNumbers += numbers;
  }
};

/// Sums of a thread's numbers with those of its row's other lanes; all have the sum.
template <int lanes>
__device__ inline void sumOverLanes(float (&values)[2]) {
#pragma unroll
  for (int distance = 1; distance < lanes; distance *= 2) {
#pragma unroll
    for (int r = 0; r < 2; r++) values[r] += __shfl_xor_sync(~0u, values[r], distance);
  }
}

template <int size>
struct DeltaTokenLayout {
  static constexpr int lanes = size / 16, groups = 32 / lanes;
  static constexpr int warpRows = 2 * groups;  // of the state
  static constexpr int stageRows = size > 256 ? 4 : 8;
  static constexpr int numStages = 3;

  static int warpsOf(int64_t B, int H, int numFree) {
    const int64_t warps = B * H * ((numFree + warpRows - 1) / warpRows);
    // Warps of a block share what is staged, blocks fill the chip. Rows do not meet: no result depends on it.
    int wanted = warpRows < 4 ? 4 / warpRows : 1;
    while (wanted < 8 && warps / (2 * wanted) >= 108) wanted *= 2;
    return wanted;
  }
};

/// One row of the sequence, as staged.
struct DeltaRow {
  const float* data;
  int number;  // of [0, T n)
  int place;   // in its stage
  bool isFirst, isLast, forgets;
  float beta, decay;  // the decay of all channels
};

/// Free channels of a head [firstFree, firstFree + warps * warpRows), each with `size` contracted numbers.
/// Thread (group, lane) of a warp has those of channels warp * warpRows + r * groups + group, and of them 4 *
/// (lane + lanes j) + i.
template <int size>
class DeltaTokenSweep : public DeltaTokenLayout<size> {
 protected:
  using Layout = DeltaTokenLayout<size>;
  using Layout::groups, Layout::lanes, Layout::numStages, Layout::stageRows, Layout::warpRows;
  using Four = Pack<float, 4>;
  struct Numbers {
    Four x[4];
  };

  const DeltaShape& shape;
  const DeltaStaging& staging;
  const bool backward;
  float* stages;
  float* shares;  // [stageRows, outputs, 2, 32] of this warp
  int numRows, firstFree, h, lane, group, warp;
  int64_t b, bh;
  float P[2][4][4];

  __device__ DeltaTokenSweep(const DeltaShape& shape, const DeltaStaging& staging, bool backward, int numFree,
                             int numOutputs, float* shared)
      : shape(shape), staging(staging), backward(backward), stages(shared) {
    const int numWarps = blockDim.x / 32, tiles = (numFree + numWarps * warpRows - 1) / (numWarps * warpRows);
    warp = threadIdx.x / 32;
    lane = threadIdx.x % lanes;
    group = threadIdx.x % 32 / lanes;
    shares = shared + numStages * stageRows * rowPitch() + warp * stageRows * numOutputs * 64;
    firstFree = blockIdx.x % tiles * (numWarps * warpRows);
    bh = blockIdx.x / tiles;
    b = bh / shape.H;
    h = static_cast<int>(bh % shape.H);
    numRows = static_cast<int>(shape.T * shape.n);
    clear();
  }

  /// Of the block's channels.
  __device__ int slot(int r) const { return warp * warpRows + r * groups + group; }
  __device__ int channel(int r) const { return firstFree + slot(r); }

  /// visit(number, its contracted channel)
  template <typename Visit>
  __device__ void eachNumber(int r, Visit&& visit) {
#pragma unroll
    for (int j = 0; j < 4; j++) {
#pragma unroll
      for (int i = 0; i < 4; i++) visit(P[r][j][i], 4 * (lane + lanes * j) + i);
    }
  }

  __device__ void clear() {
#pragma unroll
    for (int r = 0; r < 2; r++) eachNumber(r, [](float& p, int) { p = 0.0f; });
  }

  __device__ bool has(int role) const {
    return staging.sources[role].rows.data != nullptr;
  }
  __device__ Numbers numbers(const DeltaRow& row, int role) const {
    Numbers numbers;
    const float* from = row.data + staging.sources[role].at + 4 * lane;
#pragma unroll
    for (int j = 0; j < 4; j++) numbers.x[j] = loadPack<4>(from + 4 * lanes * j);
    return numbers;
  }
  /// Of one of the thread's own channels.
  __device__ float number(const DeltaRow& row, int role, int r) const {
    return row.data[staging.sources[role].at + slot(r)];
  }

  /// This thread's share of P^T u.
  __device__ void multiply(const Numbers& u, float (&sums)[2]) const {
#pragma unroll
    for (int r = 0; r < 2; r++) {
      float parts[2] = {};
#pragma unroll
      for (int j = 0; j < 4; j++) {
#pragma unroll
        for (int i = 0; i < 4; i++) parts[j % 2] += u.x[j].x[i] * P[r][j][i];
      }
      sums[r] = parts[0] + parts[1];
    }
  }

  __device__ void add(const Numbers& u, const float (&factors)[2]) {
#pragma unroll
    for (int r = 0; r < 2; r++) {
#pragma unroll
      for (int j = 0; j < 4; j++) {
#pragma unroll
        for (int i = 0; i < 4; i++) P[r][j][i] += u.x[j].x[i] * factors[r];
      }
    }
  }

  /// advance(row) for every row in the sweep's order; after each stage flush(its number of rows done before).
  template <typename Advance, typename Flush>
  __device__ void run(Advance&& advance, Flush&& flush) {
    for (int stage = 0; stage < numStages - 1; stage++) fill(stage);
    int step = backward ? shape.n - 1 : 0;
    for (int first = 0, stage = 0; first < numRows; first += stageRows, stage++) {
      waitForCopies<numStages - 2>();
      __syncthreads();
      fill(stage + numStages - 1);
      const int count = min(stageRows, numRows - first);
      for (int place = 0; place < count; place++) {
        advance(rowAt(stage, place, step));
        if (backward)
          step = step == 0 ? shape.n - 1 : step - 1;
        else
          step = step == shape.n - 1 ? 0 : step + 1;
      }
      flush(first);
    }
  }

  /// Leaves this thread's share of an output of the row, for `store`.
  __device__ void leave(const DeltaRow& row, int numOutputs, int output, const float (&sums)[2]) {
#pragma unroll
    for (int r = 0; r < 2; r++)
      shares[((row.place * numOutputs + output) * 2 + r) * 32 + threadIdx.x % 32] = sums[r];
  }

  /// Adds the shares up and stores them; `first`: rows done before this stage.
  template <int numOutputs>
  __device__ void store(int first, const DeltaOutput* outputs) {
    __syncwarp();
    for (int i = threadIdx.x % 32; i < stageRows * numOutputs * warpRows; i += 32) {
      const int own = i % warpRows, output = i / warpRows % numOutputs, place = i / warpRows / numOutputs;
      const int row = numberOf(first + place);
      if (first + place >= numRows || outputs[output].data == nullptr) continue;
      if (outputs[output].perToken && row % shape.n != shape.n - 1) continue;
      const float* from =
          shares + ((place * numOutputs + output) * 2 + own / groups) * 32 + own % groups * lanes;
      float sum = 0.0f;
#pragma unroll
      for (int l = 0; l < lanes; l++) sum += from[l];
      storeAt(outputs[output], row, firstFree + warp * warpRows + own, sum);
    }
  }

  __device__ void storeAt(const DeltaOutput& output, int row, int channel, float value) const {
    if (channel >= output.width) return;
    const int64_t place = placeOf(output.perToken, row) * output.pitch + channel;
    if (output.isBf16)
      static_cast<__nv_bfloat16*>(output.data)[place] = fromFloat<__nv_bfloat16>(output.factor * value);
    else
      static_cast<float*>(output.data)[place] = output.factor * value;
  }

  /// Values that all lanes of a state's row have: each of the first two stores one.
  __device__ void storeKnown(const DeltaOutput& output, int row, const float (&values)[2]) const {
    if (lane < 2) storeAt(output, row, channel(lane), lane == 0 ? values[0] : values[1]);
  }

  /// The place of a row's numbers of this head, in rows.
  __device__ int64_t placeOf(bool perToken, int row) const {
    const int64_t at = perToken ? b * shape.T + tokenOf(row) : b * numRows + row;
    return at * shape.H + h;
  }
  __device__ int tokenOf(int row) const {
    return shape.n == 1 ? row : row / shape.n;
  }

 private:
  __device__ int rowPitch() const {
    return staging.rowNumbers + 4;
  }
  __device__ int numberOf(int position) const {
    return backward ? numRows - 1 - position : position;
  }

  __device__ DeltaRow rowAt(int stage, int place, int step) const {
    DeltaRow row;
    row.data = stages + (stage % numStages * stageRows + place) * rowPitch();
    row.number = numberOf(stage * stageRows + place);
    row.place = place;
    row.isFirst = step == 0;
    row.isLast = step == shape.n - 1;
    const float* scalars = row.data + staging.rowNumbers;
    row.beta = shape.beta ? scalars[0] : 1.0f;
    row.decay = row.isFirst && shape.g ? expf(scalars[1]) : 1.0f;
    row.forgets = row.isFirst && shape.resets && __float_as_int(scalars[2]) != 0;
    return row;
  }

  /// Starts the copies of a stage; one that does not exist has none, but is counted.
  __device__ void fill(int stage) const {
    const uint32_t to = sharedAddress(stages + stage % numStages * stageRows * rowPitch());
    for (int s = 0; s < staging.count; s++) {
      const DeltaStaging::Source& source = staging.sources[s];
      if (source.rows.data == nullptr) continue;
      const int column0 = source.sliced ? firstFree : 0;
      for (int i = threadIdx.x; i < stageRows << source.log2Units; i += blockDim.x) {
        const int place = i >> source.log2Units, unit = i - (place << source.log2Units);
        const int position = stage * stageRows + place, column = column0 + 4 * unit;
        if (position >= numRows) break;
        const float* from =
            source.rows.data + placeOf(source.rows.perToken, numberOf(position)) * source.rows.pitch + column;
        copyAsync16(to + 4 * (place * rowPitch() + source.at + 4 * unit), from, column < source.rows.pitch);
      }
    }
    const int position = stage * stageRows + threadIdx.x;
    if (threadIdx.x < stageRows && position < numRows) {
      const int row = numberOf(position), token = tokenOf(row);
      const uint32_t scalars = to + 4 * (threadIdx.x * rowPitch() + staging.rowNumbers);
      if (shape.beta) copyAsync4(scalars, shape.beta + placeOf(false, row), true);
      if (shape.g) copyAsync4(scalars + 4, shape.g + placeOf(true, row), true);
      if (shape.resets) copyAsync4(scalars + 8, shape.resets + b * shape.T + token, true);
    }
    commitCopies();
  }
};

/// Launches `kernel(call, staging)` over all heads and `numFree` channels.
template <int size, typename Call>
cudaError_t launchDeltaTokenSweep(void (*kernel)(Call, DeltaStaging), const Call& call,
                                  const DeltaStaging& staging, int numFree, int numWarps, int numOutputs,
                                  cudaStream_t stream) {
  using Layout = DeltaTokenLayout<size>;
  const int numbers = Layout::numStages * Layout::stageRows * (staging.rowNumbers + 4) +
                      numWarps * Layout::stageRows * numOutputs * 64;
  const int bytes = numbers * static_cast<int>(sizeof(float));
  const cudaError_t error = cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, bytes);
  if (error != cudaSuccess) return error;
  const int rows = numWarps * Layout::warpRows;
  const int64_t blocks = call.shape.B * call.shape.H * ((numFree + rows - 1) / rows);
  kernel<<<static_cast<unsigned>(blocks), 32 * numWarps, bytes, stream>>>(call, staging);
  return cudaGetLastError();
}

/// run(std::integral_constant<int, size>) with the smallest size that holds `numContracted` numbers.
template <typename Run>
cudaError_t withDeltaSize(int numContracted, Run&& run) {
  if (numContracted <= 32) return run(std::integral_constant<int, 32>());
  if (numContracted <= 64) return run(std::integral_constant<int, 64>());
  if (numContracted <= 128) return run(std::integral_constant<int, 128>());
  return run(std::integral_constant<int, 256>());
}

}  // namespace longscan
