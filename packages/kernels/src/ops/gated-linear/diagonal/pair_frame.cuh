#pragma once

#include "load.cuh"

// A block of threads of the gradient of a diagonal decay over pairs of chunks: where it works, and what it
// reads.

namespace longscan {

/// Threads that compute: a warpgroup for either gradient of either chunk. Behind them a warpgroup of which
/// one warp loads.
constexpr int pairThreads = 512;

/// f32 [64, 64] in shared memory; groups of eight of a row are exchanged by the row's number (xor), so that
/// rows of a fragment lie in different banks.
struct ExchangedFloats {
  static constexpr int bytes = 64 * 64 * 4;
  float* base;

  __device__ float& at(int row, int column) const { return base[row * 64 + (column ^ (row & 3) << 3)]; }
  __device__ float2& pairAt(int row, int column) const {
    return *reinterpret_cast<float2*>(&at(row, column));
  }
  /// Eight of a row, in two accesses.
  __device__ void loadEight(float (&to)[8], int row, int column) const {
    const float4* const from = reinterpret_cast<const float4*>(&at(row, column));
    const float4 near = from[0], far = from[1];
    const float both[8] = {near.x, near.y, near.z, near.w, far.x, far.y, far.z, far.w};
#pragma unroll
    for (int i = 0; i < 8; i++) to[i] = both[i];
  }
};

/// Shared memory. The third stage of values has what products inside the pair read, when all values have been
/// read, and then what is handed to the decay's gradient; the other two are filled with the next part's
/// values meanwhile.
struct PairLayout {
  static constexpr int tile = Tile<64>::bytes, floats = ExchangedFloats::bytes;
  static constexpr int gates = 4 * tile;  // of both chunks, behind Q and K of either
  static constexpr int values = gates + 2 * floats;
  static constexpr int stages = 3, stage = 6 * tile;  // 64 channels of dO and v of both chunks, of S and D
  static constexpr int terms = values + 2 * stage;    // of each of four sides two tiles
  static constexpr int changes = terms, totals = changes + 2 * floats, shares = totals + 4 * pairThreads,
                       ends = shares + 4 * 4 * 4 * KB;
  // Of the present part and of the next: decays of both chunks, where it is, and whether it is mild.
  static constexpr int gammas = terms + 8 * tile, places = gammas + 2 * 2 * 4 * KB, mild = places + 2 * 16;
  static constexpr int arrivals = mild + 16;
  static constexpr int bytes = arrivals + (2 * stages + 3) * static_cast<int>(sizeof(ArrivalBarrier));
  static_assert(ends + 2 * 4 * KB <= gammas, "there is room for all that is handed over");
};

/// Two chunks, 2 i and 2 i + 1, of one head and KB of its key channels. Parts that are worked on at a time
/// have all heads of some chunks: they read whole rows of memory.
struct PairPart {
  int channel, h, b, chunk;  // the earlier chunk

  __device__ explicit PairPart(const int4& place)
      : channel(place.x), h(place.y), b(place.z), chunk(place.w) {}
  __device__ int4 place() const { return make_int4(channel, h, b, chunk); }
  __device__ PairPart(const DiagonalCall& call, unsigned number) : b(0) {
    const unsigned keyBlocks = (call.K + KB - 1) / KB, heads = call.H;
    channel = static_cast<int>(number % keyBlocks) * KB;
    number /= keyBlocks;
    h = static_cast<int>(number % heads);
    int pair = static_cast<int>(number / heads);
    if (call.B > 1) {
      b = pair / pairsOf(call);
      pair -= b * pairsOf(call);
    }
    chunk = 2 * pair;
  }
  __host__ __device__ static int pairsOf(const DiagonalCall& call) { return (Block::chunksOf(call) + 1) / 2; }
  __device__ int token(int which) const { return (chunk + which) * tileTokens; }
  __device__ int length(const DiagonalCall& call, int which) const {
    return static_cast<int>(min(static_cast<int64_t>(tileTokens), call.T - token(which)));
  }
  /// The earlier chunk's number among those of all heads.
  __device__ int64_t imageOf(const DiagonalCall& call) const {
    return (static_cast<int64_t>(b) * call.H + h) * Block::chunksOf(call) + chunk;
  }
  /// Whether both chunks are there, and no document starts in them. All lanes of a warp together.
  __device__ bool passesOn(const DiagonalCall& call, int lane) const {
    if (chunk + 1 >= Block::chunksOf(call)) return false;
    if (call.resets == nullptr) return true;
    uint64_t starts = 0;
#pragma unroll
    for (int which = 0; which < 2; which++)
      starts |= documentStarts(call.resets + b * call.T, token(which), length(call, which), lane);
    return starts == 0;
  }
  /// Whether, besides, they decay mildly in the part's channels.
  __device__ bool isMild(const DiagonalCall& call, int lane) const {
    const int which = lane / 16, own = channel + lane % 16 * 4;
    bool mild = passesOn(call, lane);
    if (mild && own < call.K) {
      const float4 gamma =
          *reinterpret_cast<const float4*>(call.gamma + (imageOf(call) + which) * call.K + own);
      mild = gamma.x >= mildestSteep && gamma.y >= mildestSteep && gamma.z >= mildestSteep &&
             gamma.w >= mildestSteep;
    }
    return __all_sync(~0u, mild);
  }
  /// Where a chunk's row 0 of [B, T, H, K] has the part's first channel.
  __device__ int64_t place(const DiagonalCall& call, int which) const {
    return ((b * call.T + token(which)) * call.H + h) * call.K + channel;
  }
};

/// A warpgroup's side of a pair: which gradient of which chunk it makes, of which a warp has 16 tokens.
struct PairSide {
  int lane, warp, row0, group, pairOf;
  int number;  // of the warpgroup
  bool ofQuery;
  int which;  // of the two chunks

