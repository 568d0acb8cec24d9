#include "cuda_diagonal.cuh"

namespace longscan {

namespace {

/// KB key channels a block of threads; dA = scale * dO V^T is computed by each.
template <int KB>
struct GradientLayout {
  static constexpr int gates = 2 * Tile<KB>::bytes;
  static constexpr int values = gates + FloatTile<KB>::bytes;  // v and dO, 64 channels at a time; then dq
  static constexpr int dq = values;
  static constexpr int dk = dq + FloatTile<KB>::bytes;
  static constexpr int scores = dk + FloatTile<KB>::bytes;  // dA in bf16
  static constexpr int within = scores + Tile<64>::bytes;   // its four diagonal blocks in f32, [4][16][16]
  static constexpr int bytes = within + 4 * 16 * 16 * 4;
  static_assert(2 * Tile<64>::bytes <= 2 * FloatTile<KB>::bytes, "v and dO lie where dq and dk will");
};

/// dA of 16 rows: scale * dO_i . v_j for j <= i of one document, zero elsewhere.
__device__ void scoreGradients(const float (&sum)[8][4], Tile<64> scores, float* within, uint64_t starts,
                               float scale, int warp, int lane) {
  const int group = lane >> 2, pairOf = 2 * (lane & 3);
#pragma unroll
  for (int n = 0; n < 8; n++)
#pragma unroll
    for (int i = 0; i < 2; i++) {
      const int row = 16 * warp + group + 8 * i, column = 8 * n + pairOf;
      const float low = column <= row && sameDocument(starts, column, row) ? scale * sum[n][2 * i] : 0.0f;
      const float high =
          column + 1 <= row && sameDocument(starts, column + 1, row) ? scale * sum[n][2 * i + 1] : 0.0f;
      storeShared(scores.address(row, n) + 2 * pairOf, pack(low, high));
      if (n / 2 == warp)
        *reinterpret_cast<float2*>(within + (warp * 16 + row % 16) * 16 + column % 16) =
            make_float2(low, high);
    }
}

/// What the 16 tokens of a sub-chunk give each other, in f32; a lane holds two channels at a time.
template <int KB>
__device__ void gradientsWithin(Tile<KB> Q, Tile<KB> K, FloatTile<KB> c, FloatTile<KB> dq, FloatTile<KB> dk,
                                const float* within, uint64_t starts, int row0, int lane) {
  for (int channel = 2 * lane; channel < KB; channel += 64) {
    float q[subChunk][2], decay[subChunk][2], queryGradient[subChunk][2] = {};
#pragma unroll
    for (int i = 0; i < subChunk; i++) {
      loadRow<2>(q[i], Q, row0 + i, channel);
#pragma unroll
      for (int x = 0; x < 2; x++)
        decay[i][x] =
            i == 0 ? 1.0f : exp2Decay(c.at(row0 + i, channel + x) - c.at(row0 + i - 1, channel + x));
    }
    for (int j = 0; j < subChunk; j++) {
      const int end = documentEnd(starts, row0 + j, tileTokens) - row0;
      float key[2], keyGradient[2] = {}, e[2] = {1.0f, 1.0f};
      loadRow<2>(key, K, row0 + j, channel);
#pragma unroll
      for (int i = 0; i < subChunk; i++) {
        if (i >= j && i < end) {
          const float score = within[i * 16 + j];
#pragma unroll
          for (int x = 0; x < 2; x++) {
            if (i > j) e[x] *= decay[i][x];
            const float share = score * e[x];
            queryGradient[i][x] += share * key[x];
            keyGradient[x] += share * q[i][x];
          }
        }
      }
      dk.pairAt(row0 + j, channel) = make_float2(keyGradient[0], keyGradient[1]);
    }
#pragma unroll
    for (int i = 0; i < subChunk; i++)
      dq.pairAt(row0 + i, channel) = make_float2(queryGradient[i][0], queryGradient[i][1]);
  }
}

/// B[token, channel], 16 x 16 from (row, column): q or k times exp2 of sign * (c - c of token `reference`),
/// for tokens of the reference's document.
template <int KB>
__device__ MmaB2 loadDecayed(Tile<KB> tile, FloatTile<KB> c, uint64_t starts, int row, int column,
                             int reference, bool query, int lane) {
  MmaB2 b = loadB(tile, row, column, lane);
#pragma unroll
  for (int i = 0; i < 4; i++) {
    const int token = row + 2 * (lane & 3) + (i & 1) * 8, channel = column + (lane >> 2) + (i >> 1) * 8;
    const float start = c.at(reference, channel);
    const float near = c.at(token, channel) - start, far = c.at(token + 1, channel) - start;
    const bool sameNear =
        query ? sameDocument(starts, reference, token) : sameDocument(starts, token, reference);
    const bool sameFar =
        query ? sameDocument(starts, reference, token + 1) : sameDocument(starts, token + 1, reference);
    b.x[i] = pack(sameNear ? lowHalf(b.x[i]) * exp2Decay(query ? near : -near) : 0.0f,
                  sameFar ? highHalf(b.x[i]) * exp2Decay(query ? far : -far) : 0.0f);
  }
  return b;
}

/// Adds what other sub-chunks give the queries and keys of sub-chunk `warp`.
template <int KB>
__device__ void gradientsBetween(Tile<KB> Q, Tile<KB> K, FloatTile<KB> c, FloatTile<KB> dq, FloatTile<KB> dk,
                                 Tile<64> scores, uint64_t starts, int warp, int lane) {
  const int group = lane >> 2, pairOf = 2 * (lane & 3), row0 = 16 * warp;
  for (int column = 0; column < KB; column += 16) {
    if (warp > 0) {
      float sum[2][4] = {};
      for (int other = 0; other < warp; other++)
        mma(sum[0], sum[1], loadA(scores, row0, 16 * other, lane),
            loadDecayed(K, c, starts, 16 * other, column, row0 - 1, false, lane));
#pragma unroll
      for (int i = 0; i < 4; i++) {
        const int row = row0 + group + (i & 1) * 8, channel = column + pairOf + (i >> 1) * 8;
        if (!sameDocument(starts, row0 - 1, row)) continue;
        const float2 here = c.pairAt(row, channel), start = c.pairAt(row0 - 1, channel);
        float2& to = dq.pairAt(row, channel);
        to.x += sum[i >> 1][2 * (i & 1)] * exp2Decay(here.x - start.x);
        to.y += sum[i >> 1][2 * (i & 1) + 1] * exp2Decay(here.y - start.y);
      }
    }
    for (int other = warp + 1; other < 4; other++) {
      float sum[2][4] = {};
      const int before = 16 * other - 1;
      mma(sum[0], sum[1], loadATransposed(scores, 16 * other, row0, lane),
          loadDecayed(Q, c, starts, 16 * other, column, before, true, lane));
#pragma unroll
      for (int i = 0; i < 4; i++) {
        const int row = row0 + group + (i & 1) * 8, channel = column + pairOf + (i >> 1) * 8;
        if (!sameDocument(starts, row, before)) continue;
        const float2 here = c.pairAt(row, channel), start = c.pairAt(before, channel);
        float2& to = dk.pairAt(row, channel);
        to.x += sum[i >> 1][2 * (i & 1)] * exp2Decay(start.x - here.x);
        to.y += sum[i >> 1][2 * (i & 1) + 1] * exp2Decay(start.y - here.y);
      }
    }
  }
}

template <int KB>
__global__ void __launch_bounds__(diagonalThreads) gradientKernel(const DiagonalGradientCall task) {
  using Layout = GradientLayout<KB>;
  const DiagonalCall& call = task.call;
  extern __shared__ __align__(128) unsigned char shared[];
  const Tile<KB> Q{sharedAddress(shared)}, K{sharedAddress(shared + Tile<KB>::bytes)};
  const FloatTile<KB> c{reinterpret_cast<float*>(shared + Layout::gates)};
  const FloatTile<KB> dq{reinterpret_cast<float*>(shared + Layout::dq)};
  const FloatTile<KB> dk{reinterpret_cast<float*>(shared + Layout::dk)};
  const Tile<64> scores{sharedAddress(shared + Layout::scores)};
  const Tile<64> V{sharedAddress(shared + Layout::values)}, dO{V.base + Tile<64>::bytes};
  float* const within = reinterpret_cast<float*>(shared + Layout::within);

  const int lane = threadIdx.x & 31, warp = threadIdx.x >> 5, channel = blockIdx.z * KB;
  const int64_t numChunks = gridDim.x, chunk = blockIdx.x, bh = blockIdx.y, b = bh / call.H, h = bh % call.H;
  const int64_t first = chunk * tileTokens;
  const int64_t pitch = static_cast<int64_t>(call.H) * call.K, head = b * call.T * pitch + h * call.K;
  const int64_t pitchV = static_cast<int64_t>(call.H) * call.V, headV = b * call.T * pitchV + h * call.V;
  const int length = static_cast<int>(min(static_cast<int64_t>(tileTokens), call.T - first));

  const TileRows rows{first, 0, length};
  fillTile<KB, diagonalThreads>(Q, call.q + head, pitch, channel, call.K, rows, false);
  fillTile<KB, diagonalThreads>(K, call.k + head, pitch, channel, call.K, rows, false);
  fillGates<KB>(c, call.g + head + first * pitch, pitch, channel, call.K, length);
  const uint64_t starts =
      documentStarts(call.resets ? call.resets + b * call.T : nullptr, first, length, lane);

  float sum[8][4] = {};
  for (int column = 0; column < call.V; column += 64) {
    fillTile<64, diagonalThreads>(V, task.v + headV, pitchV, column, call.V, rows, false);
    fillTile<64, diagonalThreads>(dO, task.dO + headV, pitchV, column, call.V, rows, false);
    commitCopies();
    waitForCopies<0>();
    __syncthreads();
#pragma unroll
    for (int k = 0; k < 4; k++) {
      const MmaA a = loadA(dO, 16 * warp, 16 * k, lane);
#pragma unroll
      for (int n = 0; n < 4; n++)
        if (n <= warp) mma(sum[2 * n], sum[2 * n + 1], a, loadBTransposed(V, 16 * n, 16 * k, lane));
    }
    __syncthreads();
  }
  sumGates<KB>(c, starts);
  scoreGradients(sum, scores, within, starts, call.scale, warp, lane);
  __syncthreads();
  gradientsWithin<KB>(Q, K, c, dq, dk, within + warp * 256, starts, 16 * warp, lane);
  __syncwarp();
  gradientsBetween<KB>(Q, K, c, dq, dk, scores, starts, warp, lane);
  __syncthreads();

  // Against time, one channel a thread: the sweeps' share, and the decay's gradient from both.
  const int own = threadIdx.x;
  if (own >= KB || channel + own >= call.K) return;
  const float product = task.ends[(bh * numChunks + chunk) * call.K + channel + own];
  float decayGradient = product, end = 0.0f;
#pragma unroll 4
  for (int row = length - 1; row >= 0; row--) {
    const int64_t at = head + (first + row) * pitch + channel + own;
    const bool closes = row == length - 1 || (starts >> (row + 1) & 1);
    if (closes) end = c.at(row, own);
    if (closes && row != length - 1) decayGradient = 0.0f;
    const float here = c.at(row, own);
    const float queryGradient = dq.at(row, own) + call.scale * exp2Decay(here) * task.sweptQuery[at];
    const float keyGradient = dk.at(row, own) + exp2Decay(end - here) * task.sweptKey[at];
    const uint32_t q = loadShared(Q.address(row, own / 8) + (own & 6) * 2);
    const uint32_t k = loadShared(K.address(row, own / 8) + (own & 6) * 2);
    decayGradient += (own & 1 ? highHalf(q) : lowHalf(q)) * queryGradient;
    decayGradient -= (own & 1 ? highHalf(k) : lowHalf(k)) * keyGradient;
    task.dq[at] = __float2bfloat16(queryGradient);
    task.dk[at] = __float2bfloat16(keyGradient);
    const bool meetsNothing = (starts >> row & 1) || (task.fromZero && first + row == 0);
    task.dg[at] = meetsNothing ? 0.0f : decayGradient;
  }
}

template <int KB>
cudaError_t launch(const DiagonalGradientCall& task, cudaStream_t stream) {
  constexpr int bytes = GradientLayout<KB>::bytes;
  const cudaError_t error =
      cudaFuncSetAttribute(gradientKernel<KB>, cudaFuncAttributeMaxDynamicSharedMemorySize, bytes);
  if (error != cudaSuccess) return error;
  const DiagonalCall& call = task.call;
  const dim3 grid(static_cast<unsigned>((call.T + tileTokens - 1) / tileTokens),
                  static_cast<unsigned>(call.B * call.H), static_cast<unsigned>((call.K + KB - 1) / KB));
  gradientKernel<KB><<<grid, diagonalThreads, bytes, stream>>>(task);
  return cudaGetLastError();
}

}  // namespace

cudaError_t launchDiagonalGradient(const DiagonalGradientCall& task, cudaStream_t stream) {
  return task.call.K <= 64 ? launch<64>(task, stream) : launch<128>(task, stream);
}

}  // namespace longscan
