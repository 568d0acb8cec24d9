#pragma once

#include "cuda_sweep_parts.cuh"

namespace longscan {

/// Shared memory of a sweep: two stages of inputs, the scores of the current chunk, and a copy for each warp
/// of its log decays.
template <int DC, int DO, SweepDecay kind, bool summary>
struct SweepLayout {
  static constexpr bool scalar = kind == SweepDecay::scalar;
  static constexpr int Y = Tile<DO>::bytes;
  static constexpr int X = Y + Tile<DC>::bytes;
  static constexpr int scores = X + (summary ? 0 : Tile<DC>::bytes);
  static constexpr int decays = scores + (kind == SweepDecay::contracted && !summary ? Tile<64>::bytes : 0);
  static constexpr int stage = decays + 4 * (scalar ? 64 : kind == SweepDecay::free ? DO : DC);
  static constexpr int sharedScores = 2 * stage;
  static constexpr int sums = sharedScores + (scalar && !summary ? Tile<64>::bytes : 0);
  static constexpr int bytes = sums + (scalar ? 4 * 64 * 4 : 0);
};

/// One block: a segment of a head, and DO of its free channels.
template <int DC, int DO, SweepDecay kind, bool summary>
class Sweep {
  static constexpr bool scalar = kind == SweepDecay::scalar;
  static constexpr int MT = DO / 64;
  using Layout = SweepLayout<DC, DO, kind, summary>;

  const SweepCall& call;
  const SweepTask& task;
  unsigned char* const shared;
  const uint32_t base;
  const Lane at;
  int tiles, tile, segment, b, h, numChunks, pitchC, pitchO, keys;
  int64_t bh, headC, headO;
  SweepState<DC, DO> state;

 public:
  __device__ Sweep(const SweepCall& call, unsigned char* shared)
      : call(call), task(call.tasks[blockIdx.y]), shared(shared), base(sharedAddress(shared)) {
    tiles = freeTiles(call.contracted, call.free);
    tile = blockIdx.x % tiles;
    segment = blockIdx.x / tiles % call.numSegments;
    bh = blockIdx.x / tiles / call.numSegments;
    b = static_cast<int>(bh / call.H);
    h = static_cast<int>(bh % call.H);
    numChunks = static_cast<int>((call.T + chunkTokens - 1) / chunkTokens);
    pitchC = call.H * call.contracted;
    pitchO = call.H * call.free;
    headC = b * call.T * pitchC + h * call.contracted;
    headO = b * call.T * pitchO + h * call.free + tile * DO;
    keys = task.freeIsKey ? call.free : call.contracted;
  }

  __device__ void run() {
    enter();
    const int begin = segment * call.chunksPerSegment, end = min(begin + call.chunksPerSegment, numChunks);
    PieceWalk walk(call.resets ? call.resets + b * call.T : nullptr, call.T, begin, end, task.backward);
    SegmentFactor factor;
    int stage = 0;
    fill(walk.piece(), 0);
    while (!walk.done()) {
      const Piece piece = walk.piece();
      waitForCopies<0>();
      __syncthreads();
      walk.advance();
      if (!walk.done()) fill(walk.piece(), stage ^ 1);
      advance(piece, stage, factor);
      stage ^= 1;
    }
    leave(factor);
  }

 private:
  /// A summary's M: of a scalar its log2, else that of channels threadIdx.x and threadIdx.x + 128.
  struct SegmentFactor {
    float log2 = 0.0f, channel[2] = {1.0f, 1.0f};
    bool reset = false;
  };

  __device__ Tile<DO> Z(int stage) const { return {base + stage * Layout::stage}; }
  __device__ Tile<DC> Y(int stage) const { return {base + stage * Layout::stage + Layout::Y}; }
  __device__ Tile<DC> X(int stage) const { return {base + stage * Layout::stage + Layout::X}; }
  __device__ Tile<64> scores(int stage) const {
    return {base + (scalar ? Layout::sharedScores : stage * Layout::stage + Layout::scores)};
  }
  __device__ float* decays(int stage) const {
    return reinterpret_cast<float*>(shared + stage * Layout::stage + Layout::decays);
  }
  __device__ int warpChannel() const { return 16 * MT * at.warp; }
  __device__ int64_t chunkOf(const Piece& piece) const { return bh * numChunks + piece.chunk; }

  /// visit(element, whether it exists, its place in a stored state)
  template <typename Visit>
  __device__ void eachStored(Visit&& visit) {
    const int rowStride = task.freeIsKey ? 1 : keys, columnStride = task.freeIsKey ? keys : 1;
    const int first = tile * DO + warpChannel();
    state.each(at, [&](float& value, int row, int column) {
      visit(value, first + row < call.free && column < call.contracted,
            (first + row) * rowStride + column * columnStride);
    });
  }

