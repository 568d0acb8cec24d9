#include <algorithm>

#include "close.cuh"
#include "maps.h"
#include "pair_frame.cuh"

// The gradient of a diagonal decay over pairs of chunks that decay mildly: dq, dk and dg of the state before
// the pair and the adjoint after it.

namespace longscan {

namespace {

/// The first operand of a product in two bf16 terms.
struct OperandTerms {
  MmaA rounded[4], rest[4];
};

/// 64 x 64 numbers in two bf16 terms.
struct TileTerms {
  Tile<64> rounded, rest;

  __device__ float2 pairAt(int row, int column) const {
    const float2 near = loadPair(rounded, row, column), far = loadPair(rest, row, column);
    return make_float2(near.x + far.x, near.y + far.y);
  }
};

/// Scores times the scale; `inside` a chunk, no query has a share of later keys.
template <bool inside>
__device__ void toTerms(OperandTerms& to, const Sums& scores, float scale, const PairSide& at) {
#pragma unroll
  for (int k = 0; k < 4; k++)
#pragma unroll
    for (int i = 0; i < 4; i++) {
      const int n = 2 * k + i / 2, h = i % 2, ahead = at.column(n) - at.row(h);
      float near = scale * scores[n][2 * h], far = scale * scores[n][2 * h + 1];
      if (inside) {
        near = (at.ofQuery ? ahead <= 0 : ahead >= 0) ? near : 0.0f;
        far = (at.ofQuery ? ahead < 0 : ahead >= -1) ? far : 0.0f;
      }
      const uint32_t both = pack(near, far);
      to.rounded[k].x[i] = both;
      to.rest[k].x[i] = pack(near - lowHalf(both), far - highHalf(both));
    }
}

/// sum += scores times keys or queries.
__device__ void addProducts(Sums& sum, const OperandTerms& scores, const TileTerms& other) {
  beginProducts();
#pragma unroll
  for (int k = 0; k < 4; k++) {
    multiply<StoredB::columns>(sum, scores.rounded[k], other.rounded, k);
    multiply<StoredB::columns>(sum, scores.rest[k], other.rounded, k);
    multiply<StoredB::columns>(sum, scores.rounded[k], other.rest, k);
  }
  commitProducts();
  waitForProducts<0>();
  settle(sum);
}

/// The work of a warpgroup. `crosses`: its tokens give others of the pair's other chunk something: the later
/// queries and the earlier keys.
template <bool crosses>
class PairWork {
  using Layout = PairLayout;
  const DiagonalGradientCall& task;
  const DiagonalCall& call;
  unsigned char* const shared;
  const uint32_t base;
  const PairArrivals arrivals;
  const PairSide at;

 public:
  __device__ PairWork(const DiagonalGradientCall& task, unsigned char* shared)
      : task(task),
        call(task.call),
        shared(shared),
        base(sharedAddress(shared)),
        arrivals(shared, task.call.V) {}

  __device__ void run(unsigned numParts) const {
    int round = 0;
    for (unsigned number = blockIdx.x; number < numParts; number += gridDim.x) differentiate(round++);
  }

 private:
  __device__ float* floatsAt(int place) const { return reinterpret_cast<float*>(shared + place); }
  __device__ ExchangedFloats gatesOf(int which) const {
    return {floatsAt(Layout::gates + which * Layout::floats)};
  }
  __device__ ExchangedFloats changesOf(int which) const {
    return {floatsAt(Layout::changes + which * Layout::floats)};
  }
  __device__ Tile<64> rowsOf(int which, bool ofQuery) const {
    return {base + (2 * which + !ofQuery) * Layout::tile};
  }
  /// Made by warpgroup `side`: keys scaled up from their chunk's start, or queries from its end back.
  __device__ TileTerms termsOf(int side) const {
    const uint32_t first = base + Layout::terms + 2 * side * Layout::tile;
    return {{first}, {first + Layout::tile}};
  }
  /// Shares of warps of what goes through chunks: by side, warp and channel.
  __device__ float* shareOf(int kind) const { return floatsAt(Layout::shares) + kind * 4 * KB; }

  /// Of all threads that compute.
  __device__ static void join() { joinBarrier(3, pairThreads); }

