#include "cuda/warpgroup.cuh"
#include "cuda_diagonal_inside.cuh"
#include "cuda_sweep.h"

namespace longscan {

namespace {

/// Shared memory. When the values have been read, in their place for each warpgroup what its products inside
/// the chunk read, then what it hands to the decay's gradient; and dA.
struct GradientLayout {
  static constexpr int tile = Tile<64>::bytes;
  static constexpr int gates = 2 * tile;  // behind Q and K
  static constexpr int totals = gates + Gates::bytes;
  static constexpr int behind = totals + 4 * subChunks * KB;
  static constexpr int ends = behind + 4 * 4 * KB;
  static constexpr int values = ends + 4 * 8 * KB;  // for each stage 64 channels of dO and v, of S and D
  static constexpr int stage = 4 * tile;
  static constexpr int exchanged = values, scores = exchanged + 2 * FloatTile<64>::bytes;
  static_assert(values % 1024 == 0 && FloatTile<64>::bytes % 1024 == 0, "tiles are aligned to 1024 bytes");
  static_assert(FloatTile<64>::bytes >= 2 * tile, "operands in two terms fit where gradients go later");

  static constexpr int bytes(int stages) {
    const int after = scores + FloatTile<64>::bytes, before = values + stages * stage;
    return after > before ? after : before;
  }
};

/// A chunk of one head and KB of its key channels; `ahead`: those of the block that has so many before it.
struct Block {
  int64_t chunk, bh, b, h, first;
  int keyBlock, length;
  int64_t imageOf;  // the chunk's number among those of all heads

  __device__ Block(const DiagonalCall& call, int64_t ahead) {
    const int64_t number = blockIdx.y * static_cast<int64_t>(gridDim.x) + blockIdx.x + ahead;
    const int tiles = (call.K + KB - 1) / KB;
    imageOf = number / tiles;
    keyBlock = static_cast<int>(number % tiles);
    const int64_t numChunks = gridDim.x / tiles;
    bh = imageOf / numChunks;
    chunk = imageOf % numChunks;
    b = bh / call.H;
    h = bh % call.H;
    first = chunk * tileTokens;
    length = static_cast<int>(min(static_cast<int64_t>(tileTokens), call.T - first));
  }
  __device__ bool exists(const DiagonalCall& call) const { return b < call.B; }
  __device__ int channel() const { return keyBlock * KB; }
  /// Where row 0 of [B, T, H, K] has the block's first channel, of [B, T, G, K] the head's, of [B, T, H, V]
  /// too.
  __device__ int64_t place(const DiagonalCall& call) const {
    return ((b * call.T + first) * call.H + h) * call.K + channel();
  }
  __device__ int64_t sharedPlace(const DiagonalCall& call) const {
    return ((b * call.T + first) * call.G + h / (call.H / call.G)) * call.K;
  }
  __device__ int64_t valuePlace(const DiagonalCall& call) const {
    return ((b * call.T + first) * call.H + h) * call.V;
  }
};

/// What the block that follows reads at first.
__device__ void prefetchFollowing(const DiagonalGradientCall& task) {
  const DiagonalCall& call = task.call;
  const Block block(call, blocksAtOnce);
  if (!block.exists(call)) return;
  const int part = threadIdx.x / tileTokens, pitch = call.H * call.K, pitchV = call.H * call.V;
  if (part < 2)
    prefetchRow((part == 0 ? call.q : call.k) + block.sharedPlace(call), call.G * call.K, block.channel(),
                call.K, block.length);
  else
    prefetchRow(call.g + block.place(call) - block.channel(), pitch, block.channel() + 32 * (part - 2),
                call.K, block.length);
  prefetchRow((part < 2 ? task.dO : task.v) + block.valuePlace(call), pitchV, part % 2 * 64, call.V,
              block.length);
  const unsigned char* const images = part < 2 ? task.states : task.adjoints;
  const int values = part % 2;
  if (images == nullptr || 64 * values >= call.V) return;
  const int64_t image = imageOffset(call.K, call.V, block.imageOf, values, block.keyBlock);
  asm volatile("prefetch.global.L2 [%0];" ::"l"(images + image + 128 * (threadIdx.x % tileTokens)));
}

/// 64 x 64 numbers as they lie in an image.
__device__ void fillImage(uint32_t to, const unsigned char* from) {
#pragma unroll
  for (int i = 0; i < Tile<64>::bytes; i += 16 * diagonalThreads)
    copyAsync16(to + i + 16 * threadIdx.x, from + i + 16 * threadIdx.x, true);
}

/// Adds S times D, element by element, to the sums of the thread's eight key channels.
__device__ void addEnds(float (&sum)[8], Tile<64> S, Tile<64> D) {
#pragma unroll
  for (int i = 0; i < 2; i++) {
    const int row = threadIdx.x / 8 + 32 * i, unit = threadIdx.x % 8;
    const uint4 s = loadShared16(S.address(row, unit)), d = loadShared16(D.address(row, unit));
    const uint32_t left[4] = {s.x, s.y, s.z, s.w}, right[4] = {d.x, d.y, d.z, d.w};
#pragma unroll
    for (int n = 0; n < 4; n++) {
      sum[2 * n] += lowHalf(left[n]) * lowHalf(right[n]);
      sum[2 * n + 1] += highHalf(left[n]) * highHalf(right[n]);
    }
  }
}

/// A warp's share of them.
__device__ void storeEnds(float (&sum)[8], float* ends) {
#pragma unroll
  for (int i = 0; i < 8; i++) {
    sum[i] += __shfl_xor_sync(~0u, sum[i], 8);
    sum[i] += __shfl_xor_sync(~0u, sum[i], 16);
  }
  const int lane = threadIdx.x & 31;
  if (lane >= 8) return;
#pragma unroll
  for (int i = 0; i < 8; i++) ends[(threadIdx.x >> 5) * KB + 8 * lane + i] = sum[i];
}

/// A warpgroup's sums: rows of tokens, 64 key channels.
struct GradientPlace {
  int lane, warp, row0, group, pairOf;
  bool ofQuery;

