#pragma once

#include <type_traits>

#include "cuda/pack.cuh"
#include "cuda/tile.cuh"
#include "staging.cuh"

// A state in registers and the rows of the sequence that come to it. A row of the state lies in the registers
// of `lanes` threads, 16 numbers each. Nothing but the sum over those lanes holds one row of the sequence up
// until the next: other warps load and store, four rows are one straight piece of code, and what is read of
// a state leaves as shares, which those other warps add up.

namespace longscan {

/// Free channels of a head, each with `size` contracted numbers. A thread has a share of `channels` of them,
/// `groups` apart: lane l of a channel's has the numbers 4 * (l + lanes * j) + i. `backward`: against time.
/// `numSums` outputs leave as shares of lanes, `numKnown` as what all lanes know.
template <int size, int channels, bool backward, int numSums, int numKnown>
class DeltaTokenSweep : public DeltaTokenLayout<size, channels> {
 public:
  using Layout = DeltaTokenLayout<size, channels>;
  using Layout::groups, Layout::lanes, Layout::numStages, Layout::stageRows, Layout::straightRows,
      Layout::warpRows;
  /// What a warp leaves of a stage: shares [stageRows, numSums, channels, 32], and known [stageRows,
  /// numKnown, warpRows].
  static constexpr int outputNumbers = stageRows * (numSums * channels * 32 + numKnown * warpRows);

 protected:
  struct Numbers {
    Pack<float, 4> x[4];
  };
  /// Something of each of a thread's channels.
  struct Each {
    float x[channels];
  };
  /// What a row of the sequence gives: this thread's shares of sums, and what all lanes know.
  struct Left {
    Each shares[numSums > 0 ? numSums : 1], known[numKnown > 0 ? numKnown : 1];
  };

  const DeltaShape& shape;
  const DeltaStaging& staging;
  float *stages, *outputs;
  // Of this head.
  const float *beta, *scalarDecay;  // [T, H]
  const int32_t* resets;            // [T]
  int numRows, firstFree, h, lane, warp, numWarps;
  int64_t b, bh;
  float P[channels][4][4];

  __device__ DeltaTokenSweep(const DeltaShape& shape, const DeltaStaging& staging, int numFree, float* shared)
      : shape(shape), staging(staging), stages(shared) {
    numWarps = blockDim.x / 32 - Layout::serviceWarps;
    const int tiles = (numFree + numWarps * warpRows - 1) / (numWarps * warpRows);
    // The same in all threads of a warp, and known to be: code that hangs on it stays in one piece.
    warp = __shfl_sync(~0u, threadIdx.x / 32, 0);
    lane = threadIdx.x % lanes;
    outputs = shared + numStages * stageRows * staging.rowNumbers;
    firstFree = blockIdx.x % tiles * (numWarps * warpRows);
    bh = blockIdx.x / tiles;
    b = bh / shape.H;
    h = static_cast<int>(bh % shape.H);
    numRows = static_cast<int>(shape.T);
    beta = shape.beta ? shape.beta + placeOf(0) : nullptr;
    scalarDecay = shape.scalarDecay ? shape.scalarDecay + placeOf(0) : nullptr;
    resets = shape.resets ? shape.resets + b * shape.T : nullptr;
    clear();
  }

  /// A channel of this thread, in the block and in the head.
  __device__ int slot(int r) const { return warp * warpRows + r * groups + threadIdx.x % 32 / lanes; }
  __device__ int channel(int r) const { return firstFree + slot(r); }

  /// value(r) of each of the thread's channels
  template <typename Value>
  __device__ static Each each(Value&& value) {
    Each of;
#pragma unroll
    for (int r = 0; r < channels; r++) of.x[r] = value(r);
    return of;
  }
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
    for (int r = 0; r < channels; r++) eachNumber(r, [](float& p, int) { p = 0.0f; });
  }