  __device__ PairSide()
      : lane(threadIdx.x & 31),
        warp(threadIdx.x >> 5 & 3),
        row0(subChunk * warp),
        group(lane >> 2),
        pairOf(2 * (lane & 3)),
        number(warpgroupNumber()),
        ofQuery((number & 1) == 0),
        which(number >> 1) {}
  __device__ int row(int h) const { return row0 + group + 8 * h; }
  __device__ int column(int n) const { return 8 * n + pairOf; }
  /// Exponent of the decay from the chunk's start, or up to its end.
  __device__ float exponent(float here, float end) const { return ofQuery ? here : end - here; }
};

/// What announces that parts of shared memory are filled, and may be filled again.
class PairArrivals {
  using Layout = PairLayout;
  ArrivalBarrier* const arrivals;

 public:
  const int steps;  // of 64 values

  __device__ PairArrivals(unsigned char* shared, int values)
      : arrivals(reinterpret_cast<ArrivalBarrier*>(shared + Layout::arrivals)), steps((values + 63) / 64) {}

  __device__ void init() const {
    for (int stage = 0; stage < Layout::stages; stage++) {
      filled(stage).init(1);
      emptied(stage).init(warps);
    }
    rowsFilled().init(1 + 32);
    closed().init(warps);
    handedOver().init(warps);
    publishBarriers();
  }
  __device__ ArrivalBarrier& filled(int stage) const { return arrivals[stage]; }
  __device__ ArrivalBarrier& emptied(int stage) const { return arrivals[Layout::stages + stage]; }
  /// Queries, keys and gates, and what is said of the part.
  __device__ ArrivalBarrier& rowsFilled() const { return arrivals[2 * Layout::stages]; }
  /// Gates are not needed any more, and dq and dk are in the place of Q and K.
  __device__ ArrivalBarrier& closed() const { return arrivals[2 * Layout::stages + 1]; }
  /// The third stage is free again.
  __device__ ArrivalBarrier& handedOver() const { return arrivals[2 * Layout::stages + 2]; }
  /// How often a stage had been filled before `step` of a block's part `round`.
  __device__ int fills(int round, int step, int stage) const {
    return round * ((steps - stage + Layout::stages - 1) / Layout::stages) + step / Layout::stages;
  }

 private:
  static constexpr int warps = pairThreads / 32 * arrivalsOfWarp;
};

/// The warp that fills what parts read, and stores dq and dk.
class PairLoader {
  using Layout = PairLayout;
  const DiagonalGradientCall& task;
  const DiagonalCall& call;
  const GradientMaps& maps;
  unsigned char* const shared;
  const uint32_t base;
  const PairArrivals arrivals;
  const int lane = threadIdx.x & 31;

 public:
  __device__ PairLoader(const DiagonalGradientCall& task, const GradientMaps& maps, unsigned char* shared)
      : task(task),
        call(task.call),
        maps(maps),
        shared(shared),
        base(sharedAddress(shared)),
        arrivals(shared, task.call.V) {}

  __device__ void load(unsigned numParts) const {
    int round = 0;
    for (unsigned number = blockIdx.x; number < numParts; number += gridDim.x, round++) {
      const PairPart part(call, number);
      askValues(part, round, 0);
      askValues(part, round, 1);
      if (round > 0) {
        arrivals.closed().wait(round - 1);
        storeRows(round - 1);
      }
      fillRows(part, round);
      if (round > 0 && arrivals.steps > 2) arrivals.handedOver().wait(round - 1);
      for (int step = 2; step < arrivals.steps; step++) askValues(part, round, step);
    }
    arrivals.closed().wait(round - 1);
    storeRows(round - 1);
    if (lane == 0) waitUntilRunsAreRead();
  }

 private:
  __device__ Tile<64> tile(int stage, int which) const {
    return {base + Layout::values + stage * Layout::stage + which * Layout::tile};
  }