  __device__ int64_t stateSize() const { return static_cast<int64_t>(call.contracted) * call.free; }

  __device__ void enter() {
    if (summary) return state.clear();
    const float* from = task.states + (bh * call.numSegments + segment) * stateSize();
    eachStored([&](float& value, bool exists, int place) { value = exists ? from[place] : 0.0f; });
  }

  __device__ void fill(const Piece& piece, int stage) {
    const TileRows rows{static_cast<int64_t>(piece.chunk) * chunkTokens, piece.low, piece.high,
                        task.backward};
    if constexpr (!summary)
      fillTile<DC, sweepThreads>(X(stage), task.x + headC, pitchC, 0, call.contracted, rows);
    fillTile<DC, sweepThreads>(Y(stage), task.y + headC, pitchC, 0, call.contracted, rows);
    fillTile<DO, sweepThreads>(Z(stage), task.z + headO, pitchO, 0, call.free - tile * DO, rows);
    if constexpr (!summary && kind != SweepDecay::contracted)
      if (task.keptForward != nullptr && piece.opensChunk) {
        // Read straight to registers, a chunk later: from the L2 cache by then.
        const uint4* from = task.keptForward + keptUnit(piece) - threadIdx.x;
        constexpr int lines = SweepState<DC, DO>::keptUnits * sweepThreads * 16 / 128;
        for (int line = threadIdx.x; line < lines; line += sweepThreads)
          asm volatile("prefetch.global.L2 [%0];" ::"l"(from + 8 * line));
      }
    const uint32_t to = sharedAddress(decays(stage));
    if constexpr (scalar && !summary) {
      // The partner is read straight to registers, a chunk later: from the L2 cache by then.
      const int offset = rows.offsetOf(threadIdx.x / 2), channel = 64 * (threadIdx.x % 2);
      if (task.partner != nullptr && rows.has(offset) && channel < min(DO, call.free - tile * DO))
        asm volatile("prefetch.global.L2 [%0];" ::"l"(task.partner + headO + (rows.first + offset) * pitchO +
                                                      channel));
    }
    if constexpr (scalar) {
      if (call.gatePerToken && threadIdx.x < 64) {
        const int offset = rows.offsetOf(threadIdx.x);
        copyAsync4(to + 4 * threadIdx.x, call.g + (b * call.T + rows.first + offset) * call.H + h,
                   rows.has(offset));
      }
    } else {
      constexpr int count = kind == SweepDecay::free ? DO : DC;
      const int first = (kind == SweepDecay::free ? tile * DO : 0) + 4 * threadIdx.x;
      if (threadIdx.x < count / 4)
        copyAsync16(to + 16 * threadIdx.x, task.gamma + chunkOf(piece) * keys + first, first < keys);
      if constexpr (kind == SweepDecay::contracted && !summary) {
        const __nv_bfloat16* from = task.scores + chunkOf(piece) * (64 * 64);
#pragma unroll 1
        for (int i = threadIdx.x; i < 64 * 8; i += sweepThreads)
          copyAsync16(scores(stage).address(i / 8, i % 8), from + i * 8, true);
      }
    }
    commitCopies();
  }

  __device__ RowDecays rowDecays(const Piece& piece, int stage) {
    float* const sums = reinterpret_cast<float*>(shared + Layout::sums) + 64 * at.warp;
    if (!scalar || call.g == nullptr) return {sums, 0.0f, false};
    if (call.gatePerToken) return sumLogDecays(decays(stage), sums, task.backward, at.lane);
    const float gate = call.g[h];
    for (int row = at.lane; row < 64; row += 32) {
      const int offset = task.backward ? 63 - row : row;
      sums[row] = offset >= piece.low && offset < piece.high ? gate : 0.0f;
    }
    __syncwarp();
    return sumLogDecays(sums, sums, task.backward, at.lane);
  }

  __device__ void advance(const Piece& piece, int stage, SegmentFactor& factor) {
    if (piece.fresh && !task.backward) state.clear();
    if (!summary && task.keptForward != nullptr && piece.opensChunk && isKept(piece)) {
      const int channel = tile * DO + warpChannel();
      state.multiplyKept(task.keptForward + keptUnit(piece), task.ends + keptAt(piece) * call.free + channel,
                         call.free - channel, at);
    }
    const RowDecays rows = rowDecays(piece, stage);
    if constexpr (!summary) {
      if constexpr (scalar) {
        computeScores(X(stage), Y(stage), scores(stage), rows, at);
        __syncthreads();
      }
#pragma unroll 1
      for (int half = 0; half < 2; half++) {
        uint4 partner[4];
        if constexpr (scalar) loadPartner(partner, piece, half);
        float out[2][2 * MT][4] = {};
        computeOutput<DC, DO, kind != SweepDecay::free>(out, state, X(stage), Z(stage), scores(stage), rows,
                                                        half, at);
        storeRows(out, half, piece, partner);
      }
    }
    decay(piece, stage, rows, factor);
    addTokens<DC, DO, scalar && summary>(state, Y(stage), Z(stage), rows, at);
    if (piece.fresh && task.backward) state.clear();
    if (!summary && task.kept != nullptr && piece.closesChunk && isKept(piece))
      state.keep(task.kept + keptUnit(piece));
  }