  __device__ Numbers numbers(const DeltaRow& row, int role) const {
    Numbers numbers;
    const float* from = row.data + staging.at[role] + 4 * lane;
#pragma unroll
    for (int j = 0; j < 4; j++) numbers.x[j] = loadPack<4>(from + 4 * lanes * j);
    return numbers;
  }
  /// Of the thread's own channels.
  __device__ Each number(const DeltaRow& row, int role) const {
    return each([&](int r) { return row.data[staging.at[role] + slot(r)]; });
  }

  /// This thread's share of P^T u.
  __device__ Each multiply(const Numbers& u) const {
    return each([&](int r) {
      float parts[4];
#pragma unroll
      for (int j = 0; j < 4; j++) {
        parts[j] = u.x[j].x[0] * P[r][j][0];
#pragma unroll
        for (int i = 1; i < 4; i++) parts[j] += u.x[j].x[i] * P[r][j][i];
      }
      return (parts[0] + parts[1]) + (parts[2] + parts[3]);
    });
  }
  /// The sums over the lanes of a channel; all have them.
  __device__ static Each sumOverLanes(Each values) {
#pragma unroll
    for (int distance = 1; distance < lanes; distance *= 2) {
#pragma unroll
      for (int r = 0; r < channels; r++) values.x[r] += __shfl_xor_sync(~0u, values.x[r], distance);
    }
    return values;
  }
  __device__ void add(const Numbers& u, const Each& factors) {
#pragma unroll
    for (int r = 0; r < channels; r++) {
#pragma unroll
      for (int j = 0; j < 4; j++) {
#pragma unroll
        for (int i = 0; i < 4; i++) P[r][j][i] += u.x[j].x[i] * factors.x[r];
      }
    }
  }

  /// advance(row, what it leaves) for every row in the sweep's order. Of each stage, the warps that load and
  /// store call flush(a warp's outputs, that warp, first row, number of rows) while the next is under way.
  template <typename Advance, typename Flush>
  __device__ void run(Advance&& advance, Flush&& flush) {
    const int numBlocks = (numRows + stageRows - 1) / stageRows;
    if (warp >= numWarps) {
      serve(numBlocks, flush);
      return;
    }
    Scalars next = loadScalars(blockOf(0, numBlocks));
    for (int stage = 0; stage < numBlocks; stage++) {
      const Scalars scalars = next;
      const int block = blockOf(stage, numBlocks), count = min(stageRows, numRows - block * stageRows);
      if (stage + 1 < numBlocks) next = loadScalars(blockOf(stage + 1, numBlocks));
      const float* data = stages + stage % numStages * stageRows * staging.rowNumbers;
      float* to = outputsOf(stage, warp);
      const int numResets = __popc(__ballot_sync(~0u, scalars.reset != 0));
      const bool plain = count == stageRows && __shfl_sync(~0u, numResets, 0) == 0;
      __syncthreads();
      if (plain) {
#pragma unroll 1
        for (int part = 0; part < stageRows; part += straightRows) {
          // Nothing is written to shared memory on the way, so that no row's loads wait for another's.
          Left left[straightRows];
          const int first = backward ? stageRows - straightRows - part : part;
#pragma unroll
          for (int i = 0; i < straightRows; i++) {
            const int own = backward ? straightRows - 1 - i : i;
            DeltaRow row = rowAt(data, block, first + own, scalars);
            // Chunks begin with such parts.
            row.beginsChunk = own == 0 && row.token % deltaGateTokens == 0;
            row.forgets = false;
            advance(row, left[own]);
          }
#pragma unroll
          for (int own = 0; own < straightRows; own++) leave(to, first + own, left[own]);
        }
      } else {
        for (int i = 0; i < count; i++) {
          const int place = backward ? count - 1 - i : i;
          Left left;
          advance(rowAt(data, block, place, scalars), left);
          leave(to, place, left);
        }
      }
    }
    __syncthreads();
  }

