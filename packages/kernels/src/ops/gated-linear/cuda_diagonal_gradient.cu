#include "cuda_diagonal.cuh"

namespace longscan {

namespace {

/// A block of threads has one chunk and KB key channels; dA = scale * dO V^T is computed by each.
constexpr int KB = 64;

struct GradientLayout {
  static constexpr int gates = 2 * Tile<KB>::bytes;
  static constexpr int values = gates + FloatTile<KB>::bytes;  // v and dO, 64 channels at a time; then dq
  static constexpr int dq = values;
  static constexpr int dk = dq + FloatTile<KB>::bytes;
  static constexpr int scores = dk + FloatTile<KB>::bytes;  // dA
  static constexpr int bytes = scores + FloatTile<64>::bytes;
  static_assert(2 * Tile<64>::bytes <= 2 * FloatTile<KB>::bytes, "v and dO lie where dq and dk will");
};

/// Adds dO V^T over 64 channels of V: 16 rows a warp, every second block of 16 columns from `part` on.
__device__ void addScoreGradients(float (&sum)[2][2][4], Tile<64> dO, Tile<64> V, int row0, int part,
                                  int lane) {
#pragma unroll
  for (int k = 0; k < 4; k++) {
    const MmaA a = loadA(dO, row0, 16 * k, lane);
#pragma unroll
    for (int n = 0; n < 2; n++) {
      const int column = 16 * (2 * n + part);
      if (column <= row0) mma(sum[n][0], sum[n][1], a, loadBTransposed(V, column, 16 * k, lane));
    }
  }
}

/// dA_ij = scale * dO_i . v_j for j <= i of one document, zero elsewhere.
__device__ void storeScoreGradients(const float (&sum)[2][2][4], FloatTile<64> scores, uint64_t starts,
                                    float scale, int row0, int part, int lane) {
  const int group = lane >> 2, pairOf = 2 * (lane & 3);
#pragma unroll
  for (int n = 0; n < 4; n++)
#pragma unroll
    for (int i = 0; i < 2; i++) {
      const int row = row0 + group + 8 * i, column = 16 * (2 * (n / 2) + part) + 8 * (n % 2) + pairOf;
      const float* both = &sum[n / 2][n % 2][2 * i];
      scores.pairAt(row, column) =
          make_float2(column <= row && sameDocument(starts, column, row) ? scale * both[0] : 0.0f,
                      column + 1 <= row && sameDocument(starts, column + 1, row) ? scale * both[1] : 0.0f);
    }
}

/// What the 16 tokens of a sub-chunk give each other, in f32: each lane has one channel of 32.
__device__ void gradientsWithin(Tile<KB> Q, Tile<KB> K, FloatTile<KB> c, FloatTile<KB> dq, FloatTile<KB> dk,
                                FloatTile<64> scores, uint64_t starts, int row0, int channel) {
  float q[subChunk], decay[subChunk], queryGradient[subChunk] = {};
#pragma unroll
  for (int i = 0; i < subChunk; i++) {
    float one[1];
    loadRow<1>(one, Q, row0 + i, channel);
    q[i] = one[0];
    decay[i] = i == 0 ? 1.0f : exp2Decay(c.at(row0 + i, channel) - c.at(row0 + i - 1, channel));
  }
#pragma unroll
  for (int j = 0; j < subChunk; j++) {
    const int end = documentEnd(starts, row0 + j, tileTokens) - row0;
    float key[1], keyGradient = 0.0f, e = 1.0f;
    loadRow<1>(key, K, row0 + j, channel);
#pragma unroll
    for (int i = j; i < subChunk; i++) {
      if (i < end) {
        if (i > j) e *= decay[i];
        const float share = scores.at(row0 + i, row0 + j) * e;
        queryGradient[i] += share * key[0];
        keyGradient += share * q[i];
      }
    }
    dk.at(row0 + j, channel) = keyGradient;
  }
#pragma unroll
  for (int i = 0; i < subChunk; i++) dq.at(row0 + i, channel) = queryGradient[i];
}

/// Tokens [row, row + 16) of channels [column, column + 16): q or k times exp2 of sign * (c - c of token
/// `reference`), for tokens of the reference's document. to[half][token / 8][i]: token 2 * (lane % 4) + i of
/// the eight, channel lane / 4 + 8 half.
__device__ void loadDecayed(uint32_t (&to)[2][2][2], Tile<KB> tile, FloatTile<KB> c, uint64_t starts, int row,
                            int column, int reference, bool query, int lane) {
  const MmaB2 b = loadB(tile, row, column, lane);
#pragma unroll
  for (int i = 0; i < 4; i++) {
    const int token = row + 2 * (lane & 3) + (i & 1) * 8, channel = column + (lane >> 2) + (i >> 1) * 8;
    const float start = c.at(reference, channel);
    const float near = c.at(token, channel) - start, far = c.at(token + 1, channel) - start;
    const bool sameNear =
        query ? sameDocument(starts, reference, token) : sameDocument(starts, token, reference);
    const bool sameFar =
        query ? sameDocument(starts, reference, token + 1) : sameDocument(starts, token + 1, reference);
    to[i >> 1][i & 1][0] = sameNear ? roundToTf32(lowHalf(b.x[i]) * exp2Decay(query ? near : -near)) : 0;
    to[i >> 1][i & 1][1] = sameFar ? roundToTf32(highHalf(b.x[i]) * exp2Decay(query ? far : -far)) : 0;
  }
}

/// Adds what other sub-chunks give the queries and keys of the one at `row0`, for 16 channels from `column`
/// on. In tf32: of the two gradients' roundings the decay's gradient is the difference.
__device__ void gradientsBetween(Tile<KB> Q, Tile<KB> K, FloatTile<KB> c, FloatTile<KB> dq, FloatTile<KB> dk,
                                 FloatTile<64> scores, uint64_t starts, int row0, int column, int lane) {
  const int group = lane >> 2, pairOf = 2 * (lane & 3);
  // sum += dA of rows row0, of its columns `other` or its rows `other`, times decayed keys or queries of
  // `other`.
  const auto multiply = [&](float(&sum)[2][4], int other, int reference, bool query) {
    uint32_t operand[2][2][2];
    loadDecayed(operand, query ? Q : K, c, starts, other, column, reference, query, lane);
#pragma unroll
    for (int step = 0; step < 2; step++) {
      uint32_t a[4];
#pragma unroll
      for (int i = 0; i < 4; i++) {
        const int row = row0 + group + (i & 1) * 8, token = other + 8 * step + pairOf + (i >> 1);
        a[i] = roundToTf32(query ? scores.at(token, row) : scores.at(row, token));
      }
#pragma unroll
      for (int half = 0; half < 2; half++)
        mmaTf32(sum[half], a, operand[half][step][0], operand[half][step][1]);
    }
  };
  // Adds exp2(sign * (c - c of token `reference`)) * sum to the rows of the reference's document.
  const auto add = [&](FloatTile<KB> to, const float(&sum)[2][4], int reference, float sign) {
#pragma unroll
    for (int i = 0; i < 4; i++) {
      const int row = row0 + group + (i & 1) * 8, channel = column + pairOf + (i >> 1) * 8;
      if (!sameDocument(starts, min(row, reference), max(row, reference))) continue;
      const float2 here = c.pairAt(row, channel), start = c.pairAt(reference, channel);
      float2& place = to.pairAt(row, channel);
      place.x += sum[i >> 1][2 * (i & 1)] * exp2Decay(sign * (here.x - start.x));
      place.y += sum[i >> 1][2 * (i & 1) + 1] * exp2Decay(sign * (here.y - start.y));
    }
  };
  if (row0 > 0) {
    float sum[2][4] = {};
    for (int other = 0; other < row0; other += 16) multiply(sum, other, row0 - 1, false);
    add(dq, sum, row0 - 1, 1.0f);
  }
  for (int other = row0 + 16; other < tileTokens; other += 16) {
    float sum[2][4] = {};
    multiply(sum, other, other - 1, true);
    add(dk, sum, other - 1, -1.0f);
  }
}

/// Two neighbouring channels of one row, summed over the parts.
__device__ float2 sumParts(const float* from, int64_t at, int64_t partSize, int parts) {
  float2 sum = *reinterpret_cast<const float2*>(from + at);
  for (int part = 1; part < parts; part++) {
    const float2 more = *reinterpret_cast<const float2*>(from + part * partSize + at);
    sum.x += more.x;
    sum.y += more.y;
  }
  return sum;
}

/// Gradients of eight rows and two channels a thread: the sweeps' share is added, and from both follows the
/// decay's, sum_s>=t (q_s dq_s - k_s dk_s) up to the document's end or the chunk's, there plus what goes on
/// behind it: `product`, and what its last document's keys got from there. (In f32 the latter and its share
/// of the sum cancel; the state after the chunk in the place of both would not be rounded as they are.)
__device__ void finish(const DiagonalGradientCall& task, Tile<KB> Q, Tile<KB> K, FloatTile<KB> c,
                       FloatTile<KB> dq, FloatTile<KB> dk, float* exchanged, uint64_t starts, int64_t place,
                       int64_t pitch, int length, bool opensSlice, float2 product) {
  constexpr int rowsOwn = 8;
  const int own = 2 * (threadIdx.x & 31), row0 = rowsOwn * (threadIdx.x >> 5);
  const float scale = task.call.scale;
  const int64_t partSize = task.call.B * task.call.T * pitch;
  float2 sum[rowsOwn];
  float2 running = make_float2(0.0f, 0.0f), fromBehind = running;
#pragma unroll
  for (int i = rowsOwn - 1; i >= 0; i--) {
    const int row = row0 + i;
    sum[i] = make_float2(0.0f, 0.0f);
    if (row >= length) continue;
    const int64_t at = place + row * pitch;
    const float2 query = sumParts(task.sweptQuery, at, partSize, task.parts);
    const float2 key = sumParts(task.sweptKey, at, partSize, task.parts);
    const int documentsEnd = documentEnd(starts, row, length);
    const float2 here = c.pairAt(row, own), end = c.pairAt(documentsEnd - 1, own);
    float2 queryGradient = dq.pairAt(row, own), keyGradient = dk.pairAt(row, own);
    queryGradient.x += scale * exp2Decay(here.x) * query.x;
    queryGradient.y += scale * exp2Decay(here.y) * query.y;
    const float2 behind = make_float2(exp2Decay(end.x - here.x) * key.x, exp2Decay(end.y - here.y) * key.y);
    keyGradient.x += behind.x;
    keyGradient.y += behind.y;
    float q[2], k[2];
    loadRow<2>(q, Q, row, own);
    loadRow<2>(k, K, row, own);
    if (documentsEnd == length) {
      fromBehind.x += k[0] * behind.x;
      fromBehind.y += k[1] * behind.y;
    }
    if (row + 1 < length && i + 1 < rowsOwn && (starts >> (row + 1) & 1)) running = make_float2(0.0f, 0.0f);
    running.x += q[0] * queryGradient.x - k[0] * keyGradient.x;
    running.y += q[1] * queryGradient.y - k[1] * keyGradient.y;
    sum[i] = running;
    *reinterpret_cast<uint32_t*>(task.dq + at) = pack(queryGradient.x, queryGradient.y);
    *reinterpret_cast<uint32_t*>(task.dk + at) = pack(keyGradient.x, keyGradient.y);
  }
  // What a document that goes on from the rows before has in these eight: nothing if one starts with the
  // first.
  constexpr int groups = tileTokens / rowsOwn;
  float* const leading = exchanged + own;
  float* const behindAll = leading + groups * KB;
  const bool opens = starts >> row0 & 1;
  *reinterpret_cast<float2*>(leading + row0 / rowsOwn * KB) = opens ? make_float2(0.0f, 0.0f) : sum[0];
  *reinterpret_cast<float2*>(behindAll + row0 / rowsOwn * KB) = fromBehind;
  __syncthreads();
#pragma unroll
  for (int i = 0; i < groups; i++) {
    const float2 more = *reinterpret_cast<const float2*>(behindAll + i * KB);
    product.x += more.x;
    product.y += more.y;
  }
  float2 behind = make_float2(0.0f, 0.0f);
  const int lastEnd = row0 + rowsOwn < length ? documentEnd(starts, row0 + rowsOwn - 1, length) : length;
  for (int rows = row0 + rowsOwn; rows < lastEnd; rows += rowsOwn) {
    const float2 more = *reinterpret_cast<const float2*>(leading + rows / rowsOwn * KB);
    behind.x += more.x;
    behind.y += more.y;
  }
  if (lastEnd == length) {
    behind.x += product.x;
    behind.y += product.y;
  }
#pragma unroll
  for (int i = 0; i < rowsOwn; i++) {
    const int row = row0 + i;
    if (row >= length) continue;
    const bool goesOn = documentEnd(starts, row, length) >= min(row0 + rowsOwn, length) &&
                        documentEnd(starts, row, length) == lastEnd;
    float2 gradient = sum[i];
    if (goesOn) {
      gradient.x += behind.x;
      gradient.y += behind.y;
    }
    if ((starts >> row & 1) || (opensSlice && row == 0)) gradient = make_float2(0.0f, 0.0f);
    *reinterpret_cast<float2*>(task.dg + place + row * pitch) = gradient;
  }
}

template <bool documents>
__global__ void __launch_bounds__(diagonalThreads, 2)
    gradientKernel(const __grid_constant__ DiagonalGradientCall task) {
  using Layout = GradientLayout;
  const DiagonalCall& call = task.call;
  extern __shared__ __align__(128) unsigned char shared[];
  const Tile<KB> Q{sharedAddress(shared)}, K{sharedAddress(shared + Tile<KB>::bytes)};
  const FloatTile<KB> c{reinterpret_cast<float*>(shared + Layout::gates)};
  const FloatTile<KB> dq{reinterpret_cast<float*>(shared + Layout::dq)};
  const FloatTile<KB> dk{reinterpret_cast<float*>(shared + Layout::dk)};
  const FloatTile<64> scores{reinterpret_cast<float*>(shared + Layout::scores)};
  const Tile<64> V{sharedAddress(shared + Layout::values)}, dO{V.base + Tile<64>::bytes};

  const int lane = threadIdx.x & 31, warp = threadIdx.x >> 5, row0 = subChunk * (warp % 4), part = warp / 4;
  const int tiles = (call.K + KB - 1) / KB, channel = blockIdx.x % tiles * KB;
  const int64_t numChunks = gridDim.x / tiles, chunk = blockIdx.x / tiles;
  const int64_t bh = blockIdx.y, b = bh / call.H, h = bh % call.H;
  const int64_t first = chunk * tileTokens;
  const int64_t pitch = static_cast<int64_t>(call.H) * call.K, head = b * call.T * pitch + h * call.K;
  const int64_t sharedPitch = static_cast<int64_t>(call.G) * call.K;
  const int64_t sharedHead = b * call.T * sharedPitch + h / (call.H / call.G) * call.K;
  const int64_t pitchV = static_cast<int64_t>(call.H) * call.V, headV = b * call.T * pitchV + h * call.V;
  const int length = static_cast<int>(min(static_cast<int64_t>(tileTokens), call.T - first));

  const TileRows rows{first, 0, length, false};
  fillTile<KB, diagonalThreads>(Q, call.q + sharedHead, sharedPitch, channel, call.K, rows);
  fillTile<KB, diagonalThreads>(K, call.k + sharedHead, sharedPitch, channel, call.K, rows);
  fillGates<KB>(c, call.g + head + first * pitch, pitch, channel, call.K, length);
  // Without documents the compiler knows that there are no starts.
  const uint64_t starts = documents ? documentStarts(call.resets + b * call.T, first, length, lane) : 0;

  float sum[2][2][4] = {};
  for (int column = 0; column < call.V; column += 64) {
    fillTile<64, diagonalThreads>(V, task.v + headV, pitchV, column, call.V, rows);
    fillTile<64, diagonalThreads>(dO, task.dO + headV, pitchV, column, call.V, rows);
    commitCopies();
    waitForCopies<0>();
    __syncthreads();
    addScoreGradients(sum, dO, V, row0, part, lane);
    __syncthreads();
  }
  sumGates<KB>(c, starts);
  storeScoreGradients(sum, scores, starts, call.scale, row0, part, lane);
  __syncthreads();
  gradientsWithin(Q, K, c, dq, dk, scores, starts, row0, 32 * part + lane);
  __syncwarp();
  for (int column = 32 * part; column < 32 * part + 32; column += 16)
    gradientsBetween(Q, K, c, dq, dk, scores, starts, row0, column, lane);
  __syncthreads();

  // Threads of channels that are not there take part in the barriers with rows that are not there.
  const int own = channel + 2 * (threadIdx.x & 31);
  float2 product = make_float2(0.0f, 0.0f);
  if (own < call.K)
    product = sumParts(task.ends, (bh * numChunks + chunk) * call.K + own, gridDim.y * numChunks * call.K,
                       task.parts);
  finish(task, Q, K, c, dq, dk, scores.base, starts, head + first * pitch + own, pitch,
         own < call.K ? length : 0, task.fromZero && chunk == 0, product);
}

}  // namespace

cudaError_t launchDiagonalGradient(const DiagonalGradientCall& task, cudaStream_t stream) {
  constexpr int bytes = GradientLayout::bytes;
  const auto kernel = task.call.resets ? gradientKernel<true> : gradientKernel<false>;
  const cudaError_t error = cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, bytes);
  if (error != cudaSuccess) return error;
  const DiagonalCall& call = task.call;
  const int64_t blocks = (call.T + tileTokens - 1) / tileTokens * ((call.K + KB - 1) / KB);
  const dim3 grid(static_cast<unsigned>(blocks), static_cast<unsigned>(call.B * call.H));
  kernel<<<grid, diagonalThreads, bytes, stream>>>(task);
  return cudaGetLastError();
}

}  // namespace longscan