  __device__ bool isKept(const Piece& piece) const {
    return (piece.chunk + 1) % call.keptEvery == 0 || piece.chunk + 1 == numChunks;
  }
  __device__ int64_t keptAt(const Piece& piece) const {
    return bh * ((numChunks + call.keptEvery - 1) / call.keptEvery) + piece.chunk / call.keptEvery;
  }
  __device__ int64_t keptUnit(const Piece& piece) const {
    return (keptAt(piece) * tiles + tile) * SweepState<DC, DO>::keptUnits * sweepThreads + threadIdx.x;
  }

  /// P = gamma P.
  __device__ void decay(const Piece& piece, int stage, const RowDecays& rows, SegmentFactor& factor) {
    factor.reset = factor.reset || piece.fresh;
    if constexpr (scalar) {
      if (!rows.any) return;
      factor.log2 += rows.total;
      const float gamma = exp2Approx(rows.total);
      state.each(at, [&](float& value, int, int) { value *= gamma; });
    } else {
      // `gamma` is that of the chunk's first piece. One with a document start meets no older state.
      if (piece.fresh) return;
      const float* gamma = decays(stage);
      if constexpr (summary) {
        factor.channel[0] *= threadIdx.x < DC ? gamma[threadIdx.x] : 1.0f;
        if (DC == 256) factor.channel[1] *= gamma[threadIdx.x + 128];
      }
      state.each(at, [&](float& value, int row, int column) {
        value *= gamma[kind == SweepDecay::free ? warpChannel() + row : column];
      });
    }
  }

  /// The partner's rows 32 half + 8 i + group, eight channels a lane; asked for before the products hide the
  /// wait.
  __device__ void loadPartner(uint4 (&to)[4], const Piece& piece, int half) const {
    const Rows rows(*this, piece, half);
    const int channel = 8 * (at.lane & 3);
    const bool exists =
        task.partner != nullptr && channel < 16 * MT && channel < call.free - tile * DO - warpChannel();
    const __nv_bfloat16* from = task.partner + rows.place + channel;
#pragma unroll
    for (int i = 0; i < 4; i++) to[i] = loadEarly(from + i * rows.step, exists && rows.has(i));
  }

  /// Rows 32 half + 8 i + group of a chunk, i < 4: which are there, and where the warp's channels of them
  /// lie.
  struct Rows {
    int offset, direction, low, high;
    int64_t place, step;

    __device__ Rows(const Sweep& sweep, const Piece& piece, int half) : low(piece.low), high(piece.high) {
      const int row = 32 * half + sweep.at.group;
      direction = sweep.task.backward ? -8 : 8;
      offset = sweep.task.backward ? 63 - row : row;
      place = sweep.headO + (static_cast<int64_t>(piece.chunk) * chunkTokens + offset) * sweep.pitchO +
              sweep.warpChannel();
      step = static_cast<int64_t>(direction) * sweep.pitchO;
    }
    __device__ bool has(int i) const {
      return static_cast<unsigned>(offset + direction * i - low) < static_cast<unsigned>(high - low);
    }
  };

  __device__ void storeRows(const float (&out)[2][2 * MT][4], int half, const Piece& piece,
                            const uint4 (&partner)[4]) {
    const Rows rows(*this, piece, half);
    const int rest = call.free - tile * DO - warpChannel();
#pragma unroll
    for (int i = 0; i < 4; i++) {
      const float(&row)[2 * MT][4] = out[i / 2];
      const int first = 2 * (i % 2);
      if constexpr (kind == SweepDecay::free) {
        float* to = static_cast<float*>(task.out) + rows.place + i * rows.step + at.pairOf;
#pragma unroll
        for (int n = 0; n < 2 * MT; n++)
          if (rows.has(i) && 8 * n < rest)
            *reinterpret_cast<float2*>(to + 8 * n) = make_float2(row[n][first], row[n][first + 1]);
      } else {
        const float scale = scalar ? call.scale : 1.0f;
        if constexpr (scalar)
          if (task.partner != nullptr) storeDot(row, first, scale, piece, rows, i, partner[i]);
        // The quad's four lanes have two channels each of four groups of eight: afterwards a lane has one
        // group.
        uint32_t packed[4] = {};
#pragma unroll
        for (int n = 0; n < 2 * MT; n++) packed[n] = pack(scale * row[n][first], scale * row[n][first + 1]);
        transposeQuad(packed, at.lane);
        const int channel = 8 * (at.lane & 3);
        if (rows.has(i) && channel < 16 * MT && channel < rest)
          *reinterpret_cast<uint4*>(static_cast<__nv_bfloat16*>(task.out) + rows.place + i * rows.step +
                                    channel) = make_uint4(packed[0], packed[1], packed[2], packed[3]);
      }
    }
  }