  /// Stores what a warp left of `count` rows from `first` on.
  __device__ void storeSums(const float* from, int ofWarp, int output, const DeltaOutput& to, int first,
                            int count) const {
    eachLeft(ofWarp, to, first, count, [&](int place, int own) {
      const float* shares =
          from + ((place * numSums + output) * channels + own / groups) * 32 + own % groups * lanes;
      float sum = 0.0f;
#pragma unroll
      for (int l = 0; l < lanes; l++) sum += shares[l];
      return sum;
    });
  }
  __device__ void storeKnown(const float* from, int ofWarp, int output, const DeltaOutput& to, int first,
                             int count) const {
    const float* known = from + stageRows * numSums * channels * 32 + output * warpRows;
    eachLeft(ofWarp, to, first, count,
             [&](int place, int own) { return known[place * numKnown * warpRows + own]; });
  }

 private:
  /// A lane's share of what all channels have of a stage's rows: lane l that of row l.
  struct Scalars {
    float beta, decay;
    int reset;
  };

  __device__ int blockOf(int stage, int numBlocks) const {
    return backward ? numBlocks - 1 - stage : stage;
  }
  /// The place of a row's numbers of this head, in rows.
  __device__ int64_t placeOf(int row) const {
    return (b * numRows + row) * shape.H + h;
  }

  __device__ Scalars loadScalars(int block) const {
    const int place = threadIdx.x % 32, row = block * stageRows + place;
    Scalars own{1.0f, 1.0f, 0};
    if (place >= stageRows || row >= numRows) return own;
    const int64_t H = shape.H;
    if (beta) own.beta = beta[row * H];
    if (scalarDecay) own.decay = scalarDecay[row * H];
    if (resets) own.reset = resets[row];
    return own;
  }

  __device__ DeltaRow rowAt(const float* data, int block, int place, const Scalars& own) const {
    DeltaRow row;
    row.data = data + place * staging.rowNumbers;
    row.token = block * stageRows + place;
    row.place = place;
    row.beginsChunk = row.token % deltaGateTokens == 0;
    row.beta = __shfl_sync(~0u, own.beta, place);
    row.decay = __shfl_sync(~0u, own.decay, place);
    row.forgets = __shfl_sync(~0u, own.reset, place) != 0;
    return row;
  }

  __device__ float* outputsOf(int stage, int ofWarp) const {
    return outputs + (stage % 2 * numWarps + ofWarp) * outputNumbers;
  }

  __device__ void leave(float* to, int place, const Left& left) const {
    const int thread = threadIdx.x % 32;
#pragma unroll
    for (int i = 0; i < numSums; i++) {
#pragma unroll
      for (int r = 0; r < channels; r++)
        to[((place * numSums + i) * channels + r) * 32 + thread] = left.shares[i].x[r];
    }
    if (lane != 0) return;
    float* known = to + stageRows * numSums * channels * 32 + place * numKnown * warpRows + thread / lanes;
#pragma unroll
    for (int i = 0; i < numKnown; i++) {
#pragma unroll
      for (int r = 0; r < channels; r++) known[i * warpRows + r * groups] = left.known[i].x[r];
    }
  }

  /// value(place, channel of the warp) goes where the output has it.
  template <typename Value>
  __device__ void eachLeft(int ofWarp, const DeltaOutput& to, int first, int count, Value&& value) const {
    if (to.data == nullptr) return;
#pragma unroll
    for (int i = threadIdx.x % 32; i < stageRows * warpRows; i += 32) {
      const int place = i / warpRows, own = i % warpRows, channel = firstFree + ofWarp * warpRows + own;
      const int row = first + place;
      if (place >= count || channel >= to.width) continue;
      const int64_t at = placeOf(row) * to.pitch + channel;
      const float stored = to.factor * value(place, own);
      if (to.isBf16)
        static_cast<__nv_bfloat16*>(to.data)[at] = fromFloat<__nv_bfloat16>(stored);
      else
        static_cast<float*>(to.data)[at] = stored;
    }
  }

