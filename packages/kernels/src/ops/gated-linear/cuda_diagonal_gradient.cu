#include "cuda_diagonal_inside.cuh"

namespace longscan {

namespace {

struct GradientLayout {
  static constexpr int values = 2 * Tile<KB>::bytes;  // v and dO, 64 channels at a time
  static constexpr int gates = values + 2 * Tile<64>::bytes;
  static constexpr int scores = gates + Gates::bytes;  // dA
  static constexpr int exchanged = scores + FloatTile<64>::bytes;
  static constexpr int bytes = exchanged + 4 * 2 * subChunks * KB;
  static_assert(halves * 2 * warpTiles * 8 * diagonalThreads <= 2 * Tile<64>::bytes,
                "x fits where v and dO lay");
};

/// Two neighbouring channels of one row, summed over the parts, which are B H `rows` K numbers apart.
__device__ float2 sumParts(const DiagonalGradientCall& task, const float* from, int64_t at, int64_t rows) {
  float2 sum = *reinterpret_cast<const float2*>(from + at);
  for (int part = 1; part < task.parts; part++) {
    at += task.call.B * task.call.H * rows * task.call.K;
    const float2 more = *reinterpret_cast<const float2*>(from + at);
    sum.x += more.x;
    sum.y += more.y;
  }
  return sum;
}

/// Sums over tokens from each row to the end of its document, as far as the sub-chunk goes; of one column.
__device__ void sumFollowing(float (&x)[2], const Chunk& in, const WarpPlace& at) {
#pragma unroll
  for (int h = 0; h < 2; h++)
#pragma unroll
    for (int distance = 1; distance < 8; distance *= 2) {
      const float later = __shfl_down_sync(~0u, x[h], 4 * distance);
      if (at.group + distance < 8 && sameDocument(in.starts, at.row(h), at.row(h) + distance)) x[h] += later;
    }
  const float lower = __shfl_sync(~0u, x[1], at.lane & 3);
  if (sameDocument(in.starts, at.row(0), at.row0 + 8)) x[0] += lower;
}

/// Where a block's channels lie in [B, T, H, K] and in `ends`, and how many of them there are. Found again
/// where it is needed, for registers are short.
struct Places {
  int64_t first, ends;
  int pitch, channels;

