#include "whole_load.cuh"
#include "whole_tokens.cuh"

namespace longscan {

namespace {

#if LONGSCAN_WGMMA

template <int half>
class WholeGradient : WholeTokens<half> {
  using Tokens = WholeTokens<half>;
  using Tokens::at, Tokens::block, Tokens::call, Tokens::erase, Tokens::halfTokens, Tokens::panel,
      Tokens::query, Tokens::warp, Tokens::write;
  using Tokens::behind, Tokens::beta, Tokens::column, Tokens::dots, Tokens::firsts, Tokens::floats,
      Tokens::meet, Tokens::products, Tokens::tile, Tokens::totals, Tokens::weights;
  using typename Tokens::Layout;
  enum Barrier { weightsThere = 1 };

 public:
  using Tokens::Tokens;

  __device__ void run() {
    for (int i = 0;; i++) {
      const int turn = i & 1;
      block.valuesFull().wait(turn);
      const int index = *block.record(turn);
      if (index < 0) break;
      multiplyValues(turn);
      joinBarrier(weightsThere, wholeMultipliers);
      block.gatesFull().wait(turn);
      Tokens::sumGates();
      block.tokensFull().wait(turn);
      Tokens::decayStates(turn);
      Tokens::readKeys(turn);
      Tokens::readQueries(turn);
      meet();
      waitForProducts<0>();
      settle(query);
      settle(erase);
      settle(write);
      Tokens::finishTokens();
      meet();
      storeGateGradients(index, turn);
      publishToProducts();
      arriveOfWarp(block.tokensDone());
    }
  }

 private:
  /// All products that run over V, and those of the states' numbers.
  __device__ void multiplyValues(int turn) {
    NarrowSums weight;  // of scores in the first panel's warpgroups, in the others of products of keys
    constexpr uint32_t rows = 128 * halfTokens * half;
    beginProducts();
    const auto addValues = [&](auto adds, int i, int k) {
      const Tile<64> S = tile(Layout::states + (2 * i + panel) * Layout::panel),
                     D = tile(Layout::adjoints + (2 * i + panel) * Layout::panel),
                     dO = tile(Layout::outputs + i * Layout::panel),
                     Z = tile(Layout::changes + i * Layout::panel),
                     N = tile(Layout::corrections + i * Layout::panel);
      multiplyChannels<StoredB::rows, false, adds.value>(weight, panel == 0 ? dO : Z, Tile<64>{N.base + rows},
                                                         k);
      multiplyChannels<StoredB::columns, false, adds.value>(query, S, Tile<64>{dO.base + rows}, k);
      multiplyChannels<StoredB::columns, true, adds.value>(erase, S, Tile<64>{Z.base + rows}, k);
      multiplyChannels<StoredB::columns, false, adds.value>(write, D, Tile<64>{N.base + rows}, k);
    };
    addValues(std::false_type{}, 0, 0);
#pragma unroll
    for (int step = 1; step < 8; step++) addValues(std::true_type{}, step / 4, step % 4);
    commitProducts();
    multiplyStates(turn);
    waitForProducts<0>();
    settle(weight);
    settle(query);
    settle(erase);
    settle(write);
    arriveOfWarp(block.valuesFree());
    storeWeights(weight, turn);
#pragma unroll
    for (int i = 0; i < 16; i++) query[i / 4][i % 4] *= call.scale;
    publishToProducts();
  }