  __device__ void differentiate(int round) const {
    Sums sum, scores, across;
    clear(sum);
    clear(scores);
    if (crosses) clear(across);
    EndSums ends(at.lane, at.which);
    multiplyValues(sum, scores, across, ends, round);

    arrivals.rowsFilled().wait(round);
    const int parity = round & 1;
    join();  // products do not read the third stage any more
    if (*reinterpret_cast<const int*>(shared + Layout::mild + 4 * parity) == 0) {
      arriveOfWarp(arrivals.closed());
      arriveOfWarp(arrivals.handedOver());
      return;
    }
    const float* const gammas = floatsAt(Layout::gammas + parity * 2 * 4 * KB);
    float2 through, behind;
    sumGates();
    storeScaledUp();
    publishToProducts();
    join();
    addInside(sum, scores, across, gammas, through, behind);
    join();
    close(sum);
    arriveOfWarp(arrivals.closed());
    storeShares(through, behind);
    if (!crosses) ends.store(floatsAt(Layout::ends), at.lane);
    join();
    storeDecayGradients(PairPart(*reinterpret_cast<const int4*>(shared + Layout::places + 16 * parity)),
                        gammas);
    publishToProducts();
    arriveOfWarp(arrivals.handedOver());
  }

  /// What the states give, scores of the own chunk, and with the other chunk's.
  __device__ void multiplyValues(Sums& sum, Sums& scores, Sums& across, EndSums& ends, int round) const {
    int stage = 0;
#pragma unroll 1
    for (int step = 0; step < arrivals.steps; step++) {
      arrivals.filled(stage).wait(arrivals.fills(round, step, stage));
      const uint32_t first = base + Layout::values + stage * Layout::stage;
      const auto tile = [&](int number) { return Tile<64>{first + number * Layout::tile}; };
      const int side = at.ofQuery ? 0 : 2;
      const Tile<64> own = tile(side + at.which), partner = tile((side ^ 2) + at.which),
                     other = tile(at.ofQuery ? 2 : 1), met = tile(at.ofQuery ? 4 : 5);
      beginProducts();
#pragma unroll
      for (int k = 0; k < 4; k++) {
        multiply<StoredB::columns>(sum, own, k, met, k);
        multiply<StoredB::rows>(scores, own, k, partner, k);
        if (crosses) multiply<StoredB::rows>(across, own, k, other, k);
      }
      commitProducts();
      if (!crosses) ends.add(tile(4), tile(5));
      waitForProducts<0>();
      settle(sum);
      settle(scores);
      if (crosses) settle(across);
      arriveOfWarp(arrivals.emptied(stage));
      stage = stage + 1 == Layout::stages ? 0 : stage + 1;
    }
  }

  /// Of both chunks; in the end they are there for all.
  __device__ void sumGates() const {
    constexpr int rows = 16;
    const ExchangedFloats c = gatesOf(threadIdx.x / 256);
    const int part = threadIdx.x % 256 / KB, column = threadIdx.x % KB;
    float sums[rows], sum = 0.0f;
#pragma unroll
    for (int row = 0; row < rows; row++) {
      sum += c.at(part * rows + row, column) * log2eDiagonal;
      sums[row] = sum;
    }
    float* const totals = floatsAt(Layout::totals) + threadIdx.x / 256 * 256;
    totals[threadIdx.x % 256] = sum;
    join();
    float before = 0.0f;
#pragma unroll
    for (int other = 0; other < 3; other++) before += other < part ? totals[other * KB + column] : 0.0f;
#pragma unroll
    for (int row = 0; row < rows; row++) c.at(part * rows + row, column) = sums[row] + before;
    join();
  }

  __device__ void storeScaledUp() const {
    const Tile<64> rows = rowsOf(at.which, !at.ofQuery);
    const TileTerms to = termsOf(at.number);
    const ExchangedFloats c = gatesOf(at.which);
    const int unit = threadIdx.x % 8;
    float end[8];
    c.loadEight(end, tileTokens - 1, 8 * unit);
#pragma unroll
    for (int step = 0; step < 4; step++) {
      const int row = threadIdx.x % 128 / 8 + 16 * step;
      const uint4 both = loadShared16(rows.address(row, unit));
      const uint32_t values[4] = {both.x, both.y, both.z, both.w};
      uint32_t rounded[4], rest[4];
      float here[8];
      c.loadEight(here, row, 8 * unit);
#pragma unroll
      for (int n = 0; n < 4; n++) {
        const auto decay = [&](int i) { return exp2Decay(-at.exponent(here[i], end[i])); };
        const float near = lowHalf(values[n]) * decay(2 * n), far = highHalf(values[n]) * decay(2 * n + 1);
        rounded[n] = pack(near, far);
        rest[n] = pack(near - lowHalf(rounded[n]), far - highHalf(rounded[n]));
      }
      storeShared16(to.rounded.address(row, unit),
                    make_uint4(rounded[0], rounded[1], rounded[2], rounded[3]));
      storeShared16(to.rest.address(row, unit), make_uint4(rest[0], rest[1], rest[2], rest[3]));
    }
  }