  __device__ void askValues(const PairPart& part, int round, int step) const {
    if (step >= arrivals.steps) return;
    const int stage = step % Layout::stages, fills = arrivals.fills(round, step, stage);
    if (fills > 0) arrivals.emptied(stage).wait(fills - 1);
    if (lane != 0) return;
    ArrivalBarrier& arrival = arrivals.filled(stage);
    arrival.arriveExpecting(Layout::stage);
    const int64_t image = part.imageOf(call), last = image + (part.chunk + 1 < Block::chunksOf(call));
#pragma unroll
    for (int which = 0; which < 2; which++) {
      copyBox(tile(stage, which).base, maps.dO, arrival, 64 * step, part.h, part.token(which), part.b);
      copyBox(tile(stage, 2 + which).base, maps.v, arrival, 64 * step, part.h, part.token(which), part.b);
    }
    copyRun(tile(stage, 4).base, imageOf(task.states, part, step, image), Layout::tile, arrival);
    copyRun(tile(stage, 5).base, imageOf(task.adjoints, part, step, last), Layout::tile, arrival);
  }

  __device__ const unsigned char* imageOf(const unsigned char* images, const PairPart& part, int step,
                                          int64_t image) const {
    return images + imageOffset(call.K, call.V, image, step, part.channel / KB);
  }

  /// dq and dk of a part before.
  __device__ void storeRows(int round) const {
    const int parity = round & 1;
    if (lane != 0 || !*reinterpret_cast<const int*>(shared + Layout::mild + 4 * parity)) return;
    const PairPart part(*reinterpret_cast<const int4*>(shared + Layout::places + 16 * parity));
#pragma unroll
    for (int which = 0; which < 2; which++) {
      storeBox(maps.dq, base + 2 * which * Layout::tile, part.channel, part.h, part.token(which), part.b);
      storeBox(maps.dk, base + (2 * which + 1) * Layout::tile, part.channel, part.h, part.token(which),
               part.b);
    }
    commitRuns();
  }

  /// Queries, keys, gates, decays of whole chunks, and where the part is.
  __device__ void fillRows(const PairPart& part, int round) const {
    const int parity = round & 1;
    copyGates(part, 0);
    copyGates(part, 1);
    arriveWhenCopied(arrivals.rowsFilled());
    const int which = lane / 16, own = part.channel + lane % 16 * 4;
    float4 gamma = make_float4(1.0f, 1.0f, 1.0f, 1.0f);
    bool mild = part.passesOn(call, lane);
    if (mild && own < call.K)
      gamma = *reinterpret_cast<const float4*>(call.gamma + (part.imageOf(call) + which) * call.K + own);
    mild = mild && gamma.x >= mildestSteep && gamma.y >= mildestSteep && gamma.z >= mildestSteep &&
           gamma.w >= mildestSteep;
    mild = __all_sync(~0u, mild);
    reinterpret_cast<float4*>(shared + Layout::gammas + parity * 2 * 4 * KB)[lane] = gamma;
    if (lane == 0) {
      *reinterpret_cast<int4*>(shared + Layout::places + 16 * parity) = part.place();
      *reinterpret_cast<int*>(shared + Layout::mild + 4 * parity) = mild;
      waitUntilRunsAreRead();
    }
    __syncwarp();
    if (lane != 0) return;
    ArrivalBarrier& arrival = arrivals.rowsFilled();
    arrival.arriveExpecting(4 * Layout::tile);
    const int group = call.G == call.H ? part.h : part.h / (call.H / call.G);
#pragma unroll
    for (int which = 0; which < 2; which++) {
      copyBox(base + 2 * which * Layout::tile, maps.q, arrival, part.channel, group, part.token(which),
              part.b);
      copyBox(base + (2 * which + 1) * Layout::tile, maps.k, arrival, part.channel, group, part.token(which),
              part.b);
    }
  }

  __device__ void copyGates(const PairPart& part, int which) const {
    const int row0 = lane / 16, column = lane % 16 * 4;
    const ExchangedFloats c{reinterpret_cast<float*>(shared + Layout::gates + which * Layout::floats)};
    const int pitch = call.H * call.K, length = part.length(call, which);
    const float* source = call.g + part.place(call, which) + static_cast<int64_t>(row0) * pitch + column;
    const bool inside = part.channel + column < call.K;
    const uint32_t even = sharedAddress(&c.at(row0, column)), odd = sharedAddress(&c.at(row0 + 2, column));
#pragma unroll 8
    for (int row = 0; row < tileTokens; row += 4) {
      copyAsync16(even + row * 64 * 4, source, inside && row0 + row < length);
      copyAsync16(odd + row * 64 * 4, source + 2 * pitch, inside && row0 + row + 2 < length);
      source += static_cast<int64_t>(4) * pitch;
    }
  }
};

}  // namespace longscan
