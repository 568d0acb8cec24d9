#include "cuda_diagonal.cuh"

namespace longscan {

namespace {

template <int KP>
struct PrepareLayout {
  static constexpr int gates = 2 * Tile<KP>::bytes;
  static constexpr int totals = gates + FloatTile<KP>::bytes;
  static constexpr int bytes = totals + 4 * 4 * KP;
};

/// 8 x 8 pairs of bytes, of which a lane has two neighbours in row lane / 4, with rows and columns exchanged.
__device__ uint32_t transposeMatrix(uint32_t x) {
  uint32_t y;
  asm("movmatrix.sync.aligned.m8n8.trans.b16 %0, %1;" : "=r"(y) : "r"(x));
  return y;
}

/// Where the scores of one chunk go; each is the sum of `terms` numbers.
struct Scores {
  __nv_bfloat16* to;
  int terms;
  bool backwardOrder;

  /// Those of 8 tokens from `row` with 8 keys from `column`, as products leave them. All lanes of a warp
  /// together.
  __device__ void storeTile(int row, int column, float near, float far, int lane) const {
    const int group = lane >> 2, pairOf = 2 * (lane & 3);
    uint32_t both = pack(near, far), rest = pack(near - lowHalf(both), far - highHalf(both));
    int place = (row + group) * 64 + column + pairOf;
    if (backwardOrder) {
      // The lane gets two tokens' scores with one key, the later first.
      both = __byte_perm(transposeMatrix(both), 0, 0x1032);
      rest = __byte_perm(transposeMatrix(rest), 0, 0x1032);
      place = (63 - column - group) * 64 + 62 - row - pairOf;
    }
    *reinterpret_cast<uint32_t*>(to + place) = both;
    if (terms == 2) *reinterpret_cast<uint32_t*>(to + 64 * 64 + place) = rest;
  }
  __device__ void store(int row, int column, float score) const {
    const int place = backwardOrder ? (63 - column) * 64 + 63 - row : row * 64 + column;
    const __nv_bfloat16 rounded = __float2bfloat16_rn(score);
    to[place] = rounded;
    if (terms == 2) to[64 * 64 + place] = __float2bfloat16_rn(score - __bfloat162float(rounded));
  }
};

/// Scores of the 16 queries from token `row0` with earlier sub-chunks and their own, every second tile of 8
/// keys from `part` on: products of queries decayed since the sub-chunk's start and keys decayed up to it, or
/// scaled up from it, but those of `steep` tokens. In tf32: bf16 would show in the outputs.
template <int KP>
__device__ void scoresOfProducts(Tile<KP> Q, Tile<KP> K, FloatTile<KP> c, const Scores& scores,
                                 uint64_t starts, int row0, int part, unsigned steep, float scale, int lane) {
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
  for (int n = 0; n < 4; n++)
#pragma unroll
    for (int i = 0; i < 2; i++) {
      // Selected, for in another document's row of zeros the keys of this one may be NaN.
      const int row = row0 + group + 8 * i, column = 16 * n + 8 * part + pairOf;
      const float near = column <= row && sameDocument(starts, column, row) ? scale * sum[n][2 * i] : 0.0f;
      const float far =
          column < row && sameDocument(starts, column + 1, row) ? scale * sum[n][2 * i + 1] : 0.0f;
      scores.storeTile(row0 + 8 * i, 16 * n + 8 * part, near, far, lane);
    }
}

/// Scores of `steep` tokens with those of their sub-chunk, pair by pair in f32; every second eight keys from
/// `part` on. A lane has some of the channels.
template <int KP>
__device__ void scoresOfSteep(Tile<KP> Q, Tile<KP> K, FloatTile<KP> c, const Scores& scores, uint64_t starts,
                              int row0, int part, unsigned steep, float scale, int lane) {
  for (; steep != 0; steep &= steep - 1) {
    const int row = row0 + __ffs(static_cast<int>(steep)) - 1;
    for (int column = row0 + 8 * part; column < row0 + 8 * part + 8; column++) {
      if (column > row || !sameDocument(starts, column, row)) continue;
      float sum = 0.0f;
#pragma unroll
      for (int channel = 2 * lane; channel < KP; channel += 64) {
        const float2 q = loadPair(Q, row, channel), k = loadPair(K, column, channel);
        const float2 here = c.pairAt(row, channel), there = c.pairAt(column, channel);
        sum += q.x * k.x * exp2Decay(here.x - there.x) + q.y * k.y * exp2Decay(here.y - there.y);
      }
#pragma unroll
      for (int distance = 16; distance > 0; distance /= 2) sum += __shfl_xor_sync(~0u, sum, distance);
      if (lane == 0) scores.store(row, column, scale * sum);
    }
  }
}

/// Writes queries decayed since, and keys decayed up to the end of their piece: eight channels a thread.
template <int KP, bool documents>
__device__ void storeDecayed(Tile<KP> Q, Tile<KP> K, FloatTile<KP> c, uint64_t starts,
                             const DiagonalCall& call, int64_t place, int64_t pitch, int length) {
  constexpr int units = KP / 8, rowsAtOnce = diagonalThreads / units;
  const int unit = threadIdx.x % units, column = 8 * unit;
  if (column >= call.K) return;
  float2 end[4];
#pragma unroll
  for (int i = 0; i < 4; i++) end[i] = c.pairAt(length - 1, column + 2 * i);
  for (int row = threadIdx.x / units; row < length; row += rowsAtOnce) {
    const int last = documentEnd(starts, row, length) - 1;
    uint32_t q[4], k[4], qRest[4], kRest[4];
#pragma unroll
    for (int i = 0; i < 4; i++) {
      if (documents) end[i] = c.pairAt(last, column + 2 * i);
      const float2 here = c.pairAt(row, column + 2 * i);
      const uint32_t query = loadShared(Q.address(row, unit) + 4 * i);
      const uint32_t key = loadShared(K.address(row, unit) + 4 * i);
      const auto round = [](float near, float far, uint32_t& to, uint32_t& rest) {
        to = pack(near, far);
        rest = pack(near - lowHalf(to), far - highHalf(to));
      };
      round(lowHalf(query) * (call.scale * exp2Decay(here.x)),
            highHalf(query) * (call.scale * exp2Decay(here.y)), q[i], qRest[i]);
      round(lowHalf(key) * exp2Decay(end[i].x - here.x), highHalf(key) * exp2Decay(end[i].y - here.y), k[i],
            kRest[i]);
    }
    const int64_t at = place + row * pitch + column;
    storeGlobal(call.decayedQuery + at, q[0], q[1], q[2], q[3]);
    storeGlobal(call.decayedKey + at, k[0], k[1], k[2], k[3]);
    if (call.queryRest) storeGlobal(call.queryRest + at, qRest[0], qRest[1], qRest[2], qRest[3]);
    if (call.keyRest) storeGlobal(call.keyRest + at, kRest[0], kRest[1], kRest[2], kRest[3]);
  }
}

template <int KP, bool documents>
__global__ void __launch_bounds__(diagonalThreads, KP == 256 ? 1 : 3) prepareKernel(const DiagonalCall call) {
  using Layout = PrepareLayout<KP>;
  extern __shared__ __align__(128) unsigned char shared[];
  const Tile<KP> Q{sharedAddress(shared)}, K{sharedAddress(shared + Tile<KP>::bytes)};
  const FloatTile<KP> c{reinterpret_cast<float*>(shared + Layout::gates)};
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
  // Without documents the compiler knows that there are no starts.
  const uint64_t starts = documents ? documentStarts(call.resets + b * call.T, first, length, lane) : 0;
  waitForCopies<0>();
  __syncthreads();
  sumGates<KP>(c, starts, totals);

  // The chunk's first piece is what a state passes through; if a document starts at once, nothing does.
  const int firstEnd = documentEnd(starts, 0, length);
  for (int i = threadIdx.x; i < call.K; i += diagonalThreads)
    call.gamma[(bh * numChunks + chunk) * call.K + i] = exp2Decay(c.at(firstEnd - 1, i));

  storeDecayed<KP, documents>(Q, K, c, starts, call, head + first * pitch, pitch, length);

  const int row0 = subChunk * (warp % 4), part = warp / 4;
  const unsigned steep = steepTokens<KP>(c, starts, row0, lane);
  const Scores scores{call.scores + (bh * numChunks + chunk) * call.scoreTerms * (64 * 64), call.scoreTerms,
                      call.backwardOrder};
  scoresOfProducts<KP>(Q, K, c, scores, starts, row0, part, steep, call.scale, lane);
  __syncwarp();
  scoresOfSteep<KP>(Q, K, c, scores, starts, row0, part, steep, call.scale, lane);
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
