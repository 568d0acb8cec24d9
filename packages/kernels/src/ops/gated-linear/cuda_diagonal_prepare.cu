#include "cuda_diagonal.cuh"

namespace longscan {

namespace {

template <int KP>
struct PrepareLayout {
  static constexpr int gates = 2 * Tile<KP>::bytes;
  static constexpr int scores = gates + FloatTile<KP>::bytes;
  static constexpr int totals = scores + FloatTile<64>::bytes;
  static constexpr int bytes = totals + 4 * 4 * KP;
};

/// Where the score of two tokens lies.
__device__ float& scoreAt(FloatTile<64> scores, bool backwardOrder, int row, int column) {
  return backwardOrder ? scores.at(63 - column, 63 - row) : scores.at(row, column);
}

/// Scores of the 16 queries from token `row0` with earlier sub-chunks and their own, every second tile of 8
/// keys from `part` on: products of queries decayed since the sub-chunk's start and keys decayed up to it, or
/// scaled up from it, but those of `steep` tokens. In tf32: bf16 would show in the outputs.
template <int KP>
__device__ void scoresOfProducts(Tile<KP> Q, Tile<KP> K, FloatTile<KP> c, FloatTile<64> scores,
                                 uint64_t starts, int row0, int part, unsigned steep,
                                 const DiagonalCall& call, int lane) {
  const int group = lane >> 2, pairOf = 2 * (lane & 3), before = row0 - 1;
  const bool continues = goesOn(starts, row0);
  bool usesKey[4];
#pragma unroll
  for (int n = 0; n < 4; n++) {
    const int key = 16 * n + 8 * part + group;
    usesKey[n] = key < row0 ? sameDocument(starts, key, before) : !(steep >> (key - row0) & 1);
  }
  float sum[4][4] = {};
#pragma unroll 4
  for (int k = 0; k < KP / 8; k++) {
    const int column = 8 * k + pairOf;
    const float2 start = continues ? c.pairAt(before, column) : make_float2(0.0f, 0.0f);
    uint32_t a[4];
#pragma unroll
    for (int i = 0; i < 2; i++) {
      const int row = row0 + group + 8 * i;
      const uint32_t q = loadShared(Q.address(row, k) + 2 * pairOf);
      const float2 here = c.pairAt(row, column);
      a[i] = roundToTf32(lowHalf(q) * exp2Decay(here.x - start.x));
      a[i + 2] = roundToTf32(highHalf(q) * exp2Decay(here.y - start.y));
    }
#pragma unroll
    for (int n = 0; n < 4; n++) {
      if (16 * n > row0) break;
      const int row = 16 * n + 8 * part + group;
      const uint32_t key = loadShared(K.address(row, k) + 2 * pairOf);
      const float2 here = c.pairAt(row, column);
      const uint32_t near = usesKey[n] ? roundToTf32(lowHalf(key) * exp2Decay(start.x - here.x)) : 0;
      const uint32_t far = usesKey[n] ? roundToTf32(highHalf(key) * exp2Decay(start.y - here.y)) : 0;
      mmaTf32(sum[n], a, near, far);
    }
  }
#pragma unroll
  for (int n = 0; n < 4; n++) {
    if (16 * n > row0) break;
#pragma unroll
    for (int i = 0; i < 4; i++) {
      // Selected, for in another document's row of zeros the keys of this one may be NaN.
      const int row = row0 + group + i / 2 * 8, column = 16 * n + 8 * part + pairOf + i % 2;
      scoreAt(scores, call.backwardOrder, row, column) =
          column <= row && sameDocument(starts, column, row) ? call.scale * sum[n][i] : 0.0f;
    }
  }
}

/// Scores of `steep` tokens with those of their sub-chunk, pair by pair in f32; every second eight keys from
/// `part` on. A lane has some of the channels.
template <int KP>
__device__ void scoresOfSteep(Tile<KP> Q, Tile<KP> K, FloatTile<KP> c, FloatTile<64> scores, uint64_t starts,
                              int row0, int part, unsigned steep, const DiagonalCall& call, int lane) {
  for (; steep != 0; steep &= steep - 1) {
    const int row = row0 + __ffs(static_cast<int>(steep)) - 1;
    for (int column = row0 + 8 * part; column < row0 + 8 * part + 8; column++) {
      if (column > row || !sameDocument(starts, column, row)) continue;
      float sum = 0.0f;
#pragma unroll
      for (int channel = 2 * lane; channel < KP; channel += 64) {
        float q[2], k[2];
        loadRow<2>(q, Q, row, channel);
        loadRow<2>(k, K, column, channel);
        const float2 here = c.pairAt(row, channel), there = c.pairAt(column, channel);
        sum += q[0] * k[0] * exp2Decay(here.x - there.x) + q[1] * k[1] * exp2Decay(here.y - there.y);
      }
#pragma unroll
      for (int distance = 16; distance > 0; distance /= 2) sum += __shfl_xor_sync(~0u, sum, distance);
      if (lane == 0) scoreAt(scores, call.backwardOrder, row, column) = call.scale * sum;
    }
  }
}

/// Writes queries decayed since, and keys decayed up to the end of their piece: eight channels a thread.
template <int KP>
__device__ void storeDecayed(Tile<KP> Q, Tile<KP> K, FloatTile<KP> c, uint64_t starts,
                             const DiagonalCall& call, int64_t place, int64_t pitch, int length) {
  constexpr int units = KP / 8, rowsAtOnce = diagonalThreads / units;
  const int unit = threadIdx.x % units, column = 8 * unit;
  if (column >= call.K) return;
  for (int row = threadIdx.x / units; row < length; row += rowsAtOnce) {
    const int last = documentEnd(starts, row, length) - 1;
    uint32_t q[4], k[4];
#pragma unroll
    for (int i = 0; i < 4; i++) {
      const float2 here = c.pairAt(row, column + 2 * i), end = c.pairAt(last, column + 2 * i);
      const uint32_t query = loadShared(Q.address(row, unit) + 4 * i);
      const uint32_t key = loadShared(K.address(row, unit) + 4 * i);
      q[i] = pack(lowHalf(query) * (call.scale * exp2Decay(here.x)),
                  highHalf(query) * (call.scale * exp2Decay(here.y)));
      k[i] = pack(lowHalf(key) * exp2Decay(end.x - here.x), highHalf(key) * exp2Decay(end.y - here.y));
    }
    const int64_t at = place + row * pitch + column;
    storeGlobal(call.decayedQuery + at, q[0], q[1], q[2], q[3]);
    storeGlobal(call.decayedKey + at, k[0], k[1], k[2], k[3]);
  }
}

template <int KP, bool documents>
__global__ void __launch_bounds__(diagonalThreads, KP == 256 ? 1 : 2) prepareKernel(const DiagonalCall call) {
  using Layout = PrepareLayout<KP>;
  extern __shared__ __align__(128) unsigned char shared[];
  const Tile<KP> Q{sharedAddress(shared)}, K{sharedAddress(shared + Tile<KP>::bytes)};
  const FloatTile<KP> c{reinterpret_cast<float*>(shared + Layout::gates)};
  const FloatTile<64> scores{reinterpret_cast<float*>(shared + Layout::scores)};
  float* const totals = reinterpret_cast<float*>(shared + Layout::totals);

  const int lane = threadIdx.x & 31, warp = threadIdx.x >> 5;
  const int64_t numChunks = gridDim.x, chunk = blockIdx.x, bh = blockIdx.y, b = bh / call.H, h = bh % call.H;
  const int64_t first = chunk * tileTokens, pitch = static_cast<int64_t>(call.H) * call.K;
  const int64_t head = b * call.T * pitch + h * call.K;
  const int64_t sharedPitch = static_cast<int64_t>(call.G) * call.K;
  const int64_t sharedHead = b * call.T * sharedPitch + h / (call.H / call.G) * call.K;
  const int length = static_cast<int>(min(static_cast<int64_t>(tileTokens), call.T - first));

  const TileRows rows{first, 0, length, false};
  fillTile<KP, diagonalThreads>(Q, call.q + sharedHead, sharedPitch, 0, call.K, rows);
  fillTile<KP, diagonalThreads>(K, call.k + sharedHead, sharedPitch, 0, call.K, rows);
  fillGates<KP>(c, call.g + head + first * pitch, pitch, 0, call.K, length);
  commitCopies();
  for (int i = threadIdx.x; i < 64 * 64; i += diagonalThreads) scores.at(i / 64, i % 64) = 0.0f;
  // Without documents the compiler knows that there are no starts.
  const uint64_t starts = documents ? documentStarts(call.resets + b * call.T, first, length, lane) : 0;
  waitForCopies<0>();
  __syncthreads();
  sumGates<KP>(c, starts, totals);

  // The chunk's first piece is what a state passes through; if a document starts at once, nothing does.
  const int firstEnd = documentEnd(starts, 0, length);
  for (int i = threadIdx.x; i < call.K; i += diagonalThreads)
    call.gamma[(bh * numChunks + chunk) * call.K + i] = exp2Decay(c.at(firstEnd - 1, i));

  storeDecayed<KP>(Q, K, c, starts, call, head + first * pitch, pitch, length);

  const int row0 = subChunk * (warp % 4), part = warp / 4;
  const unsigned steep = steepTokens<KP>(c, starts, row0, lane);
  scoresOfProducts<KP>(Q, K, c, scores, starts, row0, part, steep, call, lane);
  __syncwarp();
  scoresOfSteep<KP>(Q, K, c, scores, starts, row0, part, steep, call, lane);
  __syncthreads();

  uint32_t* to =
      reinterpret_cast<uint32_t*>(call.scores + (bh * numChunks + chunk) * call.scoreTerms * (64 * 64));
  for (int i = threadIdx.x; i < 64 * 32; i += diagonalThreads) {
    const int row = i / 32, column = i % 32 * 2;
    const float2 score = scores.pairAt(row, column);
    const uint32_t both = pack(score.x, score.y);
    to[i] = both;
    if (call.scoreTerms == 2) to[64 * 32 + i] = pack(score.x - lowHalf(both), score.y - highHalf(both));
  }
}

template <int KP, bool documents>
cudaError_t launchKernel(const DiagonalCall& call, cudaStream_t stream) {
  constexpr int bytes = PrepareLayout<KP>::bytes;
  const cudaError_t error =
      cudaFuncSetAttribute(prepareKernel<KP, documents>, cudaFuncAttributeMaxDynamicSharedMemorySize, bytes);
  if (error != cudaSuccess) return error;
  const auto chunks = static_cast<unsigned>((call.T + tileTokens - 1) / tileTokens);
  prepareKernel<KP, documents>
      <<<dim3(chunks, static_cast<unsigned>(call.B * call.H)), diagonalThreads, bytes, stream>>>(call);
  return cudaGetLastError();
}

template <int KP>
cudaError_t launch(const DiagonalCall& call, cudaStream_t stream) {
  return call.resets ? launchKernel<KP, true>(call, stream) : launchKernel<KP, false>(call, stream);
}

}  // namespace

cudaError_t launchDiagonalPrepare(const DiagonalCall& call, cudaStream_t stream) {
  if (call.K <= 64) return launch<64>(call, stream);
  return call.K <= 128 ? launch<128>(call, stream) : launch<256>(call, stream);
}

}  // namespace longscan
