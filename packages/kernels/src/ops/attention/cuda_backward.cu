#include "cuda_backward_load.cuh"
#include "cuda_backward_pairs.cuh"
#include "cuda_output.cuh"

namespace longscan {

namespace {

#if LONGSCAN_WGMMA

/// 64 keys of a block: with S^T = k q^T and dP^T = v dO^T of these keys and a block of queries,
///   P = exp(scale S - lse)   dS = P ∘ (dP - delta)   dv += P^T dO   dk += dS^T q   dq += dS k
template <int D>
struct BackwardWarpgroup {
  using Shape = BackwardShape<D>;
  static constexpr int steps = Shape::queries / 16;
  using Pairs = float[Shape::queries / 8][4];
  const BackwardCall& f;
  BackwardShared<D>& shared;
  BackwardTiles<D> tiles;
  int warpgroup, lane, row;  // the first of the thread's two rows
  float dk[D / 8][4], dv[D / 8][4];

  __device__ BackwardWarpgroup(const BackwardCall& call, BackwardShared<D>& s, BackwardTiles<D> t, int number)
      : f(call), shared(s), tiles(t), warpgroup(number), lane(threadIdx.x & 31) {
    row = 64 * warpgroup + (threadIdx.x >> 5 & 3) * 16 + (lane >> 2);
    clear(dk);
    clear(dv);
  }

  /// rows = keys a, columns = queries b, over the head size.
  __device__ void startPairs(Pairs& pairs, uint32_t a, uint32_t b) {
    beginProducts();
    a += warpgroup * 64 * 128;
#pragma unroll
    for (int step = 0; step < D / 16; step++) {
      const uint64_t left = rowsOperand(a, step, Shape::keyPanel),
                     right = rowsOperand(b, step, Shape::queryPanel);
      if (step == 0)
        multiplyTiles<StoredB::rows, false>(pairs, left, right);
      else
        multiplyTiles<StoredB::rows, true>(pairs, left, right);
    }
    commitProducts();
  }

  /// to += aᵀ b over the queries.
  __device__ void startKeyGradient(float (&to)[D / 8][4], const MmaA (&a)[steps], uint32_t b) {
    beginProducts();
#pragma unroll
    for (int step = 0; step < steps; step++)
      multiplyTile<StoredB::columns>(to, a[step], columnsOperand(b, step, Shape::queryPanel));
    commitProducts();
  }

  /// Half of dq: 64 of its columns, or of its rows.
  __device__ void startQueryGradient(Sums& dq, uint32_t grads) {
    beginProducts();
    const uint32_t a = grads + (D == 64 ? warpgroup * Shape::gradPanel : 0);
    const uint32_t b = tiles.keys() + (D == 64 ? 0 : warpgroup * Shape::keyPanel);
#pragma unroll
    for (int step = 0; step < Shape::keys / 16; step++) {
      const uint64_t left = columnsOperand(a, step, Shape::gradPanel);
      const uint64_t right = columnsOperand(b, step, Shape::keyPanel);
      if (step == 0)
        multiplyTiles<StoredB::columns, false, StoredB::columns>(dq, left, right);
      else
        multiplyTiles<StoredB::columns, true, StoredB::columns>(dq, left, right);
    }
    commitProducts();
  }

  /// S^T and dP^T of a stage to P^T and dS^T, while the products are still under way.
  __device__ void finishPairs(Pairs& weights, Pairs& grads, int stage, bool isEdge) {
    waitForProducts<1>();
    settle(weights);
    weighPairs(weights, shared.lse[stage], shared.scale, lane);
    if (const uint32_t badKeys = shared.badKeys[row >> 5]) spoilPairs(weights, badKeys, row);
    if (isEdge) hidePairs(weights, shared.ranges[stage], shared.work.key0 + row, lane);
    waitForProducts<0>();
    settle(grads);
    differentiatePairs(grads, weights, shared.delta[stage], lane);
    if (isEdge) hidePairs(grads, shared.ranges[stage], shared.work.key0 + row, lane);
  }

  /// To the warp that adds them to those of other keys, which it has done with those of the step before.
  __device__ void handOver(const Sums& dq, int step) {
    if (step > 0) shared.partsRead[warpgroup].wait(step - 1);
    const uint32_t part = tiles.queryGrads(warpgroup) + (threadIdx.x & 127) * 16;
#pragma unroll
    for (int n = 0; n < 8; n++) storeShared(part + n * 128 * 16, dq[n]);
    publishToProducts();
    announceAtBarrier(2 + warpgroup, 160);
  }

  __device__ void run() {
    shared.keys.wait(0);
    for (int step = 0;; step++) {
      const int stage = step % Shape::stages;
      shared.queries[stage].wait(step / Shape::stages);
      const Step kind = shared.steps[stage];
      if (kind == Step::none) break;
      Pairs weights, grads;
      startPairs(weights, tiles.keys(), tiles.queries(stage));
      startPairs(grads, tiles.values(), tiles.dO(stage));
      finishPairs(weights, grads, stage, kind == Step::edge);
      MmaA packedWeights[steps], packedGrads[steps];
#pragma unroll
      for (int s = 0; s < steps; s++) packedWeights[s] = operandOf(weights, s);
      startKeyGradient(dv, packedWeights, tiles.dO(stage));
      const uint32_t to = tiles.scoreGrads(step);
#pragma unroll
      for (int s = 0; s < steps; s++) {
        packedGrads[s] = operandOf(grads, s);
        storeOperandA(Tile<64>{to + s / 4 * Shape::gradPanel}, row - (lane >> 2), s % 4, packedGrads[s],
                      lane);
      }
      publishToProducts();
      joinBarrier(1, 256);
      Sums dq;
      startQueryGradient(dq, to);
      startKeyGradient(dk, packedGrads, tiles.queries(stage));
      waitForProducts<1>();
      settle(dq);
      handOver(dq, step);
      waitForProducts<0>();
      settle(dk);
      settle(dv);
      if (arrivesForWarp()) shared.queriesRead[stage].arrive();
    }
    store(shared.work);
  }