  /// The warp's share of out . partner.
  __device__ void storeDot(const float (&row)[2 * MT][4], int first, float scale, const Piece& piece,
                           const Rows& rows, int i, const uint4& other) {
    uint32_t partner[4] = {other.x, other.y, other.z, other.w};
    transposeQuad(partner, at.lane);
    float dot = 0.0f;
#pragma unroll
    for (int n = 0; n < 2 * MT; n++)
      dot += row[n][first] * lowHalf(partner[n]) + row[n][first + 1] * highHalf(partner[n]);
    dot += __shfl_xor_sync(~0u, dot, 1);
    dot += __shfl_xor_sync(~0u, dot, 2);
    const int64_t token = static_cast<int64_t>(piece.chunk) * chunkTokens + rows.offset + i * rows.direction;
    if (rows.has(i) && at.pairOf == 0)
      task.dots[(bh * call.T + token) * (4 * tiles) + 4 * tile + at.warp] = scale * dot;
  }

  __device__ void leave(const SegmentFactor& factor) {
    if constexpr (summary) {
      const int64_t place = bh * call.numSegments + segment;
      float* to = task.last + place * stateSize();
      eachStored([&](float& value, bool exists, int inside) {
        if (exists) to[inside] = value;
      });
      if (tile != 0) return;
      if (threadIdx.x == 0) task.reset[place] = factor.reset;
      if (scalar && threadIdx.x == 0) task.factor[place] = exp2Approx(factor.log2);
      if (!scalar && threadIdx.x < keys) task.factor[place * keys + threadIdx.x] = factor.channel[0];
      if (!scalar && threadIdx.x + 128 < keys)
        task.factor[place * keys + threadIdx.x + 128] = factor.channel[1];
    } else {
      if (task.last == nullptr || segment != (task.backward ? 0 : call.numSegments - 1)) return;
      float* to = task.last + bh * stateSize();
      eachStored([&](float& value, bool exists, int inside) {
        if (exists) to[inside] = value * task.lastScale;
      });
    }
  }
};

/// With `summary`, only what each segment makes of a zero state, from y and z: E, M and whether a document
/// starts in it.
template <int DC, int DO, SweepDecay kind, bool summary>
__global__ void __launch_bounds__(sweepThreads, DC == 256 ? 1 : 2)
    sweepKernel(const __grid_constant__ SweepCall call) {
  extern __shared__ __align__(128) unsigned char shared[];
  Sweep<DC, DO, kind, summary>(call, shared).run();
}

template <int DC, int DO, SweepDecay kind, bool summary>
cudaError_t launchSweepKernel(const SweepCall& call, cudaStream_t stream) {
  constexpr int bytes = SweepLayout<DC, DO, kind, summary>::bytes;
  const auto kernel = sweepKernel<DC, DO, kind, summary>;
  cudaError_t error = cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, bytes);
  if (error == cudaSuccess)
    error = cudaFuncSetAttribute(kernel, cudaFuncAttributePreferredSharedMemoryCarveout,
                                 cudaSharedmemCarveoutMaxShared);
  if (error != cudaSuccess) return error;
  const int64_t blocks = call.B * call.H * call.numSegments * freeTiles(call.contracted, call.free);
  kernel<<<dim3(static_cast<unsigned>(blocks), call.numTasks), sweepThreads, bytes, stream>>>(call);
  return cudaGetLastError();
}

template <SweepDecay kind, bool summary>
cudaError_t launchSweepBySize(const SweepCall& call, cudaStream_t stream) {
  const bool wide = freeTile(call.contracted, call.free) == 128;
  switch (paddedChannels(call.contracted)) {
    case 64:
      return wide ? launchSweepKernel<64, 128, kind, summary>(call, stream)
                  : launchSweepKernel<64, 64, kind, summary>(call, stream);
    case 128:
      return wide ? launchSweepKernel<128, 128, kind, summary>(call, stream)
                  : launchSweepKernel<128, 64, kind, summary>(call, stream);
    default:
      return launchSweepKernel<256, 64, kind, summary>(call, stream);
  }
}

}  // namespace longscan
