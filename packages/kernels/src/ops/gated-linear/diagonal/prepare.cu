#include "cuda/warpgroup_narrow.cuh"
#include "place.cuh"
#include "round.cuh"
#include "scores.cuh"

namespace longscan {

namespace {

/// Channels of queries, keys and gates that are worked on at a time.
constexpr int panel = 64;

/// Shared memory of a block: a panel's Q and K, what rounding takes off them when they are decayed, and its
/// gates. Other panels wait: that several blocks share a multiprocessor hides more than a second panel here
/// would.
struct PrepareLayout {
  static constexpr int tile = Tile<panel>::bytes;
  static constexpr int rest = 2 * tile, gates = 4 * tile;
  static constexpr int totals = gates + FloatTile<panel>::bytes;
  static constexpr int masks = totals + 4 * subChunks * panel;
  static constexpr int itself = masks + 16;  // of a bonus: each token's score with itself
  static constexpr int bytes(bool bonus) { return itself + (bonus ? 4 * tileTokens : 0); }
};

/// Where the scores of one chunk go, [key][query], and what rounding takes off them, or null.
template <bool bonus>
struct Scores {
  __nv_bfloat16 *to, *rest;
  const float* itself;  // of a bonus: each token's with itself

  /// A warp's. All its lanes together.
  __device__ void store(const OwnScores& own, uint64_t starts, int row0, int part, int lane) const {
    if (starts == 0)
      storeOf<false>(own, starts, row0, part, lane);
    else
      storeOf<true>(own, starts, row0, part, lane);
  }

 private:
  /// Selected, for in another document's row of zeros the keys of this one may be NaN. `cut`: whether
  /// documents start in the chunk.
  template <bool cut>
  __device__ void storeOf(const OwnScores& own, uint64_t starts, int row0, int part, int lane) const {
    const int group = lane >> 2, pairOf = 2 * (lane & 3);
    const int place = (8 * part + group) * 64 + row0 + pairOf;
#pragma unroll
    for (int n = 0; n < 4; n++)
#pragma unroll
      for (int i = 0; i < 2; i++) {
        const int row = row0 + group + 8 * i, column = 16 * n + 8 * part + pairOf;
        const bool near = column <= row && (!cut || sameDocument(starts, column, row));
        const bool far = column < row && (!cut || sameDocument(starts, column + 1, row));
        const auto score = [&](int key, float ofOthers) {
          return bonus && key == row ? itself[row] : ofOthers;
        };
        storeTile(place + 16 * 64 * n + 8 * i, near ? score(column, own[n][2 * i]) : 0.0f,
                  far ? score(column + 1, own[n][2 * i + 1]) : 0.0f);
      }
  }