  __device__ void store(const BackwardWork<D>& work) {
    const LongscanAttention& c = f.call;
#pragma unroll
    for (int i = 0; i < 2; i++) {
      const int64_t key = work.key0 + row + 8 * i, at = (work.b * c.S + key) * c.G + work.g;
      const bool exists = key < c.S;
      storeRow(dk, i, c.scale, f.io.dk, c.resultType, at, c.K, c.accumulate, exists, lane);
      storeRow(dv, i, 1.0f, f.io.dv, c.resultType, at, c.V, c.accumulate, exists, lane);
    }
  }
};

#endif

template <int D>
__global__ void __launch_bounds__(BackwardShape<D>::threads, 1)
    backwardKernel(const __grid_constant__ BackwardCall f) {
#if LONGSCAN_WGMMA
  using Shape = BackwardShape<D>;
  extern __shared__ uint8_t memory[];
  __shared__ BackwardShared<D> shared;
  const BackwardTiles<D> tiles{(sharedAddress(memory) + 1023) & ~1023u};
  if (threadIdx.x == 0) shared.prepare(f);
  __syncthreads();
  shared.work.findQueries();
  __syncthreads();
  const int warpgroup = warpgroupNumber();
  if (warpgroup == Shape::warpgroups) {
    shrinkRegisters<40>();
    loadKeys<D>(f, shared, tiles);
    const int warp = __shfl_sync(~0u, static_cast<int>(threadIdx.x) >> 5 & 3, 0);
    if (warp == 0 || warp == 3)
      loadQueries<D>(f, shared, tiles, warp == 0 ? 0 : 1);
    else
      addQueryGradients<D>(f, shared, tiles, warp - 1);
  } else {
    growRegisters<232>();
    BackwardWarpgroup<D>(f, shared, tiles, warpgroup).run();
  }
#endif
}

template <int D>
cudaError_t launch(const LongscanAttention& call, const LongscanAttentionBackward& io,
                   const BackwardMemory& memory, cudaStream_t stream) {
  using Shape = BackwardShape<D>;
  BackwardCall f{call, io, memory, {}, {}, {}, {}};
  cudaError_t error = mapTensor(f.q, {call.q, call.B, call.T, call.H, call.K}, 64, Shape::queries);
  if (error == cudaSuccess)
    error = mapTensor(f.dO, {io.dO, call.B, call.T, call.H, call.V}, 64, Shape::queries);
  if (error == cudaSuccess) error = mapTensor(f.k, {call.k, call.B, call.S, call.G, call.K}, 64, Shape::keys);
  if (error == cudaSuccess) error = mapTensor(f.v, {call.v, call.B, call.S, call.G, call.V}, 64, Shape::keys);
  if (error == cudaSuccess)
    error =
        cudaFuncSetAttribute(backwardKernel<D>, cudaFuncAttributeMaxDynamicSharedMemorySize, Shape::bytes);
  if (error != cudaSuccess) return error;
  const int64_t blocks = (call.S + Shape::keys - 1) / Shape::keys * call.B * call.G;
  backwardKernel<D><<<static_cast<unsigned>(blocks), Shape::threads, Shape::bytes, stream>>>(f);
  return cudaGetLastError();
}

}  // namespace

BackwardMemory::BackwardMemory(const LongscanAttention& call, WorkspaceParts& parts) {
  const int64_t pitch = (call.T + 127) / 128 * 128, size = queries(call), numBlocks = pitch / size;
  terms = {parts.take<float>(call.B * call.H * pitch), parts.take<float>(call.B * call.H * pitch), pitch};
  numTurns = call.B * call.H * numBlocks * 2;
  turns = parts.take<int>(numTurns + 2);
  nextBlock = turns + numTurns;
  blocks = {parts.take<int2>(call.B * pitch), parts.take<BlockSight>(call.B * numBlocks), nextBlock + 1,
            pitch, static_cast<int>(size)};
  dq = parts.take<float>(numTurns * BackwardShape<64>::partFloats);
}

cudaError_t BackwardMemory::clear(cudaStream_t stream) const {
  return cudaMemsetAsync(turns, 0, (numTurns + 2) * sizeof(int), stream);
}

bool backwardIsFast(const LongscanAttention& call) {
  if (call.type != longscanElementBf16 || call.K > 128 || call.V > 128 || call.chunk > 0 ||
      call.kSelf != nullptr)
    return false;
  // Compiled for other devices, the kernel has no body and so no shared memory of its own.
  cudaFuncAttributes attributes;
  return cudaFuncGetAttributes(&attributes, backwardKernel<64>) == cudaSuccess &&
         attributes.sharedSizeBytes > 0;
}

cudaError_t launchBackward(const LongscanAttention& call, const LongscanAttentionBackward& io,
                           const BackwardMemory& memory, cudaStream_t stream) {
  return BackwardMemory::queries(call) == 128 ? launch<64>(call, io, memory, stream)
                                              : launch<128>(call, io, memory, stream);
}

}  // namespace longscan