  /// Sums over the warp's tokens of the own queries or keys, scaled up the other way, times `sum`: a lane's
  /// two channels.
  __device__ float2 sumTokens(const Sums& sum) const {
    const TileTerms x = termsOf(at.number ^ 1);
    float sums[16];
#pragma unroll
    for (int n = 0; n < 8; n++) {
      const float2 upper = x.pairAt(at.row(0), at.column(n)), lower = x.pairAt(at.row(1), at.column(n));
      sums[2 * n] = upper.x * sum[n][0] + lower.x * sum[n][2];
      sums[2 * n + 1] = upper.y * sum[n][1] + lower.y * sum[n][3];
    }
    sumOverGroups<8, 16>(sums, at.lane);
    return make_float2(sums[0], sums[1]);
  }

  /// From what the states give to all but the decay from the chunk's start, or up to its end. `through`: what
  /// goes through the other chunk; `behind`: what keys get from behind their chunk, both without the chunks'
  /// decays.
  __device__ void addInside(Sums& sum, const Sums& scores, const Sums& across, const float* gammas,
                            float2& through, float2& behind) const {
    OperandTerms operand;
    if (at.ofQuery) {
#pragma unroll
      for (int n = 0; n < 8; n++)
#pragma unroll
        for (int i = 0; i < 4; i++) sum[n][i] *= call.scale;
    }
    if (at.number != 0) through = sumTokens(sum);
    if constexpr (crosses) {
      toTerms<false>(operand, across, call.scale, at);
      addProducts(sum, operand, termsOf(at.ofQuery ? 0 : 3));
      if (!at.ofQuery) behind = sumTokens(sum);
      const float* const gamma = gammas + (at.which ^ 1) * KB;
#pragma unroll
      for (int n = 0; n < 8; n++) {
        const float2 decay = *reinterpret_cast<const float2*>(gamma + at.column(n));
#pragma unroll
        for (int i = 0; i < 4; i++) sum[n][i] *= i % 2 == 0 ? decay.x : decay.y;
      }
    }
    toTerms<true>(operand, scores, call.scale, at);
    addProducts(sum, operand, termsOf(at.number));
  }

  /// Leaves dq and dk where Q and K were, and q dq - k dk in `changes`.
  __device__ void close(Sums& sum) const {
    const ExchangedFloats c = gatesOf(at.which), changes = changesOf(at.which);
    const Tile<64> rows = rowsOf(at.which, at.ofQuery);
    Sums change;
#pragma unroll
    for (int n = 0; n < 8; n++) {
      const int column = at.column(n);
      const float2 end = c.pairAt(tileTokens - 1, column);
#pragma unroll
      for (int h = 0; h < 2; h++) {
        const float2 here = c.pairAt(at.row(h), column), x = loadPair(rows, at.row(h), column);
        float* const found = &sum[n][2 * h];
        found[0] *= exp2Decay(at.exponent(here.x, end.x));
        found[1] *= exp2Decay(at.exponent(here.y, end.y));
        change[n][2 * h] = x.x * found[0];
        change[n][2 * h + 1] = x.y * found[1];
        if (!at.ofQuery)
          changes.pairAt(at.row(h), column) = make_float2(change[n][2 * h], change[n][2 * h + 1]);
      }
    }
    __syncwarp();
#pragma unroll
    for (int step = 0; step < 4; step++) storeOperandA(rows, at.row0, step, operandA(sum, step), at.lane);
    publishToProducts();
    joinBarrier(1 + at.which, pairThreads / 2);
    if (!at.ofQuery) return;
#pragma unroll
    for (int n = 0; n < 8; n++)
#pragma unroll
      for (int h = 0; h < 2; h++) {
        float2& place = changes.pairAt(at.row(h), at.column(n));
        place = make_float2(change[n][2 * h] - place.x, change[n][2 * h + 1] - place.y);
      }
  }