  __device__ GradientPlace()
      : lane(threadIdx.x & 31),
        warp(threadIdx.x >> 5 & 3),
        row0(subChunk * warp),
        group(lane >> 2),
        pairOf(2 * (lane & 3)),
        ofQuery(warpgroupNumber() == 0) {}
  __device__ int row(int h) const { return row0 + group + 8 * h; }
};

/// Adds up numbers, twice as many as `half`, over the lanes that have the same pairs of columns. In the end,
/// of 16 numbers lane group i has 2 i and 2 i + 1.
template <int half>
__device__ void sumOverGroups(float (&x)[16], int lane) {
  const bool upper = lane & (2 * half);
#pragma unroll
  for (int i = 0; i < half; i++) {
    const float given = upper ? x[i] : x[i + half], own = upper ? x[i + half] : x[i];
    x[i] = own + __shfl_xor_sync(~0u, given, 2 * half);
  }
  if constexpr (half > 2) sumOverGroups<half / 2>(x, lane);
}

/// What keys of the chunk's last document get from behind the chunk, times the keys, summed over a warp's
/// tokens: sum = D v.
__device__ void storeBehind(const Sums& sum, const Chunk& in, float* behind, const GradientPlace& at) {
  float sums[16] = {};
#pragma unroll
  for (int n = 0; n < 8; n++) {
    const int column = 8 * n + at.pairOf;
    const float2 end = in.c.pairAt(in.length - 1, column);
#pragma unroll
    for (int h = 0; h < 2; h++) {
      const int row = at.row(h);
      if (row >= in.length || documentEnd(in.starts, row, in.length) != in.length) continue;
      const float2 here = in.c.pairAt(row, column), k = loadPair(in.K, row, column);
      sums[2 * n] += k.x * exp2Decay(end.x - here.x) * sum[n][2 * h];
      sums[2 * n + 1] += k.y * exp2Decay(end.y - here.y) * sum[n][2 * h + 1];
    }
  }
  // Numbers 2 n and 2 n + 1 are columns 8 n + pairOf and the next.
  sumOverGroups<8>(sums, at.lane);
  float* const to = behind + at.warp * KB + 8 * at.group + at.pairOf;
  *reinterpret_cast<float2*>(to) = make_float2(sums[0], sums[1]);
}

/// What tokens of one document that decays mildly give each other, in products of the whole chunk: keys
/// scaled up from the chunk's start on for the queries, or queries from its end back for the keys. Both
/// factors in two bf16 terms: of the two gradients' roundings the decay's gradient is the difference.
/// `operands`: room for two tiles.
__device__ void addInsideMild(Sums& sum, Sums& scores, const Chunk& in, uint32_t operands, float scale,
                              const GradientPlace& at) {
  const Tile<64> high{operands}, low{operands + Tile<64>::bytes}, other = at.ofQuery ? in.K : in.Q;
  const int unit = threadIdx.x % 8;
  float end[8];
#pragma unroll
  for (int i = 0; i < 8; i++) end[i] = at.ofQuery ? 0.0f : in.c.at(tileTokens - 1, 8 * unit + i);
#pragma unroll
  for (int step = 0; step < 4; step++) {
    const int row = (threadIdx.x & 127) / 8 + 16 * step;
    const uint4 both = loadShared16(other.address(row, unit));
    const uint32_t values[4] = {both.x, both.y, both.z, both.w};
    uint32_t rounded[4], rest[4];
#pragma unroll
    for (int n = 0; n < 4; n++) {
      const float2 here = in.c.pairAt(row, 8 * unit + 2 * n);
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

/// Decays what the sums say, stores it as dq or dk and leaves q dq or k dk in `exchanged`; what is there
/// before is added if `isInside`.
__device__ void closeRows(Sums& sum, FloatTile<64> exchanged, bool isInside, const Chunk& in, float scale,
                          __nv_bfloat16* to, int pitch, int channels, const GradientPlace& at) {
#pragma unroll
  for (int h = 0; h < 2; h++) {
    const int row = at.row(h), last = documentEnd(in.starts, row, in.length) - 1;
    // Whether a state comes to this token from outside the chunk; selected, for it may be another document's.
    const bool meets = at.ofQuery ? (in.starts & ((2ull << row) - 1)) == 0 : last == in.length - 1;
#pragma unroll
    for (int n = 0; n < 8; n++) {
      const int column = 8 * n + at.pairOf;
      const float2 here = in.c.pairAt(row, column);
      float2 decay;
      if (at.ofQuery) {
        decay = make_float2(scale * exp2Decay(here.x), scale * exp2Decay(here.y));
      } else {
        const float2 end = in.c.pairAt(last, column);
        decay = make_float2(exp2Decay(end.x - here.x), exp2Decay(end.y - here.y));
      }
      float2 found =
          make_float2(meets ? decay.x * sum[n][2 * h] : 0.0f, meets ? decay.y * sum[n][2 * h + 1] : 0.0f);
      float2& place = exchanged.pairAt(row, column);
      if (isInside) {
        found.x += place.x;
        found.y += place.y;
      }
      sum[n][2 * h] = found.x;
      sum[n][2 * h + 1] = found.y;
      const float2 own = loadPair(at.ofQuery ? in.Q : in.K, row, column);
      place = row < in.length ? make_float2(own.x * found.x, own.y * found.y) : make_float2(0.0f, 0.0f);
    }
    // The quad's four lanes have two channels each of eight groups of eight: afterwards a lane has two
    // groups.
#pragma unroll
    for (int half = 0; half < 2; half++) {
      uint32_t packed[4];
#pragma unroll
      for (int n = 0; n < 4; n++) packed[n] = pack(sum[4 * half + n][2 * h], sum[4 * half + n][2 * h + 1]);
      transposeQuad(packed, at.lane);
      const int channel = 32 * half + 8 * (at.lane & 3);
      if (row < in.length && channel < channels)
        storeGlobal(to + static_cast<int64_t>(row) * pitch + channel, packed[0], packed[1], packed[2],
                    packed[3]);
    }
  }
}

/// dlog a_t = the sum of q_s dq_s - k_s dk_s from t to the document's end or the chunk's, there plus what
/// goes on behind it: `ends`, and what its last document's keys got from there. (In f32 the latter and its
/// share of the sum cancel; the state after the chunk in the place of both would not be rounded as they are.)
/// A thread has one channel of a sub-chunk. `opensSlice`: no state comes before the first token.
__device__ void storeDecayGradient(float* to, int pitch, int channels, const Chunk& in, unsigned char* shared,
                                   bool opensSlice) {
  using Layout = GradientLayout;
  const FloatTile<64> ofQueries{reinterpret_cast<float*>(shared + Layout::exchanged)};
  const FloatTile<64> ofKeys{ofQueries.base + FloatTile<64>::bytes / 4};
  float* const leading = reinterpret_cast<float*>(shared + Layout::totals);
  const float* const behind = reinterpret_cast<const float*>(shared + Layout::behind);
  const float* const ends = reinterpret_cast<const float*>(shared + Layout::ends);
  const int column = threadIdx.x % KB, part = threadIdx.x / KB, row0 = part * subChunk;
  const unsigned opened = static_cast<unsigned>(in.starts >> row0 & 0xffff);

  float sums[subChunk], sum = 0.0f;
#pragma unroll
  for (int i = subChunk - 1; i >= 0; i--) {
    if (i + 1 < subChunk && (opened >> (i + 1) & 1)) sum = 0.0f;
    sum += ofQueries.at(row0 + i, column) - ofKeys.at(row0 + i, column);
    sums[i] = sum;
  }
  leading[part * KB + column] = opened & 1 ? 0.0f : sum;
  __syncthreads();

  float following = 0.0f, meeting = 0.0f;
#pragma unroll
  for (int warp = 0; warp < 4; warp++) following += behind[warp * KB + column];
#pragma unroll
  for (int warp = 0; warp < 8; warp++) meeting += ends[warp * KB + column];
  following += exp2Decay(in.c.at(tileTokens - 1, column)) * meeting;
#pragma unroll
  for (int other = subChunks - 1; other > 0; other--) {
    if (other <= part) break;
    const bool goesOn = (in.starts >> (other * subChunk) & 0xffff) == 0;
    following = leading[other * KB + column] + (goesOn ? following : 0.0f);
  }
  if (column >= channels) return;
#pragma unroll
  for (int i = subChunk - 1; i >= 0; i--) {
    const int row = row0 + i;
    if (i + 1 < subChunk && (opened >> (i + 1) & 1)) following = 0.0f;
    const bool meetsNothing = (opened >> i & 1) || (opensSlice && row == 0);
    if (row < in.length)
      to[static_cast<int64_t>(row) * pitch + column] = meetsNothing ? 0.0f : sums[i] + following;
  }
}

__global__ void __launch_bounds__(diagonalThreads, 2)
    gradientKernel(const __grid_constant__ DiagonalGradientCall task) {
  using Layout = GradientLayout;
  const DiagonalCall& call = task.call;
  extern __shared__ __align__(1024) unsigned char shared[];
  const uint32_t base = sharedAddress(shared);
  const Block block(call, 0);
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

  prefetchFollowing(task);

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
  if (error != cudaSuccess) return error;
  const DiagonalCall& call = task.call;
  const int64_t blocks = (call.T + tileTokens - 1) / tileTokens * ((call.K + KB - 1) / KB);
  const dim3 grid(static_cast<unsigned>(blocks), static_cast<unsigned>(call.B * call.H));
  gradientKernel<<<grid, diagonalThreads, bytes, stream>>>(launched);
  return cudaGetLastError();
}

}  // namespace longscan
