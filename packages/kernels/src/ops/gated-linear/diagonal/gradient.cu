#include <algorithm>

#include "close.cuh"
#include "cuda/tensor_map.h"
#include "load.cuh"
#include "mild.cuh"

namespace longscan {

namespace {

/// Of what tokens give each other, what they give themselves: with a bonus that is no part of dA.
__device__ void storeItself(const NarrowSums& scores, float* itself, float scale, const GradientPlace& at) {
#pragma unroll
  for (int n = 0; n < 4; n++)
#pragma unroll
    for (int h = 0; h < 2; h++)
#pragma unroll
      for (int i = 0; i < 2; i++)
        if (at.keyOf(n) + i == at.row(h)) itself[at.row(h)] = scale * scores[n][2 * h + i];
}

/// dA for sub-chunks.
template <bool bonus>
__device__ void storeScores(const NarrowSums& scores, const Chunk<bonus>& in, float scale,
                            const GradientPlace& at) {
#pragma unroll
  for (int n = 0; n < 4; n++)
#pragma unroll
    for (int h = 0; h < 2; h++) {
      const int row = at.row(h), column = at.keyOf(n);
      const auto share = [&](int key, float score) {
        return in.gives(key, row) && sameDocument(in.starts, key, row) ? scale * score : 0.0f;
      };
      in.dA.pairAt(row, column) =
          make_float2(share(column, scores[n][2 * h]), share(column + 1, scores[n][2 * h + 1]));
    }
}

/// Where the numbers of a side are exchanged, in a form that the compiler does not keep in a register.
__device__ FloatTile<64> exchangedOf(unsigned char* shared, const GradientPlace& at) {
  int place = at.ofQuery ? GradientLayout::queriesExchanged : GradientLayout::keysExchanged;
  asm volatile("" : "+r"(place));
  return {reinterpret_cast<float*>(shared + place)};
}

/// What tokens give each other, of any documents and decays, by sub-chunks of 16 tokens: added to what is
/// exchanged. A thread meets only its own numbers there.
template <bool bonus>
__device__ void addInside(unsigned char* shared, const Chunk<bonus>& in, const GradientPlace& at) {
  const unsigned steep = steepTokens(in.c, in.starts, at.row0, at.lane);
#pragma unroll 1
  for (int block = 0; block < 4; block++) {
    const WarpPlace place(block);
    WarpSums sum = {};
    if (at.ofQuery)
      queriesInside(sum, in, steep, place);
    else
      keysInside(sum, in, steep, place);
    const FloatTile<64> gradient = exchangedOf(shared, at);
#pragma unroll
    for (int n = 0; n < warpTiles; n++)
#pragma unroll
      for (int h = 0; h < 2; h++) {
        float2& to = gradient.pairAt(place.row(h), place.column(n));
        to = make_float2(to.x + sum[n][2 * h], to.y + sum[n][2 * h + 1]);
      }
  }
}

/// What the chunk's tokens give the bonus; `shares`: of four warps. A thread of the first KB has a channel.
__device__ void storeBonusShare(const DiagonalGradientCall& task, const Block& block, const float* shares) {
  const DiagonalCall& call = task.call;
  const int channel = block.channel() + threadIdx.x;
  if (threadIdx.x >= KB || channel >= call.K) return;
  float sum = 0.0f;
#pragma unroll
  for (int warp = 0; warp < 4; warp++) sum += shares[warp * KB + threadIdx.x];
  const int64_t row = (block.chunk * call.B + block.b) * call.H + block.h();
  task.bonusShares[row * call.K + channel] = sum;
}

/// Of 64 values, in the background: of the scores a half, and what comes from the states.
__device__ void addProducts(NarrowSums& scores, Sums& sum, Tile<64> dO, Tile<64> v, Tile<64> own,
                            Tile<64> met, const GradientPlace& at) {
  beginProducts();
#pragma unroll
  for (int k = 0; k < 4; k++) {
    multiplyRows(scores, dO, v, k, at.half);
    multiply<StoredB::columns>(sum, own, k, met, k);
  }
  commitProducts();
}

#if __CUDA_ARCH__ >= 900
constexpr int gradientBlocks = 2;
#else
constexpr int gradientBlocks = 1;
#endif

template <bool mapped, bool bonus>
__global__ void __launch_bounds__(gradientThreads, mapped ? gradientBlocks : 1)
    gradientKernel(const __grid_constant__ DiagonalGradientCall task,
                   const __grid_constant__ GradientMaps maps) {
  using Layout = GradientLayout;
  const DiagonalCall& call = task.call;
  extern __shared__ __align__(1024) unsigned char shared[];
  const uint32_t base = sharedAddress(shared);
  const Block block(task);
  const GradientPlace at;
  const uint64_t starts = documentStarts(call.resets ? call.resets + block.b * call.T : nullptr,
                                         block.first(), block.length(call), at.lane);
  const auto pointerTo = [&](int place) { return reinterpret_cast<float*>(shared + place); };
  const auto floatsAt = [&](int place) { return FloatTile<64>{pointerTo(place)}; };
  Chunk<bonus> in{{{base},
                   {base + Layout::tile},
                   floatsAt(Layout::gates),
                   floatsAt(Layout::scores),
                   starts,
                   block.length(call)}};
  if (bonus && threadIdx.x < KB) {
    const int channel = block.channel() + threadIdx.x;
    pointerTo(Layout::bonus)[threadIdx.x] =
        channel < call.K ? call.bonus[block.h() * call.K + channel] : 0.0f;
  }
  const GradientLoader<mapped> loader(task, maps, block, in, shared);
  loader.begin();
  sumGates<gradientThreads>(in.c, starts, pointerTo(Layout::totals));

  const bool isMild = __syncthreads_and(loader.numStages() == 2 && starts == 0 &&
                                        in.c.at(tileTokens - 1, threadIdx.x % KB) >= -mostScaledUp);
  ScaledUp scaledUp;
  loader.awaitTokens();
  if (isMild) {
    if (at.ofQuery)
      scaledUp.make<true>(in);
    else
      scaledUp.make<false>(in);
  }

  // A half of dO v^T; of queries S dO, of keys D v.
  const bool computes = at.ofQuery || task.dk != nullptr, meets = task.dk != nullptr && starts == 0;
  NarrowSums scores;
  Sums sum;
  clear(scores);
  clear(sum);
  EndSums ends(at.lane);
  const int numValues = loader.numValues();
  const uint32_t side = at.ofQuery ? 0 : Layout::tile;  // from dO and S to v and D
  const auto addValues = [&](int values, int stage) {
    loader.await(values);
    const Tile<64> dO = loader.tile(stage, 0), v = loader.tile(stage, 1), state = loader.tile(stage, 2),
                   adjoint = loader.tile(stage, 3);
    // Without adjoints the keys' sums are of no use.
    addProducts(scores, sum, dO, v, {dO.base + side}, {state.base + side}, at);
    if (meets) ends.add(state, adjoint);
  };
  const auto finishValues = [&] {
    waitForProducts<0>();
    settle(scores);
    settle(sum);
  };
  // By pairs: where a stage lies is then known to the compiler. Where threads copy, a stage is awaited behind
  // the start of a later one.
  if (mapped && loader.numStages() == 2 && numValues == 2) {
    addValues(0, 0);
    addValues(1, 1);
    finishValues();
  } else {
#pragma unroll 1
    for (int values = 0; values < numValues; values += 2) {
      addValues(values, 0);
      finishValues();
      loader.refill(values);
      if (values + 1 == numValues) break;
      addValues(values + 1, loader.numStages() - 1);
      finishValues();
      loader.refill(values + 1);
    }
  }
  float* const toEnds = pointerTo(Layout::ends);
  ends.store(toEnds, at.lane);
  __syncthreads();
  addUpEnds(toEnds);
  float* const toBehind = pointerTo(Layout::behind);
  float behind[16];
  if (bonus) storeItself(scores, pointerTo(Layout::itself), call.scale, at.anew());
  if (isMild) {
    Sums inside;
    findInsideMild<bonus>(inside, scores, scaledUp, base, call.scale, at);
    if (computes) {
      if (at.ofQuery) {
        closeMild<true>(sum, inside, behind, floatsAt(Layout::queriesExchanged), in, call.scale, at.anew());
      } else {
        closeMild<false>(sum, inside, behind, floatsAt(Layout::keysExchanged), in, call.scale, at.anew());
        storeSums(behind, toBehind, at.anew());
      }
    }
  } else {
    in.length = block.anew().length(call);
    storeScores(scores, in, call.scale, at.anew());
    if (computes) {
      closeOuter(sum, behind, exchangedOf(shared, at), in, call.scale, at.anew());
      if (!at.ofQuery) storeSums(behind, toBehind, at.anew());
    }
    __syncthreads();
    if (computes) {
      addInside(shared, in, at.anew());
      in.length = block.anew().length(call);
      takeGradients(sum, exchangedOf(shared, at), in, at.anew());
    }
  }
  if constexpr (bonus) {
    const float* const itself = pointerTo(Layout::itself);
    const float* const weights = pointerTo(Layout::bonus);
    if (at.ofQuery) {
      addItself<true>(sum, behind, itself, weights, in, at.anew());
      storeSums(behind, pointerTo(Layout::totals), at.anew());
    } else {
      addItself<false>(sum, behind, itself, weights, in, at.anew());
    }
    __syncthreads();
    storeBonusShare(task, block.anew(), pointerTo(Layout::totals));
  }
  in.length = block.anew().length(call);
  const int pitch = call.H * call.K, channels = call.K - block.channel();
  if (!mapped && computes)
    storeRows(sum, (at.ofQuery ? task.dq : task.dk) + block.place(call), pitch, in.length, channels,
              at.anew());
  // Of whole chunks only the warp itself has still read what its rows of dq and dk take the place of; with a
  // bonus all have waited.
  if (!bonus && !isMild) __syncthreads();
  if (mapped && computes) {
    const Tile<64> rows = at.ofQuery ? in.Q : in.K;
    __syncwarp();
    stageRows(sum, rows, at.anew());
    publishToProducts();
    at.joinSide();
    loader.storeStaged(rows, at.ofQuery);
  }
  __syncthreads();
  if (task.dk != nullptr) {
    const DecayGradient<bonus> decays(in, shared);
    __syncthreads();
    decays.store(task.dg + block.place(call), pitch, channels, task.fromZero && block.chunk == 0);
  }
  waitUntilRunsAreRead();
}

/// As many stages as leave room for two blocks.
cudaError_t chooseStages(int& stages) {
  int device = 0, perBlock = 0;
  cudaError_t error = cudaGetDevice(&device);
  if (error == cudaSuccess)
    error = cudaDeviceGetAttribute(&perBlock, cudaDevAttrMaxSharedMemoryPerBlockOptin, device);
  stages = perBlock >= GradientLayout::bytes(2) ? 2 : 1;
  return error;
}

cudaError_t makeMaps(const DiagonalGradientCall& task, GradientMaps& maps) {
  const DiagonalCall& call = task.call;
  return mapTensors({{maps.q, {call.q, call.B, call.T, call.G, call.K}},
                     {maps.k, {call.k, call.B, call.T, call.G, call.K}},
                     {maps.v, {task.v, call.B, call.T, call.H, call.V}},
                     {maps.dO, {task.dO, call.B, call.T, call.H, call.V}},
                     {maps.dq, {task.dq, call.B, call.T, call.H, call.K}},
                     {maps.dk, {task.dk, call.B, call.T, call.H, call.K}}},
                    64, tileTokens);
}

template <bool mapped, bool bonus>
cudaError_t launch(DiagonalGradientCall task, const GradientMaps& maps, cudaStream_t stream) {
  const int bytes = GradientLayout::bytes(task.stages);
  const auto kernel = gradientKernel<mapped, bonus>;
  cudaError_t error = cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, bytes);
  if (error == cudaSuccess)
    error = cudaFuncSetAttribute(kernel, cudaFuncAttributePreferredSharedMemoryCarveout,
                                 cudaSharedmemCarveoutMaxShared);
  if (error != cudaSuccess) return error;
  const DiagonalCall& call = task.call;
  const unsigned tiles = (call.K + KB - 1) / KB;
  constexpr int64_t mostAtOnce = 65535;  // blocks along z
  const int64_t chunks = call.B * Block::chunksOf(call);
  for (int64_t first = 0; first < chunks && error == cudaSuccess; first += mostAtOnce) {
    task.firstChunk = static_cast<unsigned>(first);
    const dim3 grid(tiles, call.H, static_cast<unsigned>(std::min(mostAtOnce, chunks - first)));
    kernel<<<grid, gradientThreads, bytes, stream>>>(task, maps);
    error = cudaGetLastError();
  }
  return error;
}

template <bool bonus>
cudaError_t chooseLaunch(const DiagonalGradientCall& task, cudaStream_t stream) {
  DiagonalGradientCall launched = task;
  GradientMaps maps{};
  cudaError_t error = chooseStages(launched.stages);
  if (error != cudaSuccess) return error;
  if (!canMapTensors()) return launch<false, bonus>(launched, maps, stream);
  error = makeMaps(task, maps);
  return error == cudaSuccess ? launch<true, bonus>(launched, maps, stream) : error;
}

}  // namespace

cudaError_t launchDiagonalGradient(const DiagonalGradientCall& task, cudaStream_t stream) {
  return task.call.bonus ? chooseLaunch<true>(task, stream) : chooseLaunch<false>(task, stream);
}

}  // namespace longscan