  /// With what the gradients of scores and products of keys are to be multiplied by, and rounded to bf16: the
  /// same number for a query or an erase key as for the written key that it meets. What dg is, their
  /// difference, is not rounded by it.
  __device__ void storeWeights(NarrowSums& weight, int turn) const {
    const float factor = panel == 0 ? call.scale : -1.0f;
#pragma unroll
    for (int n = 0; n < 4; n++) {
      const float2 b = *reinterpret_cast<const float2*>(beta(turn) + halfTokens * half + 8 * n + at.pairOf);
#pragma unroll
      for (int i = 0; i < 4; i++) {
        const int row = 16 * warp + at.group + 8 * (i / 2),
                  later = halfTokens * half + 8 * n + at.pairOf + i % 2 + panel;
        weight[n][i] = later <= row ? weight[n][i] * (factor * (i % 2 == 0 ? b.x : b.y)) : 0.0f;
      }
    }
#pragma unroll
    for (int step = 0; step < 2; step++)
      storeOperandA(weights(turn, panel), 16 * warp, 2 * half + step, operandOf(weight, step), at.lane);
  }

  /// Shares of rowsum_V(S o D), over a half of V.
  __device__ void multiplyStates(int turn) const {
    const Tile<64> S = tile(Layout::states + (2 * half + panel) * Layout::panel),
                   D = tile(Layout::adjoints + (2 * half + panel) * Layout::panel);
    const int thread = threadIdx.x % 128;
    float x[8] = {};
#pragma unroll
    for (int i = 0; i < 4; i++) {
      const uint4 s = loadShared16(S.address(thread / 8 + 16 * i, thread % 8)),
                  d = loadShared16(D.address(thread / 8 + 16 * i, thread % 8));
      const uint32_t left[4] = {s.x, s.y, s.z, s.w}, right[4] = {d.x, d.y, d.z, d.w};
#pragma unroll
      for (int j = 0; j < 4; j++) {
        x[2 * j] += lowHalf(left[j]) * lowHalf(right[j]);
        x[2 * j + 1] += highHalf(left[j]) * highHalf(right[j]);
      }
    }
    // Over the warp's rows; of eight numbers, a lane is left with two.
#pragma unroll
    for (int count = 4; count > 1; count /= 2) {
      const int distance = 4 * count;
      const bool upper = at.lane & distance;
#pragma unroll
      for (int i = 0; i < count; i++) {
        const float given = upper ? x[i] : x[i + count], own = upper ? x[i + count] : x[i];
        x[i] = own + __shfl_xor_sync(~0u, given, distance);
      }
    }
    *reinterpret_cast<float2*>(products(turn) + Layout::K * (4 * half + warp) + 8 * (at.lane % 8) +
                               4 * (at.lane / 16) + 2 * (at.lane / 8 % 2)) = make_float2(x[0], x[1]);
  }

