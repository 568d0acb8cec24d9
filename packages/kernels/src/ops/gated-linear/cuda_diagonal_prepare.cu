#include "cuda_diagonal.cuh"

namespace longscan {

namespace {

template <int KP>
struct PrepareLayout {
  static constexpr int gates = 2 * Tile<KP>::bytes;
  static constexpr int scores = gates + FloatTile<KP>::bytes;
  static constexpr int bytes = scores + FloatTile<64>::bytes;
};

/// One step of `sumOverLanes`: lanes exchange half of their values with the lane `bit` away.
template <int half>
__device__ void foldLanes(float (&value)[16], int lane) {
  constexpr int bit = 2 * half;
  const bool upper = lane & bit;
#pragma unroll
  for (int i = 0; i < half; i++) {
    const float give = upper ? value[i] : value[i + half];
    const float keep = upper ? value[i + half] : value[i];
    value[i] = keep + __shfl_xor_sync(~0u, give, bit);
  }
}

/// Sums of 16 values over the lanes of a warp; lane l gets that of value l / 2.
__device__ float sumOverLanes(float (&value)[16], int lane) {
  foldLanes<8>(value, lane);
  foldLanes<4>(value, lane);
  foldLanes<2>(value, lane);
  foldLanes<1>(value, lane);
  return value[0] + __shfl_xor_sync(~0u, value[0], 1);
}

/// Scores of the 16 queries from token `row0` with earlier sub-chunks, every second tile of 8 keys from
/// `part` on: products of queries decayed since the sub-chunk's start and keys decayed up to it, so that no
/// exponent is positive. In tf32: bf16 would show in the outputs.
template <int KP>
__device__ void scoresWithEarlier(Tile<KP> Q, Tile<KP> K, FloatTile<KP> c, FloatTile<64> scores,
                                  uint64_t starts, int row0, int part, float scale, int lane) {
  const int group = lane >> 2, pairOf = 2 * (lane & 3);
  const int before = row0 - 1;
  bool sameQuery[2], sameKey[3];
#pragma unroll
  for (int i = 0; i < 2; i++) sameQuery[i] = sameDocument(starts, before, row0 + group + 8 * i);
#pragma unroll
  for (int n = 0; n < 3; n++) sameKey[n] = sameDocument(starts, 16 * n + 8 * part + group, before);
  float sum[3][4] = {};
#pragma unroll 4
  for (int k = 0; k < KP / 8; k++) {
    const int column = 8 * k + pairOf;
    const float2 start = c.pairAt(before, column);
    uint32_t a[4];
#pragma unroll
    for (int i = 0; i < 2; i++) {
      const int row = row0 + group + 8 * i;
      const uint32_t q = loadShared(Q.address(row, k) + 2 * pairOf);
      const float2 here = c.pairAt(row, column);
      a[i] = sameQuery[i] ? roundToTf32(lowHalf(q) * exp2Decay(here.x - start.x)) : 0;
      a[i + 2] = sameQuery[i] ? roundToTf32(highHalf(q) * exp2Decay(here.y - start.y)) : 0;
    }
#pragma unroll
    for (int n = 0; n < 3; n++) {
      if (16 * n >= row0) break;
      const int row = 16 * n + 8 * part + group;
      const uint32_t key = loadShared(K.address(row, k) + 2 * pairOf);
      const float2 here = c.pairAt(row, column);
      const uint32_t near = sameKey[n] ? roundToTf32(lowHalf(key) * exp2Decay(start.x - here.x)) : 0;
      const uint32_t far = sameKey[n] ? roundToTf32(highHalf(key) * exp2Decay(start.y - here.y)) : 0;
      mmaTf32(sum[n], a, near, far);
    }
  }
#pragma unroll
  for (int n = 0; n < 3; n++) {
    if (16 * n >= row0) break;
    const int column = 16 * n + 8 * part + pairOf;
#pragma unroll
    for (int i = 0; i < 2; i++) {
      // Selected, for in another document's row of zeros the keys of this one may be NaN.
      const int row = row0 + group + 8 * i;
      scores.pairAt(row, column) =
          make_float2(sameDocument(starts, column, row) ? scale * sum[n][2 * i] : 0.0f,
                      sameDocument(starts, column + 1, row) ? scale * sum[n][2 * i + 1] : 0.0f);
    }
  }
}

/// Scores among the 16 tokens from `row0`, every second key from `part` on: each key is decayed step by step
/// up to the present query, by factors of at most one, in f32. A lane holds a few channels.
template <int KP>
__device__ void scoresWithin(Tile<KP> Q, Tile<KP> K, FloatTile<KP> c, FloatTile<64> scores, uint64_t starts,
                             int row0, int part, float scale, int lane) {
  constexpr int block = KP < 128 ? KP : 128, own = block / 32;
  for (int channel = lane * own; channel < KP; channel += block) {
    uint32_t q[subChunk][own / 2];
    float decay[subChunk][own];
#pragma unroll
    for (int i = 0; i < subChunk; i++) {
#pragma unroll
      for (int x = 0; x < own; x += 2)
        q[i][x / 2] = loadShared(Q.address(row0 + i, channel / 8) + (channel & 6) * 2 + 2 * x);
#pragma unroll
      for (int x = 0; x < own; x++)
        decay[i][x] =
            i == 0 ? 1.0f : exp2Decay(c.at(row0 + i, channel + x) - c.at(row0 + i - 1, channel + x));
    }
    // Unrolled, so that only the two queries at the diagonal have a condition.
#pragma unroll
    for (int pair = 0; pair < subChunk; pair += 2) {
      const int j = pair + part;
      const int end = documentEnd(starts, row0 + j, tileTokens) - row0;
      float key[own], value[subChunk] = {};
      loadRow<own>(key, K, row0 + j, channel);
#pragma unroll
      for (int i = pair; i < subChunk; i++) {
        if ((i >= pair + 2 || i >= j) && i < end) {
#pragma unroll
          for (int x = 0; x < own; x++) {
            if (i >= pair + 2 || i > j) key[x] *= decay[i][x];
            value[i] += (x % 2 ? highHalf(q[i][x / 2]) : lowHalf(q[i][x / 2])) * key[x];
          }
        }
      }
      const float sum = scale * sumOverLanes(value, lane);
      float& score = scores.at(row0 + (lane >> 1), row0 + j);
      if ((lane & 1) == 0) score = (channel < block ? 0.0f : score) + sum;
    }
  }
}

template <int KP, bool documents>
__global__ void __launch_bounds__(diagonalThreads, KP == 256 ? 1 : 2) prepareKernel(const DiagonalCall call) {
  using Layout = PrepareLayout<KP>;
  extern __shared__ __align__(128) unsigned char shared[];
  const Tile<KP> Q{sharedAddress(shared)}, K{sharedAddress(shared + Tile<KP>::bytes)};
  const FloatTile<KP> c{reinterpret_cast<float*>(shared + Layout::gates)};
  const FloatTile<64> scores{reinterpret_cast<float*>(shared + Layout::scores)};

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
  sumGates<KP>(c, starts);
  __syncthreads();

  // The chunk's first piece is what a state passes through; if a document starts at once, nothing does.
  const int firstEnd = documentEnd(starts, 0, length);
  for (int i = threadIdx.x; i < call.K; i += diagonalThreads)
    call.gamma[(bh * numChunks + chunk) * call.K + i] = exp2Decay(c.at(firstEnd - 1, i));

  for (int i = threadIdx.x; i < length * (KP / 2); i += diagonalThreads) {
    const int row = i / (KP / 2), column = i % (KP / 2) * 2;
    if (column >= call.K) continue;
    const int last = documentEnd(starts, row, length) - 1;
    const uint32_t q = loadShared(Q.address(row, column / 8) + column % 8 * 2);
    const uint32_t k = loadShared(K.address(row, column / 8) + column % 8 * 2);
    const float2 here = c.pairAt(row, column), end = c.pairAt(last, column);
    const int64_t at = head + (first + row) * pitch + column;
    *reinterpret_cast<uint32_t*>(call.decayedQuery + at) =
        pack(lowHalf(q) * (call.scale * exp2Decay(here.x)), highHalf(q) * (call.scale * exp2Decay(here.y)));
    *reinterpret_cast<uint32_t*>(call.decayedKey + at) =
        pack(lowHalf(k) * exp2Decay(end.x - here.x), highHalf(k) * exp2Decay(end.y - here.y));
  }

  const int row0 = subChunk * (warp % 4), part = warp / 4;
  if (row0 > 0) scoresWithEarlier<KP>(Q, K, c, scores, starts, row0, part, call.scale, lane);
  scoresWithin<KP>(Q, K, c, scores, starts, row0, part, call.scale, lane);
  __syncthreads();

  uint32_t* to =
      reinterpret_cast<uint32_t*>(call.scores + (bh * numChunks + chunk) * call.scoreTerms * (64 * 64));
  for (int i = threadIdx.x; i < 64 * 32; i += diagonalThreads) {
    const int row = i / 32, column = i % 32 * 2;
    const float near = call.backwardOrder ? scores.at(63 - column, 63 - row) : scores.at(row, column);
    const float far = call.backwardOrder ? scores.at(62 - column, 63 - row) : scores.at(row, column + 1);
    const uint32_t both = pack(near, far);
    to[i] = both;
    if (call.scoreTerms == 2) to[64 * 32 + i] = pack(near - lowHalf(both), far - highHalf(both));
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
