#include "cuda_diagonal_close.cuh"

namespace longscan {

namespace {

/// What tokens of one document that decays mildly give each other, in products of the whole chunk: keys
/// scaled up from the chunk's start on for the queries, or queries from its end back for the keys. Both
/// factors in two bf16 terms: of the two gradients' roundings the decay's gradient is the difference.
/// `operands`: room for two tiles.
__device__ void addInsideMild(Sums& sum, Sums& scores, const Chunk& in, uint32_t operands, float scale,
                              const GradientPlace& at) {
  const Tile<64> high{operands}, low{operands + Tile<64>::bytes}, other = at.ofQuery ? in.K : in.Q;
  const int unit = threadIdx.x % 8;
  float end[8];
  in.c.loadEight(end, tileTokens - 1, 8 * unit);
#pragma unroll
  for (int i = 0; i < 8; i++) end[i] = at.ofQuery ? 0.0f : end[i];
#pragma unroll
  for (int step = 0; step < 4; step++) {
    const int row = (threadIdx.x & 127) / 8 + 16 * step;
    const uint4 both = loadShared16(other.address(row, unit));
    const uint32_t values[4] = {both.x, both.y, both.z, both.w};
    uint32_t rounded[4], rest[4];
    float c[8];
    in.c.loadEight(c, row, 8 * unit);
#pragma unroll
    for (int n = 0; n < 4; n++) {
      const float2 here = make_float2(c[2 * n], c[2 * n + 1]);
      const float sign = at.ofQuery ? -1.0f : 1.0f, factor = at.ofQuery ? 1.0f : scale;
      const float near = lowHalf(values[n]) * (factor * exp2Decay(sign * (here.x - end[2 * n])));
      const float far = highHalf(values[n]) * (factor * exp2Decay(sign * (here.y - end[2 * n + 1])));
      rounded[n] = pack(near, far);
      rest[n] = pack(near - lowHalf(rounded[n]), far - highHalf(rounded[n]));
    }
    storeShared16(high.address(row, unit), make_uint4(rounded[0], rounded[1], rounded[2], rounded[3]));
    storeShared16(low.address(row, unit), make_uint4(rest[0], rest[1], rest[2], rest[3]));
  }
  MmaA rounded[4], rest[4];
#pragma unroll
  for (int n = 0; n < 8; n++)
#pragma unroll
    for (int i = 0; i < 4; i++) {
      const int row = at.row(i / 2), column = 8 * n + at.pairOf + i % 2;
      if (at.ofQuery ? column > row : column < row) scores[n][i] = 0.0f;
    }
#pragma unroll
  for (int k = 0; k < 4; k++) {
    rounded[k] = operandA(scores, k);
#pragma unroll
    for (int i = 0; i < 4; i++) {
      float* const both = &scores[2 * k + i / 2][i % 2 * 2];
      rest[k].x[i] = pack(both[0] - lowHalf(rounded[k].x[i]), both[1] - highHalf(rounded[k].x[i]));
    }
  }
  publishToProducts();
  joinBarrier(at.ofQuery ? 1 : 2, 128);
  beginProducts();
#pragma unroll
  for (int k = 0; k < 4; k++) {
    multiply<StoredB::columns>(sum, rounded[k], high, k);
    multiply<StoredB::columns>(sum, rest[k], high, k);
    multiply<StoredB::columns>(sum, rounded[k], low, k);
  }
  commitProducts();
  waitForProducts<0>();
  joinBarrier(at.ofQuery ? 1 : 2, 128);
}

/// The same of any documents and decays, by sub-chunks of 16 tokens, to `inside`. All threads together.
__device__ void storeInside(FloatTile<64> inside, const Sums& scores, const Chunk& in, float scale,
                            const GradientPlace& at) {
  if (at.ofQuery) {
#pragma unroll
    for (int n = 0; n < 8; n++)
#pragma unroll
      for (int h = 0; h < 2; h++) {
        const int row = at.row(h), column = 8 * n + at.pairOf;
        const auto share = [&](int key, float score) {
          return key <= row && sameDocument(in.starts, key, row) ? scale * score : 0.0f;
        };
        in.dA.pairAt(row, column) =
            make_float2(share(column, scores[n][2 * h]), share(column + 1, scores[n][2 * h + 1]));
      }
  }
  __syncthreads();
  const unsigned steep = steepTokens(in.c, in.starts, at.row0, at.lane);
#pragma unroll 1
  for (int block = 0; block < KB / 16; block++) {
    const WarpPlace place(block);
    WarpSums sum = {};
    if (at.ofQuery)
      queriesInside(sum, in, steep, place);
    else
      keysInside(sum, in, steep, place);
#pragma unroll
    for (int n = 0; n < warpTiles; n++)
#pragma unroll
      for (int h = 0; h < 2; h++)
        inside.pairAt(place.row(h), place.column(n)) = make_float2(sum[n][2 * h], sum[n][2 * h + 1]);
  }
}

__global__ void __launch_bounds__(diagonalThreads, 2)
    gradientKernel(const __grid_constant__ DiagonalGradientCall task) {
  using Layout = GradientLayout;
  const DiagonalCall& call = task.call;
  extern __shared__ __align__(1024) unsigned char shared[];
  const uint32_t base = sharedAddress(shared);
  const Block block(call);
  const GradientPlace at;
  const int pitch = call.H * call.K, sharedPitch = call.G * call.K, pitchV = call.H * call.V;
  const TileRows rows{0, 0, block.length, false};
  const uint64_t starts = documentStarts(call.resets ? call.resets + block.b * call.T : nullptr, block.first,
                                         block.length, at.lane);
  const Chunk in{{base},
                 {base + Layout::tile},
                 {reinterpret_cast<float*>(shared + Layout::gates)},
                 {reinterpret_cast<float*>(shared + Layout::scores)},
                 starts,
                 block.length};
  // Tiles of a stage: dO, v, S, D.
  const auto valueTile = [&](int values, int which) {
    return Tile<64>{base + Layout::values + values % task.stages * Layout::stage + which * Layout::tile};
  };
  const auto fillStage = [&](int values) {
    fillTile<64, diagonalThreads>(valueTile(values, 0), task.dO + block.valuePlace(call), pitchV, 64 * values,
                                  call.V, rows);
    fillTile<64, diagonalThreads>(valueTile(values, 1), task.v + block.valuePlace(call), pitchV, 64 * values,
                                  call.V, rows);
    const int64_t image = imageOffset(call.K, call.V, block.imageOf, values, block.keyBlock);
    fillImage(valueTile(values, 2).base, task.states + image);
    if (task.dk) fillImage(valueTile(values, 3).base, task.adjoints + image);
  };

  const int numValues = (call.V + 63) / 64;
  fillTile<KB, diagonalThreads>(in.Q, call.q + block.sharedPlace(call), sharedPitch, block.channel(), call.K,
                                rows);
  fillTile<KB, diagonalThreads>(in.K, call.k + block.sharedPlace(call), sharedPitch, block.channel(), call.K,
                                rows);
  fillGates(in.c, call.g + block.place(call) - block.channel(), pitch, block.channel(), call.K, block.length);
  fillStage(0);
  commitCopies();
  if (task.stages == 2) {
    if (numValues > 1) fillStage(1);
    commitCopies();
  }

  // Of queries dO v^T and S dO; of keys v dO^T and D v.
  const bool computes = at.ofQuery || task.dk != nullptr, meets = task.dk != nullptr && starts == 0;
  Sums scores, sum;
  clear(scores);
  clear(sum);
  float ends[8] = {};
#pragma unroll 1
  for (int values = 0; values < numValues; values++) {
    if (task.stages == 2)
      waitForCopies<1>();
    else
      waitForCopies<0>();
    publishToProducts();
    __syncthreads();
    if (computes) {
      const Tile<64> own = valueTile(values, at.ofQuery ? 0 : 1),
                     other = valueTile(values, at.ofQuery ? 1 : 0);
      const Tile<64> state = valueTile(values, at.ofQuery ? 2 : 3);
      beginProducts();
#pragma unroll
      for (int k = 0; k < 4; k++) {
        multiply<StoredB::rows>(scores, own, k, other, k);
        multiply<StoredB::columns>(sum, own, k, state, k);
      }
      commitProducts();
    }
    if (values == 0) sumGates(in.c, starts, reinterpret_cast<float*>(shared + Layout::totals));
    if (meets) addEnds(ends, valueTile(values, 2), valueTile(values, 3));
    waitForProducts<0>();
    __syncthreads();
    if (values + task.stages < numValues) fillStage(values + task.stages);
    commitCopies();
  }
  storeEnds(ends, reinterpret_cast<float*>(shared + Layout::ends));
  const bool isMild =
      __syncthreads_and(starts == 0 && in.c.at(tileTokens - 1, threadIdx.x % KB) >= -mostScaledUp);

  const int exchanged = Layout::exchanged + (at.ofQuery ? 0 : FloatTile<64>::bytes);
  const FloatTile<64> gradient{reinterpret_cast<float*>(shared + exchanged)};
  if (!at.ofQuery && computes) storeBehind(sum, in, reinterpret_cast<float*>(shared + Layout::behind), at);
  if (!isMild)
    storeInside(gradient, scores, in, call.scale, at);
  else if (computes)
    addInsideMild(sum, scores, in, base + exchanged, call.scale, at);
  if (computes)
    closeRows(sum, gradient, !isMild, in, call.scale, (at.ofQuery ? task.dq : task.dk) + block.place(call),
              pitch, call.K - block.channel(), at);
  if (task.dk == nullptr) return;
  __syncthreads();
  storeDecayGradient(task.dg + block.place(call), pitch, call.K - block.channel(), in, shared,
                     task.fromZero && block.chunk == 0);
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

}  // namespace

cudaError_t launchDiagonalGradient(const DiagonalGradientCall& task, cudaStream_t stream) {
  DiagonalGradientCall launched = task;
  cudaError_t error = chooseStages(launched.stages);
  const int bytes = GradientLayout::bytes(launched.stages);
  if (error == cudaSuccess)
    error = cudaFuncSetAttribute(gradientKernel, cudaFuncAttributeMaxDynamicSharedMemorySize, bytes);
  if (error == cudaSuccess)
    error = cudaFuncSetAttribute(gradientKernel, cudaFuncAttributePreferredSharedMemoryCarveout,
                                 cudaSharedmemCarveoutMaxShared);
  if (error != cudaSuccess) return error;
  const DiagonalCall& call = task.call;
  const int64_t blocks = (call.T + tileTokens - 1) / tileTokens * ((call.K + KB - 1) / KB);
  const auto grid = static_cast<unsigned>(blocks * call.B * call.H);
  gradientKernel<<<grid, diagonalThreads, bytes, stream>>>(launched);
  return cudaGetLastError();
}

}  // namespace longscan