  __device__ void storeGateGradients(int index, int turn) const {
    const int numChunks = block.numChunks(), bh = index / numChunks, chunk = index % numChunks;
    const auto own = column();
    float sums[subTokens], sum = 0.0f;
#pragma unroll
    for (int i = 0; i < subTokens; i++) sums[i] = loadSharedFloat(own.address(i));
#pragma unroll
    for (int i = subTokens - 1; i >= 0; i--) sums[i] = sum += sums[i];
    totals(own.sub)[own.channel] = sum;
    const int64_t token = bh / call.H * call.T + static_cast<int64_t>(chunk) * tileTokens;
    if (const int thread = threadAnew() % 128; thread < halfTokens && call.dbeta != nullptr) {
      float dot = 0.0f;
#pragma unroll
      for (int i = 0; i < 4; i++) dot += dots(i)[thread];
      const int row = halfTokens * half + thread;
      // Onto zero, with the other panel's: in whichever order, the same sum.
      atomicAdd(call.dbeta + (token + row) * call.H + bh % call.H, dot / beta(turn)[row]);
    }
    meet();
    float later = behind(0)[own.channel] + behind(1)[own.channel], product = 0.0f;
#pragma unroll
    for (int i = 0; i < 8; i++) product += products(turn)[Layout::K * i + own.channel];
    const float halfDecay = exp2Fast(-firsts()[own.channel]);
    later += halfDecay * product * halfDecay;
#pragma unroll
    for (int sub = 1; sub < numSubs; sub++)
      if (sub > own.sub) later += totals(sub)[own.channel];
    const int64_t pitch = static_cast<int64_t>(call.H) * Layout::K;
    float* to =
        call.dg + (token + subTokens * own.sub) * pitch + bh % call.H * Layout::K + 64 * panel + own.channel;
    // The first token's decay may meet nothing.
    const bool meetsNothing = call.fromZero && chunk == 0 && own.sub == 0;
#pragma unroll
    for (int i = 0; i < subTokens; i++, to += pitch)
      __stcs(to, i == 0 && meetsNothing ? 0.0f : sums[i] + later);
  }
};

#endif

__global__ void __launch_bounds__(wholeThreads, 1)
    wholeGradientKernel(const __grid_constant__ DeltaDiagonalGradientCall call,
                        const __grid_constant__ DeltaWholeChunks whole,
                        const __grid_constant__ WholeMaps maps) {
#if LONGSCAN_WGMMA
  extern __shared__ __align__(1024) unsigned char shared[];
  const WholeBlock block(call, whole, maps, shared);
  if (threadIdx.x == 0) block.initBarriers();
  __syncthreads();
  const int group = warpgroupNumber();
  if (group == 4) {
    shrinkRegisters<32>();
    if (threadIdx.x / 32 == wholeMultipliers / 32) WholeLoader(block).run();
  } else {
    growRegisters<112>();
    if (group % 2 == 0)
      WholeGradient<0>(block, group / 2).run();
    else
      WholeGradient<1>(block, group / 2).run();
  }
#endif
}

cudaError_t makeWholeMaps(const DeltaDiagonalGradientCall& call, WholeMaps& maps) {
  const int64_t chunks = (call.T + tileTokens - 1) / tileTokens, heads = call.B * call.H;
  const auto ofTokens = [&](const void* data, int64_t columns) {
    return MappedTensor{data, call.B, call.T, call.H, columns};
  };
  return mapTensors(
      {
          {maps.dO, ofTokens(call.dO, call.V)},
          {maps.dv, ofTokens(call.dv, call.V)},
          {maps.corrections, {call.corrections, heads, chunks * tileTokens, 1, call.V}},
          {maps.states, {call.states, heads * chunks, call.V, 1, call.K}},
          {maps.adjoints, {call.adjoints, heads * chunks, call.V, 1, call.K}},
          {maps.q, ofTokens(call.q, call.K)},
          {maps.k, ofTokens(call.k, call.K)},
          {maps.gates, ofTokens(call.g, 2 * call.K)},  // of f32, two columns each
          {maps.dq, ofTokens(call.dq, call.K)},
          {maps.dk, ofTokens(call.dk, call.K)},
      },
      64, tileTokens);
}

}  // namespace

bool deltaTakesWholeChunks(const DeltaDevice& device, int K, int V) {
  return device.sharesTime && K == WholeLayout::K && V == WholeLayout::V && canMapTensors();
}

int deltaWholeBlocks(const DeltaDiagonalGradientCall& call, const DeltaDevice& device) {
  const int64_t chunks = call.B * call.H * ((call.T + tileTokens - 1) / tileTokens);
  return static_cast<int>(min(chunks, static_cast<int64_t>(device.multiprocessors)));
}

cudaError_t launchDeltaWholeGradient(const DeltaDiagonalGradientCall& call, const DeltaWholeChunks& whole,
                                     const DeltaDevice& device, cudaStream_t stream) {
  constexpr int bytes = WholeLayout::bytes;
  WholeMaps maps;
  cudaError_t error = makeWholeMaps(call, maps);
  if (error != cudaSuccess) return error;
  error = cudaFuncSetAttribute(wholeGradientKernel, cudaFuncAttributeMaxDynamicSharedMemorySize, bytes);
  if (error != cudaSuccess) return error;
  return launchBeside(wholeGradientKernel, deltaWholeBlocks(call, device), wholeThreads, bytes, stream, call,
                      whole, maps);
}

}  // namespace longscan