  /// By kind: what goes through of sides 1 to 3, and in place of side 0 what the earlier keys get from
  /// behind.
  __device__ void storeShares(float2 through, float2 behind) const {
    const auto store = [&](int kind, float2 share) {
      *reinterpret_cast<float2*>(shareOf(kind) + at.warp * KB + at.column(at.lane >> 2)) = share;
    };
    if (at.number != 0) store(at.number, through);
    if (at.number == 1) store(0, behind);
  }

  /// What goes on behind a chunk's tokens, in a channel.
  __device__ float following(const float* gammas, int which, int column) const {
    const auto sumOf = [&](int kind) {
      const float* const share = shareOf(kind) + column;
      return share[0] + share[KB] + share[2 * KB] + share[3 * KB];
    };
    const float first = gammas[column], second = gammas[KB + column];
    const float* const ends = floatsAt(Layout::ends);
    const float both = ends[column] + ends[KB + column];
    return which == 0 ? first * second * (sumOf(0) + sumOf(2) + both)
                      : second * (sumOf(3) + first * (sumOf(1) + both));
  }

  __device__ void storeDecayGradients(const PairPart& part, const float* gammas) const {
    constexpr int rows = 16;
    const int which = threadIdx.x / 256, block = threadIdx.x % 256 / KB, column = threadIdx.x % KB;
    const ExchangedFloats changes = changesOf(which);
    float sums[rows], sum = 0.0f;
#pragma unroll
    for (int row = rows - 1; row >= 0; row--) {
      sum += changes.at(block * rows + row, column);
      sums[row] = sum;
    }
    float* const totals = floatsAt(Layout::totals) + which * 256;
    totals[threadIdx.x % 256] = sum;
    joinBarrier(1 + which, pairThreads / 2);
    float later = following(gammas, which, column);
#pragma unroll
    for (int other = 3; other > 0; other--) later += other > block ? totals[other * KB + column] : 0.0f;
    if (column >= call.K - part.channel) return;
    const int pitch = call.H * call.K, length = part.length(call, which);
    float* const to = task.dg + part.place(call, which) + static_cast<int64_t>(block * rows) * pitch + column;
    const bool opens = task.fromZero && part.chunk + which == 0 && block == 0;
#pragma unroll
    for (int row = 0; row < rows; row++)
      if (block * rows + row < length) to[row * pitch] = opens && row == 0 ? 0.0f : sums[row] + later;
  }
};

constexpr int pairLoaders = 128;  // a warpgroup gives registers

__global__ void __launch_bounds__(pairThreads + pairLoaders, 1)
    pairGradientKernel(const __grid_constant__ DiagonalGradientCall task,
                       const __grid_constant__ GradientMaps maps, unsigned numParts) {
#if __CUDA_ARCH__ >= 900
  extern __shared__ __align__(1024) unsigned char shared[];
  if (threadIdx.x == 0) PairArrivals(shared, task.call.V).init();
  __syncthreads();
  if (threadIdx.x >= pairThreads) {
    shrinkRegisters<32>();
    if (threadIdx.x < pairThreads + 32) PairLoader(task, maps, shared).load(numParts);
  } else {
    growRegisters<120>();
    const PairSide side;
    if (side.ofQuery == (side.which == 1))
      PairWork<true>(task, shared).run(numParts);
    else
      PairWork<false>(task, shared).run(numParts);
  }
#endif
}

}  // namespace

cudaError_t launchPairGradient(const DiagonalGradientCall& task, const GradientMaps& maps,
                               cudaStream_t stream) {
  constexpr int bytes = PairLayout::bytes;
  int device = 0, multiprocessors = 0;
  cudaError_t error = cudaGetDevice(&device);
  if (error == cudaSuccess)
    error = cudaDeviceGetAttribute(&multiprocessors, cudaDevAttrMultiProcessorCount, device);
  if (error == cudaSuccess)
    error = cudaFuncSetAttribute(pairGradientKernel, cudaFuncAttributeMaxDynamicSharedMemorySize, bytes);
  if (error != cudaSuccess) return error;
  const DiagonalCall& call = task.call;
  const auto parts =
      static_cast<unsigned>((call.K + KB - 1) / KB * call.H * call.B * PairPart::pairsOf(call));
  pairGradientKernel<<<std::min(parts, static_cast<unsigned>(multiprocessors)), pairThreads + pairLoaders,
                       bytes, stream>>>(task, maps, parts);
  return cudaGetLastError();
}

}  // namespace longscan