  /// Those of 8 queries with 8 keys, as products leave them, to `place` and the next.
  __device__ void storeTile(int place, float near, float far) const {
    const uint32_t both = pack(near, far);
    *reinterpret_cast<uint32_t*>(to + place) = transposeMatrix(both);
    if (rest == nullptr) return;
    const uint32_t less = pack(near - lowHalf(both), far - highHalf(both));
    *reinterpret_cast<uint32_t*>(rest + place) = transposeMatrix(less);
  }
};

/// A panel of one chunk in shared memory.
struct Panel {
  Tile<panel> Q, K, restOfQ, restOfK;
  FloatTile<panel> c;
  int channel;
};

/// Adds what the panel's channels give each token's score with itself. `bonus`: the head's.
__device__ void addItself(float* itself, const float* bonus, float scale, const Panel& in, int K) {
  const int unit = threadIdx.x % 8, column = in.channel + 8 * unit;
  float weights[8] = {};
  if (column < K) {
    const float4 near = *reinterpret_cast<const float4*>(bonus + column);
    const float4 far = *reinterpret_cast<const float4*>(bonus + column + 4);
    weights[0] = near.x, weights[1] = near.y, weights[2] = near.z, weights[3] = near.w;
    weights[4] = far.x, weights[5] = far.y, weights[6] = far.z, weights[7] = far.w;
  }
#pragma unroll 1
  for (int row = threadIdx.x / 8; row < tileTokens; row += diagonalThreads / 8) {
    const uint4 query = loadShared16(in.Q.address(row, unit)), key = loadShared16(in.K.address(row, unit));
    const uint32_t queries[4] = {query.x, query.y, query.z, query.w}, keys[4] = {key.x, key.y, key.z, key.w};
    float sum = 0.0f;
#pragma unroll
    for (int n = 0; n < 4; n++) {
      sum += lowHalf(queries[n]) * lowHalf(keys[n]) * weights[2 * n];
      sum += highHalf(queries[n]) * highHalf(keys[n]) * weights[2 * n + 1];
    }
#pragma unroll
    for (int distance = 1; distance < 8; distance *= 2) sum += __shfl_xor_sync(~0u, sum, distance);
    if (unit == 0) itself[row] += scale * sum;
  }
}

/// Stores queries decayed since, and keys decayed up to the end of their piece; leaves in the panel, in two
/// terms, queries decayed since and keys scaled up from the start of their document in the chunk. In `masks`
/// one bit for each token that decays by more than 2^-96 since then.
template <bool bonus>
__device__ void decayPanel(const DiagonalCall& call, const Panel& in, uint64_t starts, int64_t place,
                           int pitch, int length, unsigned* masks) {
  const int unit = threadIdx.x % 8, column = in.channel + 8 * unit;
#pragma unroll 1
  for (int i = 0; i < 2; i++) {
    const int row = threadIdx.x / 8 + 32 * i;
    const int last = documentEnd(starts, row, length) - 1;
    const uint32_t at = in.Q.address(row, unit) - in.Q.base;
    const uint4 query = loadShared16(in.Q.base + at), key = loadShared16(in.K.base + at);
    const uint32_t queries[4] = {query.x, query.y, query.z, query.w}, keys[4] = {key.x, key.y, key.z, key.w};
    float q[8], up[8], down[8], here[8], end[8];
    loadEightOfRead<bonus>(q, in.c, starts, row, 8 * unit);
#pragma unroll
    for (int n = 0; n < 8; n++)
      q[n] = decayQuery(n % 2 == 0 ? lowHalf(queries[n / 2]) : highHalf(queries[n / 2]), call.scale, q[n]);
    in.c.loadEight(here, row, 8 * unit);
    in.c.loadEight(end, last, 8 * unit);
    bool steep = false;
#pragma unroll
    for (int n = 0; n < 8; n++) {
      const float ofKey = n % 2 == 0 ? lowHalf(keys[n / 2]) : highHalf(keys[n / 2]);
      up[n] = ofKey * exp2Decay(-here[n]);
      down[n] = ofKey * exp2Decay(end[n] - here[n]);
      steep = steep || !(here[n] >= -mostScaledUp);
    }
    if (steep) atomicOr(&masks[i], 1u << (row & 31));
    uint4 rounded, rest;
    const bool exists = row < length && column < call.K;
    const int64_t to = place + static_cast<int64_t>(row) * pitch + column;
    roundEight(q, rounded, rest);
    storeShared16(in.Q.base + at, rounded);
    storeShared16(in.restOfQ.base + at, rest);
    if (exists) storeEight(call.decayedQuery + to, rounded);
    if (exists && call.queryRest) storeEight(call.queryRest + to, rest);
    roundEight(up, rounded, rest);
    storeShared16(in.K.base + at, rounded);
    storeShared16(in.restOfK.base + at, rest);
    roundEight(down, rounded, rest);
    if (exists) storeEight(call.decayedKey + to, rounded);
    if (exists && call.keyRest) storeEight(call.keyRest + to, rest);
  }
}

/// Adds the products of the panel's queries and keys, of half of the keys for each warpgroup.
__device__ void addScores(OwnScores& sum, const Panel& in, int part) {
  publishToProducts();
  __syncthreads();
  beginProducts();
#pragma unroll
  for (int step = 0; step < 4; step++) {
    multiplyAlternate(sum, in.Q, in.K, step, part);
    multiplyAlternate(sum, in.restOfQ, in.K, step, part);
    multiplyAlternate(sum, in.Q, in.restOfK, step, part);
  }
  commitProducts();
  waitForProducts<0>();
}

#if __CUDA_ARCH__ >= 900
constexpr int prepareBlocks = 4;
#else
constexpr int prepareBlocks = 1;
#endif

template <bool bonus>
__global__ void __launch_bounds__(diagonalThreads, prepareBlocks)
    prepareKernel(const __grid_constant__ DiagonalCall call) {
  using Layout = PrepareLayout;
  extern __shared__ __align__(1024) unsigned char shared[];
  const uint32_t base = sharedAddress(shared);
  float* const totals = reinterpret_cast<float*>(shared + Layout::totals);
  unsigned* const masks = reinterpret_cast<unsigned*>(shared + Layout::masks);
  float* const itself = reinterpret_cast<float*>(shared + Layout::itself);

  const int lane = threadIdx.x & 31, part = warpgroupNumber();
  const ChunkPlace at(call, blockIdx.x);
  const int pitch = call.H * call.K, sharedPitch = call.G * call.K;
  const TileRows rows{0, 0, at.length, false};

  const auto panelOf = [&](int number) {
    return Panel{{base},
                 {base + Layout::tile},
                 {base + Layout::rest},
                 {base + Layout::rest + Layout::tile},
                 {reinterpret_cast<float*>(shared + Layout::gates)},
                 number * panel};
  };
  const auto fill = [&](int number) {
    const Panel to = panelOf(number);
    fillTile<panel, diagonalThreads>(to.Q, call.q + at.sharedPlace, sharedPitch, to.channel, call.K, rows);
    fillTile<panel, diagonalThreads>(to.K, call.k + at.sharedPlace, sharedPitch, to.channel, call.K, rows);
    fillGates<diagonalThreads>(to.c, call.g + at.place, pitch, to.channel, call.K, at.length);
    commitCopies();
  };
  if (threadIdx.x < 2) masks[threadIdx.x] = 0;
  if (bonus && threadIdx.x < tileTokens) itself[threadIdx.x] = 0.0f;
  const uint64_t starts = at.starts(call, lane);

  OwnScores scored;
  clear(scored);
#pragma unroll 1
  for (int number = 0; number * panel < call.K; number++) {
    const Panel in = panelOf(number);
    fill(number);
    waitForCopies<0>();
    __syncthreads();
    sumGates<diagonalThreads>(in.c, starts, totals);
    // The chunk's first piece is what a state passes through; if a document starts at once, nothing does.
    const int firstEnd = documentEnd(starts, 0, at.length);
    if (threadIdx.x < panel && in.channel + threadIdx.x < call.K)
      call.gamma[static_cast<int64_t>(at.ofAllHeads) * call.K + in.channel + threadIdx.x] =
          exp2Decay(in.c.at(firstEnd - 1, threadIdx.x));
    if (bonus) addItself(itself, call.bonus + at.h * call.K, call.scale, in, call.K);
    decayPanel<bonus>(call, in, starts, at.place, pitch, at.length, masks);
    addScores(scored, in, part);
    __syncthreads();
  }

  const int row0 = subChunk * __shfl_sync(~0u, static_cast<int>(threadIdx.x >> 5 & 3), 0);
  // Of both warpgroups alike: tokens for which keys cannot be scaled up that far.
  const auto steep = [&] { return masks[0] | static_cast<uint64_t>(masks[1]) << 32; };
  if (steep() != 0) {
    // Those of the other tokens wait where what rounding takes off is not needed any more.
    float4* const kept = reinterpret_cast<float4*>(shared + Layout::rest) + threadIdx.x;
#pragma unroll
    for (int n = 0; n < 4; n++)
      kept[n * diagonalThreads] = make_float4(scored[n][0], scored[n][1], scored[n][2], scored[n][3]);
    SteepScores<bonus> again(starts, row0, part, lane);
#pragma unroll 1
    for (int pass = 0; pass < 2; pass++) {
#pragma unroll 1
      for (int number = 0; number * panel < call.K; number++) {
        fill(number);
        waitForCopies<0>();
        __syncthreads();
        const Panel in = panelOf(number);
        sumGates<diagonalThreads>(in.c, starts, totals);
        if (pass == 0)
          again.look(in.c);
        else
          again.add(in.Q, in.K, in.c);
        __syncthreads();
      }
    }
#pragma unroll
    for (int n = 0; n < 4; n++) {
      const float4 own = kept[n * diagonalThreads];
      scored[n][0] = own.x;
      scored[n][1] = own.y;
      scored[n][2] = own.z;
      scored[n][3] = own.w;
    }
    again.replace(scored, steep(), call.scale);
  }
  __nv_bfloat16* const to = call.scores + static_cast<int64_t>(at.ofAllHeads) * (64 * 64);
  const int64_t allScores = int64_t{headChunksOf(call)} * (64 * 64);
  const Scores<bonus> scores{to, call.scoreTerms == 2 ? to + allScores : nullptr, itself};
  scores.store(scored, starts, row0, part, lane);
}

template <bool bonus>
cudaError_t launch(const DiagonalCall& call, cudaStream_t stream) {
  constexpr int bytes = PrepareLayout::bytes(bonus);
  const auto kernel = prepareKernel<bonus>;
  cudaError_t error = cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, bytes);
  if (error == cudaSuccess)
    error = cudaFuncSetAttribute(kernel, cudaFuncAttributePreferredSharedMemoryCarveout,
                                 cudaSharedmemCarveoutMaxShared);
  if (error != cudaSuccess) return error;
  kernel<<<headChunksOf(call), diagonalThreads, bytes, stream>>>(call);
  return cudaGetLastError();
}

}  // namespace

cudaError_t launchDiagonalPrepare(const DiagonalCall& call, cudaStream_t stream) {
  return call.bonus ? launch<true>(call, stream) : launch<false>(call, stream);
}

}  // namespace longscan