  /// The part of the warps that load and store.
  template <typename Flush>
  __device__ void serve(int numBlocks, Flush&& flush) const {
    const auto store = [&](int stage) {
      const int first = blockOf(stage, numBlocks) * stageRows, count = min(stageRows, numRows - first);
      for (int own = warp - numWarps; own < numWarps; own += Layout::serviceWarps)
        flush(outputsOf(stage, own), own, first, count);
    };
    for (int stage = 0; stage < numStages - 1; stage++) copyStage(stage, numBlocks);
    for (int stage = 0; stage < numBlocks; stage++) {
      waitForCopies<numStages - 2>();
      __syncthreads();
      copyStage(stage + numStages - 1, numBlocks);
      if (numSums + numKnown > 0 && stage > 0) store(stage - 1);
    }
    __syncthreads();
    if (numSums + numKnown > 0) store(numBlocks - 1);
  }

  /// Starts the copies of a stage, each source by one warp; a stage that does not exist has none, but is
  /// counted.
  __device__ void copyStage(int stage, int numBlocks) const {
    const int first = blockOf(stage, numBlocks) * stageRows;
    const int count = stage < numBlocks ? min(stageRows, numRows - first) : 0;
    const uint32_t to = sharedAddress(stages + stage % numStages * stageRows * staging.rowNumbers);
    for (int s = warp - numWarps; s < staging.numSources; s += Layout::serviceWarps) {
      const DeltaStaging::Source& source = staging.sources[s];
      const int column0 = source.sliced ? firstFree : 0;
      const int64_t pitch = source.rows.pitch;
      const float* from = source.rows.data + column0 + placeOf(first) * pitch;
      const int64_t step = shape.H * pitch;
#pragma unroll 4
      for (int i = threadIdx.x % 32; i < count << source.log2Units; i += 32) {
        const int place = i >> source.log2Units, unit = i - (place << source.log2Units);
        copyAsync16(to + 4 * (place * staging.rowNumbers + source.at + 4 * unit),
                    from + place * step + 4 * unit, column0 + 4 * unit < source.rows.pitch);
      }
    }
    commitCopies();
  }
};

/// Launches `kernel(call, staging)` of a `Sweep` over all heads and `numFree` channels.
template <typename Sweep, typename Call>
cudaError_t launchDeltaTokenSweep(void (*kernel)(Call, DeltaStaging), const Call& call,
                                  const DeltaStaging& staging, int numFree, int numWarps,
                                  cudaStream_t stream) {
  const int numbers =
      Sweep::numStages * Sweep::stageRows * staging.rowNumbers + 2 * numWarps * Sweep::outputNumbers;
  const int bytes = numbers * static_cast<int>(sizeof(float));
  const cudaError_t error = cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, bytes);
  if (error != cudaSuccess) return error;
  const int rows = numWarps * Sweep::warpRows;
  const int64_t blocks = call.shape.B * call.shape.H * ((numFree + rows - 1) / rows);
  kernel<<<static_cast<unsigned>(blocks), 32 * (numWarps + Sweep::serviceWarps), bytes, stream>>>(call,
                                                                                                  staging);
  return cudaGetLastError();
}

/// Threads of a block, at most.
constexpr int deltaTokenThreads = 32 * 12;

/// run(size, channels of a thread), as constants: the smallest size that holds `numContracted` numbers, and
/// two channels where one would leave many warps that all read the same.
template <typename Run>
cudaError_t withDeltaSize(const DeltaShape& shape, int numContracted, int numFree, Run&& run) {
  const auto ofSize = [&](auto size) {
    constexpr int rows = DeltaTokenLayout<size.value, 1>::warpRows;
    const bool many = shape.B * shape.H * ((numFree + rows - 1) / rows) >= 1024;
    return many ? run(size, std::integral_constant<int, 2>()) : run(size, std::integral_constant<int, 1>());
  };
  if (numContracted <= 64) return ofSize(std::integral_constant<int, 64>());
  if (numContracted <= 128) return ofSize(std::integral_constant<int, 128>());
  constexpr auto one = std::integral_constant<int, 1>();
  if (numContracted <= 256) return run(std::integral_constant<int, 256>(), one);
  return run(std::integral_constant<int, 512>(), one);
}

}  // namespace longscan