  __device__ explicit Places(const DiagonalCall& call) {
    const int tiles = (call.K + KB - 1) / KB, channel = blockIdx.x % tiles * KB;
    const int64_t chunk = blockIdx.x / tiles, bh = blockIdx.y, b = bh / call.H, h = bh % call.H;
    pitch = call.H * call.K;
    first = (b * call.T + chunk * tileTokens) * pitch + h * call.K + channel;
    ends = (bh * (gridDim.x / tiles) + chunk) * call.K + channel;
    channels = call.K - channel;
  }
};

/// Adds what the sweeps found, and stores dq and dk. Leaves x = q dq - k dk, summed from each token to the
/// end of its document or the sub-chunk; in `exchanged` for each sub-chunk what of it goes on to the one
/// before, and what its keys got from behind the chunk.
__device__ void closeRows(const DiagonalGradientCall& task, WarpSums& dq, WarpSums& dk, WarpSums& x,
                          const Chunk& in, float* exchanged, const WarpPlace& at) {
  const Places places(task.call);
#pragma unroll
  for (int n = 0; n < warpTiles; n++) {
    const int column = at.column(n);
    float2 fromBehind = make_float2(0.0f, 0.0f);
#pragma unroll
    for (int h = 0; h < 2; h++) {
      const int row = at.row(h);
      x[n][2 * h] = x[n][2 * h + 1] = 0.0f;
      if (row >= in.length || column >= places.channels) continue;
      const int64_t from = places.first + static_cast<int64_t>(row) * places.pitch + column;
      const float2 query = sumParts(task, task.sweptQuery, from, task.call.T);
      const float2 key = task.dk ? sumParts(task, task.sweptKey, from, task.call.T) : make_float2(0.0f, 0.0f);
      const int documentsEnd = documentEnd(in.starts, row, in.length);
      const float2 here = in.c.pairAt(row, column), end = in.c.pairAt(documentsEnd - 1, column);
      const float2 behind = make_float2(exp2Decay(end.x - here.x) * key.x, exp2Decay(end.y - here.y) * key.y);
      float *ofQuery = &dq[n][2 * h], *ofKey = &dk[n][2 * h];
      ofQuery[0] += task.call.scale * exp2Decay(here.x) * query.x;
      ofQuery[1] += task.call.scale * exp2Decay(here.y) * query.y;
      ofKey[0] += behind.x;
      ofKey[1] += behind.y;
      *reinterpret_cast<uint32_t*>(task.dq + from) = pack(ofQuery[0], ofQuery[1]);
      if (task.dk) *reinterpret_cast<uint32_t*>(task.dk + from) = pack(ofKey[0], ofKey[1]);
      const float2 q = loadPair(in.Q, row, column), k = loadPair(in.K, row, column);
      x[n][2 * h] = q.x * ofQuery[0] - k.x * ofKey[0];
      x[n][2 * h + 1] = q.y * ofQuery[1] - k.y * ofKey[1];
      if (documentsEnd != in.length) continue;
      fromBehind.x += k.x * behind.x;
      fromBehind.y += k.y * behind.y;
    }
#pragma unroll
    for (int i = 0; i < 2; i++) {
      float both[2] = {x[n][i], x[n][2 + i]}, behind = i == 0 ? fromBehind.x : fromBehind.y;
      sumFollowing(both, in, at);
      x[n][i] = both[0];
      x[n][2 + i] = both[1];
#pragma unroll
      for (int distance = 4; distance < 32; distance *= 2) behind += __shfl_xor_sync(~0u, behind, distance);
      if (at.group != 0) continue;
      float* const to = exchanged + at.row0 / subChunk * KB + column + i;
      to[0] = in.starts >> at.row0 & 1 ? 0.0f : both[0];
      to[subChunks * KB] = behind;
    }
  }
}

/// dlog a_t = the sum of q_s dq_s - k_s dk_s from t to the document's end or the chunk's, there plus what
/// goes on behind it: `ends`, and what its last document's keys got from there. (In f32 the latter and its
/// share of the sum cancel; the state after the chunk in the place of both would not be rounded as they are.)
__device__ void storeDecayGradient(const DiagonalGradientCall& task, const WarpSums& x, const Chunk& in,
                                   const float* exchanged, bool opensSlice, const WarpPlace& at) {
  const Places places(task.call);
  const float *leading = exchanged, *behindAll = exchanged + subChunks * KB;
  const int lastRow = at.row0 + subChunk - 1;
  const int lastEnd = lastRow < in.length ? documentEnd(in.starts, lastRow, in.length) : in.length;
#pragma unroll
  for (int n = 0; n < warpTiles; n++) {
    const int column = at.column(n);
    if (column >= places.channels) continue;
    // What tokens have in common whose document goes on behind the sub-chunk.
    float2 behind = make_float2(0.0f, 0.0f);
    if (lastEnd == in.length) {
      behind = sumParts(task, task.ends, places.ends + column, (task.call.T + tileTokens - 1) / tileTokens);
#pragma unroll
      for (int i = 0; i < subChunks; i++) {
        behind.x += behindAll[i * KB + column];
        behind.y += behindAll[i * KB + column + 1];
      }
    }
    for (int row = at.row0 + subChunk; row < lastEnd; row += subChunk) {
      behind.x += leading[row / subChunk * KB + column];
      behind.y += leading[row / subChunk * KB + column + 1];
    }
#pragma unroll
    for (int h = 0; h < 2; h++) {
      const int row = at.row(h);
      if (row >= in.length) continue;
      const bool reachesOut =
          documentEnd(in.starts, row, in.length) == lastEnd && lastEnd >= min(at.row0 + subChunk, in.length);
      float2 gradient = make_float2(x[n][2 * h], x[n][2 * h + 1]);
      if (reachesOut) {
        gradient.x += behind.x;
        gradient.y += behind.y;
      }
      if ((in.starts >> row & 1) || (opensSlice && row == 0)) gradient = make_float2(0.0f, 0.0f);
      *reinterpret_cast<float2*>(task.dg + places.first + static_cast<int64_t>(row) * places.pitch + column) =
          gradient;
    }
  }
}

/// What is read later, to the L2 cache: the sweeps' gradients, and the second 64 channels of v and dO.
__device__ void prefetchRows(const DiagonalGradientCall& task, int64_t firstValue, int64_t pitchV,
                             int length) {
  const Places places(task.call);
  const auto prefetch = [](const void* from) { asm volatile("prefetch.global.L2 [%0];" ::"l"(from)); };
  const int second = threadIdx.x >> 7, row = threadIdx.x >> 1 & 63, line = threadIdx.x & 1;
  if (row >= length) return;
  const float* const swept = second ? task.sweptKey : task.sweptQuery;
  if (swept && 32 * line < places.channels)
    prefetch(swept + places.first + static_cast<int64_t>(row) * places.pitch + 32 * line);
  if (line == 0 && task.call.V > 64) prefetch((second ? task.dO : task.v) + firstValue + row * pitchV + 64);
}

template <bool documents>
__global__ void __launch_bounds__(diagonalThreads, documents ? 2 : 3)
    gradientKernel(const __grid_constant__ DiagonalGradientCall task) {
  using Layout = GradientLayout;
  const DiagonalCall& call = task.call;
  extern __shared__ __align__(128) unsigned char shared[];
  float* const exchanged = reinterpret_cast<float*>(shared + Layout::exchanged);
  const Tile<64> V{sharedAddress(shared + Layout::values)}, dO{V.base + Tile<64>::bytes};

  const WarpPlace at(0);
  const int tiles = (call.K + KB - 1) / KB, channel = blockIdx.x % tiles * KB;
  const int64_t chunk = blockIdx.x / tiles;
  const int64_t bh = blockIdx.y, b = bh / call.H, h = bh % call.H;
  const int64_t first = chunk * tileTokens;
  const int64_t pitch = static_cast<int64_t>(call.H) * call.K, head = b * call.T * pitch + h * call.K;
  const int64_t sharedPitch = static_cast<int64_t>(call.G) * call.K;
  const int64_t sharedHead = b * call.T * sharedPitch + h / (call.H / call.G) * call.K;
  const int64_t pitchV = static_cast<int64_t>(call.H) * call.V, headV = b * call.T * pitchV + h * call.V;
  const int length = static_cast<int>(min(static_cast<int64_t>(tileTokens), call.T - first));
  // Without documents the compiler knows that there are no starts.
  const uint64_t starts = documents ? documentStarts(call.resets + b * call.T, first, length, at.lane) : 0;
  const Chunk in{{sharedAddress(shared)},
                 {sharedAddress(shared + Tile<KB>::bytes)},
                 {reinterpret_cast<float*>(shared + Layout::gates)},
                 {reinterpret_cast<float*>(shared + Layout::scores)},
                 starts,
                 length};

  const TileRows rows{first, 0, length, false};
  const auto fillValues = [&](int column) {
    fillTile<64, diagonalThreads>(V, task.v + headV, pitchV, column, call.V, rows);
    fillTile<64, diagonalThreads>(dO, task.dO + headV, pitchV, column, call.V, rows);
    commitCopies();
  };
  fillTile<KB, diagonalThreads>(in.Q, call.q + sharedHead, sharedPitch, channel, call.K, rows);
  fillTile<KB, diagonalThreads>(in.K, call.k + sharedHead, sharedPitch, channel, call.K, rows);
  fillGates(in.c, call.g + head + first * pitch, pitch, channel, call.K, length);
  fillValues(0);
  prefetchRows(task, headV + first * pitchV, pitchV, length);

  float sum[2][2][4] = {};
  for (int column = 0; column < call.V; column += 64) {
    waitForCopies<0>();
    __syncthreads();
    addScoreGradients(sum, dO, V, at.row0, at.part, at.lane);
    if (column == 0) sumGates(in.c, starts, exchanged);
    if (column + 64 >= call.V) break;
    __syncthreads();
    fillValues(column + 64);
  }
  storeScoreGradients(sum, in.dA, starts, call.scale, at.row0, at.part, at.lane);
  __syncthreads();

  const unsigned steep = steepTokens(in.c, starts, at.row0, at.lane);
  // Where v and dO lay, each thread keeps what it needs later: it has no registers for it.
  float2* const kept = reinterpret_cast<float2*>(shared + Layout::values) + threadIdx.x;
#pragma unroll 1
  for (int half = 0; half < halves; half++) {
    WarpSums dq = {}, dk = {}, x;
    gradientsInside(dq, dk, in, steep, WarpPlace(half));
    closeRows(task, dq, dk, x, in, exchanged, WarpPlace(half));
#pragma unroll
    for (int i = 0; i < 2 * warpTiles; i++)
      kept[(2 * warpTiles * half + i) * diagonalThreads] =
          make_float2(x[i / 2][i % 2 * 2], x[i / 2][i % 2 * 2 + 1]);
  }
  if (task.dk == nullptr) return;
  __syncthreads();
#pragma unroll 1
  for (int half = 0; half < halves; half++) {
    WarpSums x;
#pragma unroll
    for (int i = 0; i < 2 * warpTiles; i++) {
      const float2 both = kept[(2 * warpTiles * half + i) * diagonalThreads];
      x[i / 2][i % 2 * 2] = both.x;
      x[i / 2][i % 2 * 2 + 1] = both.y;
    }
    storeDecayGradient(task, x, in, exchanged, task.fromZero && chunk == 0, WarpPlace(half));
  }
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
