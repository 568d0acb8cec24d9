#pragma once

#include "cuda_sweep_parts.cuh"

namespace longscan {

/// Shared memory of a sweep: P in bf16 for its products, for each warp a copy of the log decays, and the
/// stages of inputs.
template <int DC, int DO, SweepDecay kind, bool summary>
struct SweepLayout {
  static constexpr bool scalar = kind == SweepDecay::scalar;
  static constexpr int panel = Tile<64>::bytes;
  static constexpr int sums = summary ? 0 : DO / 64 * DC / 64 * panel;
  static constexpr int stages = sums + (scalar ? DO / 16 * 64 * 4 : 0);
  // In a stage:
  static constexpr int Y = DO / 64 * panel;
  static constexpr int X = Y + DC / 64 * panel;
  static constexpr int scores = X + (summary ? 0 : DC / 64 * panel);
  static constexpr int decays = scores + (kind == SweepDecay::contracted && !summary ? 2 * panel : 0);
  static constexpr int numDecays = scalar ? 64 : kind == SweepDecay::free ? DO : DC;
  static constexpr int piece = decays + 4 * numDecays;
  static constexpr int stage = (piece + 8 + 1023) / 1024 * 1024;
  static_assert(stages % 1024 == 0, "tiles are aligned to 1024 bytes");

  static constexpr int bytes(int numStages) { return stages + numStages * stage; }
};

/// One block: a segment of a head, and DO of its free channels, 64 for each warpgroup. One more warp loads
/// what the others compute with, some chunks ahead.
template <int DC, int DO, SweepDecay kind, bool summary>
class Sweep {
  static constexpr bool scalar = kind == SweepDecay::scalar;
  static constexpr int threads = 2 * DO, allThreads = threads + 32, panels = DC / 64;
  using Layout = SweepLayout<DC, DO, kind, summary>;

  const SweepCall& call;
  const SweepTask& task;
  unsigned char* const shared;
  const uint32_t base;
  const Lane at;
  int tiles, tile, segment, b, h, numChunks, keys;
  int64_t bh;
  SweepState<DC> state;

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
    keys = task.freeIsKey ? call.free : call.contracted;
  }

  /// Threads of the kernel: those that compute, and the loading warp. To give registers to others takes a
  /// warpgroup.
  static constexpr bool givesRegisters = scalar && !summary && (DO == 128 || DC == 64);
  static constexpr int launched = threads + (givesRegisters ? 128 : 32);

  __device__ void run() {
    if (threadIdx.x >= threads) {
      if (givesRegisters) shrinkRegisters<DO == 128 ? 88 : 72>();
      if (threadIdx.x < allThreads) load();
    } else {
      if (givesRegisters) growRegisters<DO == 128 ? 208 : 184>();
      compute();
    }
  }

 private:
  /// A summary's M: of a scalar its log2, else that of channels threadIdx.x and threadIdx.x + threads.
  struct SegmentFactor {
    float log2 = 0.0f, channel[2] = {1.0f, 1.0f};
    bool reset = false;
  };

  __device__ Tile<64> tileAt(int stage, int part, int panel) const {
    return {base + Layout::stages + stage * Layout::stage + part + panel * Layout::panel};
  }
  __device__ Tile<64> Z(int stage) const { return tileAt(stage, 0, at.warpgroup); }
  __device__ Tile<64> Y(int stage, int panel) const { return tileAt(stage, Layout::Y, panel); }
  __device__ Tile<64> X(int stage, int panel) const { return tileAt(stage, Layout::X, panel); }
  __device__ Tile<64> scores(int stage, int term) const { return tileAt(stage, Layout::scores, term); }
  /// P's panel `panel` for products. The compiler is not to keep all addresses inside it in registers from
  /// chunk to chunk: it has none to spare.
  __device__ Tile<64> published(int panel) const {
    uint32_t first = base + (at.warpgroup * panels + panel) * Layout::panel;
    asm volatile("" : "+r"(first));
    return {first};
  }
  __device__ uint32_t decays(int stage) const {
    return base + Layout::stages + stage * Layout::stage + Layout::decays;
  }
  __device__ int2* pieceOf(int stage) const {
    return reinterpret_cast<int2*>(shared + Layout::stages + stage * Layout::stage + Layout::piece);
  }
  /// The warpgroup's first free channel, and how many there are from it on.
  __device__ int ownChannel() const { return tile * DO + 64 * at.warpgroup; }
  __device__ int ownChannels() const { return call.free - ownChannel(); }
  __device__ int64_t chunkOf(const Piece& piece) const { return bh * numChunks + piece.chunk; }
  /// Where the present head's first token lies in `rows`.
  __device__ int64_t headOf(const SweepRows& rows) const {
    const int head = rows.heads == call.H ? h : h / (call.H / rows.heads);
    return (b * call.T * rows.heads + head) * rows.channels;
  }
  __device__ static int pitchOf(const SweepRows& rows) { return rows.heads * rows.channels; }

  /// visit(element, whether it exists, its place in a stored state)
  template <typename Visit>
  __device__ void eachStored(Visit&& visit) {
    const int rowStride = task.freeIsKey ? 1 : keys, columnStride = task.freeIsKey ? keys : 1;
    const int first = ownChannel();
    state.each(at, [&](float& value, int row, int column) {
      visit(value, first + row < call.free && column < call.contracted,
            (first + row) * rowStride + column * columnStride);
    });
  }

  __device__ uint4* keptOf(uint4* kept, int chunk) const {
    return kept + ((bh * numChunks + chunk) * tiles + tile) * (SweepState<DC>::keptUnits * threads) +
           threadIdx.x;
  }

  /// P for the next products; and kept, if it is what `chunk` begins with (-1: it begins none).
  __device__ void publish(int chunk) const {
    Tile<64> to[panels];
#pragma unroll
    for (int p = 0; p < panels; p++) to[p] = published(p);
    state.publish(to, task.kept && chunk >= 0 ? keptOf(task.kept, chunk) : nullptr, threads, at);
  }

  __device__ void enter(int first) {
    if constexpr (summary) {
      state.clear();
    } else {
      const float* from = task.states + (bh * call.numSegments + segment) * call.stateStride;
      eachStored([&](float& value, bool exists, int place) { value = exists ? from[place] : 0.0f; });
      publish(first);
      joinWarpgroup();
    }
  }

  // Barriers 1 and 2 are the warpgroups' own.
  __device__ static int filled(int stage) {
    return 3 + stage;
  }
  __device__ static int emptied(int stage) {
    return 6 + stage;
  }
  __device__ int stageAfter(int stage) const {
    return stage + 1 == call.stages ? 0 : stage + 1;
  }
  __device__ int firstChunk() const {
    return segment * call.chunksPerSegment;
  }
  __device__ int endChunk() const {
    return min(firstChunk() + call.chunksPerSegment, numChunks);
  }

  /// Fills the stages in turn, in the end with a piece that says so. With three, one fill is under way while
  /// the next begins.
  __device__ void load() {
    PieceWalk walk(call.resets ? call.resets + b * call.T : nullptr, call.T, firstChunk(), endChunk(),
                   task.backward);
    const bool overlapped = call.stages == 3;
    int last = -1;
    for (int i = 0, stage = 0;; i++, last = stage, stage = stageAfter(stage)) {
      if (i >= call.stages) joinBarrier(emptied(stage), allThreads);
      const bool more = !walk.done();
      if (at.lane == 0) *pieceOf(stage) = more ? packPiece(walk.piece()) : make_int2(-1, 0);
      if (more) fill(walk.piece(), stage);
      commitCopies();
      if (overlapped && more)
        waitForCopies<1>();
      else
        waitForCopies<0>();
      publishToProducts();
      if (overlapped && last >= 0) announceAtBarrier(filled(last), allThreads);
      if (!overlapped || !more) announceAtBarrier(filled(stage), allThreads);
      if (!more) return;
      walk.advance();
    }
  }

  __device__ void compute() {
    SegmentFactor factor;
    int stage = 0;
    enter(task.backward ? endChunk() - 1 : firstChunk());
    Piece piece = nextPiece(stage);
    Sums products;
    if (scoresEarly) {
      startScores(products, stage);
      waitForProducts<0>();
    }
    while (piece.chunk >= 0) {
      if constexpr (summary) {
        summarize(piece, stage, factor);
        announceAtBarrier(emptied(stage), allThreads);
        stage = stageAfter(stage);
        piece = nextPiece(stage);
      } else {
        read(piece, stage, factor, products);
      }
    }
    leave(factor);
  }

  /// Waits for a stage to be filled.
  __device__ Piece nextPiece(int stage) const {
    joinBarrier(filled(stage), allThreads);
    return unpackPiece(*pieceOf(stage));
  }

  __device__ void joinWarpgroup() const {
    joinBarrier(1 + at.warpgroup, 128);
  }

  __device__ void fill(const Piece& piece, int stage) {
    const TileRows tokens{static_cast<int64_t>(piece.chunk) * chunkTokens, piece.low, piece.high,
                          task.backward};
    const int width = call.contracted;
    if constexpr (!summary)
      fillPanels<panels>(X(stage, 0).base, task.x.data + headOf(task.x), pitchOf(task.x), width, tokens);
    fillPanels<panels>(Y(stage, 0).base, task.y.data + headOf(task.y), pitchOf(task.y), width, tokens);
    fillPanels<DO / 64>(tileAt(stage, 0, 0).base, task.z.data + headOf(task.z) + tile * DO, pitchOf(task.z),
                        call.free - tile * DO, tokens);
    if constexpr (!summary && kind != SweepDecay::contracted) prefetch(piece, tokens);
    const uint32_t to = decays(stage);
    if constexpr (scalar) {
      if (call.gatePerToken)
#pragma unroll
        for (int row = at.lane; row < 64; row += 32) {
          const int offset = tokens.offsetOf(row);
          copyAsync4(to + 4 * row, call.g + (b * call.T + tokens.first + offset) * call.H + h,
                     tokens.has(offset));
        }
    } else {
      const float* from = task.gamma + chunkOf(piece) * keys;
      const int first = kind == SweepDecay::free ? tile * DO : 0;
      for (int i = 4 * at.lane; i < Layout::numDecays; i += 128)
        copyAsync16(to + 4 * i, from + first + i, first + i < keys);
      if constexpr (kind == SweepDecay::contracted && !summary) {
        const __nv_bfloat16* scored = task.scores + chunkOf(piece) * task.scoreTerms * (64 * 64);
#pragma unroll 8
        for (int i = at.lane; i < task.scoreTerms * 64 * 8; i += 32)
          copyAsync16(scores(stage, i / 512).address(i / 8 % 64, i % 8), scored + i * 8, true);
      }
    }
  }

  /// What is read straight to registers, a chunk or two later: from the L2 cache by then.
  __device__ void prefetch(const Piece& piece, const TileRows& tokens) const {
    if (task.keptForward != nullptr && piece.opensChunk) {
      const uint4* from = keptOf(const_cast<uint4*>(task.keptForward), piece.chunk) - threadIdx.x;
      constexpr int lines = SweepState<DC>::keptUnits * threads * 16 / 128;
#pragma unroll
      for (int line = at.lane; line < lines; line += 32)
        asm volatile("prefetch.global.L2 [%0];" ::"l"(from + 8 * line));
    }
    if (!scalar || task.partner.data == nullptr) return;
    constexpr int lines = DO / 64;  // of 64 channels, in a row
    const __nv_bfloat16* from =
        task.partner.data + headOf(task.partner) + tokens.first * pitchOf(task.partner);
#pragma unroll
    for (int i = at.lane; i < 64 * lines; i += 32) {
      const int offset = tokens.offsetOf(i / lines), channel = tile * DO + 64 * (i % lines);
      if (tokens.has(offset) && channel < call.free)
        asm volatile("prefetch.global.L2 [%0];" ::"l"(from + offset * pitchOf(task.partner) + channel));
    }
  }

  __device__ RowDecays rowDecays(const Piece& piece, int stage) const {
    const uint32_t sums = base + Layout::sums + 256 * (threadIdx.x >> 5);
    if (!scalar || call.g == nullptr) return {sums, 0.0f, false};
    if (call.gatePerToken) return sumLogDecays(decays(stage), sums, task.backward, at.lane);
    const float gate = call.g[h];
#pragma unroll
    for (int row = at.lane; row < 64; row += 32) {
      const int offset = task.backward ? 63 - row : row;
      storeShared(sums + 4 * row, offset >= piece.low && offset < piece.high ? gate : 0.0f);
    }
    __syncwarp();
    return sumLogDecays(sums, sums, task.backward, at.lane);
  }

  __device__ void summarize(const Piece& piece, int stage, SegmentFactor& factor) {
    const RowDecays rows = rowDecays(piece, stage);
    if (piece.fresh && !task.backward) state.clear();
    decay(piece, stage, rows, factor);
    MmaA z[4][scalar ? 2 : 1];
#pragma unroll
    for (int k = 0; k < 4; k++) loadDecayed(z[k], Z(stage), k, rows, at);
    beginProducts();
    addTokens(z, stage);
    waitForProducts<0>();
    if (piece.fresh && task.backward) state.clear();
  }

  /// Whether products are under way during the piece before: not where the state takes the registers for
  /// them.
  static constexpr bool scoresEarly = scalar && !summary && DC <= 128;

  /// products = x . y of all rows, in the background.
  __device__ void startScores(Sums& products, int stage) const {
    beginProducts();
    multiply<StoredB::rows, false>(products, X(stage, 0), 0, Y(stage, 0), 0);
#pragma unroll
    for (int k = 1; k < DC / 16; k++)
      multiply<StoredB::rows>(products, X(stage, k / 4), k % 4, Y(stage, k / 4), k % 4);
    commitProducts();
  }

  /// The output of one piece, and P after it. The next takes the places of `piece` and `stage`, and with
  /// `scoresEarly` of `products`, which need no state.
  __device__ void read(Piece& piece, int& stage, SegmentFactor& factor, Sums& products) {
    const Piece own = piece;
    if (own.fresh && !task.backward) forget();
    const RowDecays rows = rowDecays(own, stage);
    const bool meets = kind != SweepDecay::contracted && task.keptForward != nullptr && own.opensChunk;
    const uint4* const met = keptOf(const_cast<uint4*>(task.keptForward), own.chunk);

    Sums out;
    if (scalar && !scoresEarly) startScores(products, stage);
    beginProducts();
    multiply<StoredB::rows, false>(out, X(stage, 0), 0, published(0), 0);
#pragma unroll
    for (int k = 1; k < DC / 16; k++)
      multiply<StoredB::rows>(out, X(stage, k / 4), k % 4, published(k / 4), k % 4);
    commitProducts();

    MmaA z[4][1], within[4];
    if constexpr (scalar) {
      if (!scoresEarly) waitForProducts<1>();
      decayScores(products, rows, at);
#pragma unroll
      for (int k = 0; k < 4; k++) within[k] = operandA(products, k);
    }
    typename SweepState<DC>::Kept kept;
    if constexpr (kind != SweepDecay::contracted)
      if (meets) state.loadKept(kept, met, threads);
    Partner partner;
    if constexpr (scalar)
      if (task.partner.data != nullptr) loadPartner(partner, own);
    waitForProducts<0>();
    float2 meeting = make_float2(0.0f, 0.0f);
    if constexpr (kind != SweepDecay::contracted)
      if (meets) meeting = state.multiplyKept(kept, met, threads);
#pragma unroll
    for (int k = 0; k < 4; k++) loadDecayed(z[k], Z(stage), k, rows, at);
    decay(own, stage, rows, factor);
    if (rows.any) decayRows(out, rows);
    if constexpr (kind != SweepDecay::contracted)
      if (meets) storeEnd(own, stage, rows, meeting, out, partner);
    if constexpr (kind == SweepDecay::contracted)
      if (task.scoreTerms == 2) {
        beginProducts();
        addScored(out, stage, 1);
        waitForProducts<0>();
      }

    beginProducts();
    if constexpr (scalar) {
#pragma unroll
      for (int k = 0; k < 4; k++) multiply<StoredB::columns>(out, within[k], Z(stage), k);
    }
    if constexpr (kind == SweepDecay::contracted)
      addScored(out, stage, 0);
    else
      commitProducts();
    addTokens(z, stage);

    const int ownStage = stage;
    stage = stageAfter(stage);
    if (call.stages == 1) {
      waitForProducts<0>();
      announceAtBarrier(emptied(ownStage), allThreads);
    }
    piece = nextPiece(stage);
    if constexpr (scoresEarly) {
      // At the end of the walk, of rows that are not used.
      startScores(products, stage);
      waitForProducts<2>();
    } else {
      waitForProducts<1>();
    }
    storeRows(out, own, partner);
    waitForProducts<0>();
    if (call.stages > 1) announceAtBarrier(emptied(ownStage), allThreads);
    if (own.fresh && task.backward) state.clear();
    // The other warps of this warpgroup have read the P that is replaced.
    joinWarpgroup();
    // What P is before the next chunk of the segment.
    publish(own.closesChunk && !own.closesWalk ? own.chunk + (task.backward ? -1 : 1) : -1);
    joinWarpgroup();
  }

  __device__ void decayRows(Sums& out, const RowDecays& rows) const {
    const float upper = rows.upTo(at.row0 + at.group), lower = rows.upTo(at.row0 + at.group + 8);
#pragma unroll
    for (int n = 0; n < 8; n++) {
      out[n][0] *= upper;
      out[n][1] *= upper;
      out[n][2] *= lower;
      out[n][3] *= lower;
    }
  }

  /// P += sum_s (decay after s) z_s y_s^T, in the background; z as decayed already, P = gamma P is done.
  template <int terms>
  __device__ void addTokens(const MmaA (&z)[4][terms], int stage) {
#pragma unroll
    for (int k = 0; k < 4; k++)
#pragma unroll
      for (int term = 0; term < terms; term++)
#pragma unroll
        for (int p = 0; p < panels; p++) multiply<StoredB::columns>(state.P[p], z[k][term], Y(stage, p), k);
    commitProducts();
  }

  /// out += scores z, in the background.
  __device__ void addScored(Sums& out, int stage, int term) const {
#pragma unroll
    for (int k = 0; k < 4; k++) multiply<StoredB::columns>(out, scores(stage, term), k, Z(stage), k);
    commitProducts();
  }

  /// P = 0, for products too.
  __device__ void forget() {
    state.clear();
    joinWarpgroup();
    publish(-1);
    joinWarpgroup();
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
      const uint32_t gamma = decays(stage);
      if constexpr (summary) {
        if (threadIdx.x < DC) factor.channel[0] *= loadSharedFloat(gamma + 4 * threadIdx.x);
        if (DC > threads) factor.channel[1] *= loadSharedFloat(gamma + 4 * (threadIdx.x + threads));
      }
      if constexpr (kind == SweepDecay::free) {
        const uint32_t own = gamma + 4 * (64 * at.warpgroup + at.row0 + at.group);
        const float upper = loadSharedFloat(own), lower = loadSharedFloat(own + 32);
        state.eachPair([&](float& x, float& y, bool isLower, int) {
          x *= isLower ? lower : upper;
          y *= isLower ? lower : upper;
        });
      } else {
        float2 both;
        state.eachPair([&](float& x, float& y, bool isLower, int column) {
          if (!isLower) both = loadSharedFloat2(gamma + 4 * (column + at.pairOf));
          x *= both.x;
          y *= both.y;
        });
      }
    }
  }

  /// Of `partner`, rows row0 + group and + 8: 16-byte units lane % 4 and lane % 4 + 4 of the warpgroup's
  /// channels.
  using Partner = uint4[2][2];

  __device__ void loadPartner(Partner& to, const Piece& piece) const {
    const Rows rows(*this, piece);
#pragma unroll
    for (int i = 0; i < 2; i++)
#pragma unroll
      for (int half = 0; half < 2; half++) {
        const int channel = 32 * half + 8 * (at.lane & 3);
        const bool exists = rows.has(i) && channel < ownChannels();
        to[i][half] = loadEarly(task.partner.data + headOf(task.partner) +
                                    rows.token(i) * pitchOf(task.partner) + ownChannel() + channel,
                                exists);
      }
  }

  /// Rows row0 + group + 8 i of a chunk, i < 2: which are there, and which tokens they are.
  struct Rows {
    int offset, direction, low, high;
    int64_t first;

    __device__ Rows(const Sweep& sweep, const Piece& piece)
        : low(piece.low), high(piece.high), first(static_cast<int64_t>(piece.chunk) * chunkTokens) {
      const int row = sweep.at.row0 + sweep.at.group;
      direction = sweep.task.backward ? -8 : 8;
      offset = sweep.task.backward ? 63 - row : row;
    }
    __device__ bool has(int i) const {
      return static_cast<unsigned>(offset + direction * i - low) < static_cast<unsigned>(high - low);
    }
    __device__ int64_t token(int i) const { return first + offset + direction * i; }
  };

  /// This thread's share of row i of out . partner.
  __device__ float dot(const Sums& out, const Partner& partner, int i) const {
    float sum = 0.0f;
#pragma unroll
    for (int half = 0; half < 2; half++) {
      const uint4 own = partner[i][half];
      uint32_t other[4] = {own.x, own.y, own.z, own.w};
      transposeQuad(other, at.lane);
#pragma unroll
      for (int n = 0; n < 4; n++)
        sum +=
            out[4 * half + n][2 * i] * lowHalf(other[n]) + out[4 * half + n][2 * i + 1] * highHalf(other[n]);
    }
    return sum;
  }

  /// `meeting`: P before the chunk times its adjoint after it, this thread's shares of two rows. It counts
  /// only if no document starts in the chunk: then this piece is all of it.
  __device__ void storeEnd(const Piece& piece, int stage, const RowDecays& rows, float2 meeting,
                           const Sums& out, const Partner& partner) const {
    const bool meets = piece.closesChunk && !piece.fresh;
    if constexpr (scalar) {
      const float gamma = rows.any ? exp2Approx(rows.total) : 1.0f;
      const float shared = dot(out, partner, 0) + dot(out, partner, 1);
      const float sum = sumOverWarp(shared + (meets ? gamma * (meeting.x + meeting.y) : 0.0f));
      const int part = (tile * DO / 16) + (threadIdx.x >> 5);
      if (at.lane == 0) task.ends[chunkOf(piece) * (tiles * DO / 16) + part] = sum;
    } else {
#pragma unroll
      for (int distance = 1; distance < 4; distance *= 2) {
        meeting.x += __shfl_xor_sync(~0u, meeting.x, distance);
        meeting.y += __shfl_xor_sync(~0u, meeting.y, distance);
      }
      const int row = at.row0 + at.group, inTile = 64 * at.warpgroup + row;
      const uint32_t gamma = decays(stage) + 4 * inTile;
      float* to = task.ends + chunkOf(piece) * call.free + ownChannel() + row;
      if (at.pairOf == 0 && row < ownChannels()) to[0] = meets ? loadSharedFloat(gamma) * meeting.x : 0.0f;
      if (at.pairOf == 0 && row + 8 < ownChannels())
        to[8] = meets ? loadSharedFloat(gamma + 32) * meeting.y : 0.0f;
    }
  }

  __device__ void storeRows(const Sums& out, const Piece& piece, const Partner& partner) {
    const Rows rows(*this, piece);
#pragma unroll
    for (int i = 0; i < 2; i++) {
      const int64_t place = ((b * call.T + rows.token(i)) * call.H + h) * call.free + ownChannel();
      if constexpr (kind == SweepDecay::free) {
        float* to = static_cast<float*>(task.out) + place + at.pairOf;
#pragma unroll
        for (int n = 0; n < 8; n++)
          if (rows.has(i) && 8 * n < ownChannels())
            *reinterpret_cast<float2*>(to + 8 * n) = make_float2(out[n][2 * i], out[n][2 * i + 1]);
      } else {
        const float scale = scalar ? call.scale : 1.0f;
        if constexpr (scalar)
          if (task.partner.data != nullptr) storeDot(scale * dot(out, partner, i), rows, i);
            // The quad's four lanes have two channels each of eight groups of eight: afterwards a lane has
            // two groups.
#pragma unroll
        for (int half = 0; half < 2; half++) {
          uint32_t packed[4];
#pragma unroll
          for (int n = 0; n < 4; n++) {
            const float* two = &out[4 * half + n][2 * i];
            packed[n] = pack(scale * two[0], scale * two[1]);
          }
          transposeQuad(packed, at.lane);
          const int channel = 32 * half + 8 * (at.lane & 3);
          if (rows.has(i) && channel < ownChannels())
            storeGlobal(static_cast<__nv_bfloat16*>(task.out) + place + channel, packed[0], packed[1],
                        packed[2], packed[3]);
        }
      }
    }
  }

  /// The warpgroup's share of a token's out . partner.
  __device__ void storeDot(float share, const Rows& rows, int i) {
    share += __shfl_xor_sync(~0u, share, 1);
    share += __shfl_xor_sync(~0u, share, 2);
    constexpr int parts = DO / 64;
    if (rows.has(i) && at.pairOf == 0)
      task.dots[(bh * call.T + rows.token(i)) * (parts * tiles) + parts * tile + at.warpgroup] = share;
  }

  __device__ void leave(const SegmentFactor& factor) {
    if constexpr (summary) {
      const int64_t place = bh * call.numSegments + segment;
      float* to = task.last + place * call.stateStride;
      eachStored([&](float& value, bool exists, int inside) {
        if (exists) to[inside] = value;
      });
      if (tile != 0) return;
      if (threadIdx.x == 0) task.reset[place] = factor.reset;
      if (scalar && threadIdx.x == 0) task.factor[place] = exp2Approx(factor.log2);
      if (!scalar && threadIdx.x < keys) task.factor[place * keys + threadIdx.x] = factor.channel[0];
      if (!scalar && threadIdx.x + threads < keys)
        task.factor[place * keys + threadIdx.x + threads] = factor.channel[1];
    } else {
      if (task.last == nullptr || segment != (task.backward ? 0 : call.numSegments - 1)) return;
      float* to = task.last + bh * call.stateStride;
      eachStored([&](float& value, bool exists, int inside) {
        if (exists) to[inside] = value * task.lastScale;
      });
    }
  }
};

/// With `summary`, only what each segment makes of a zero state, from y and z: E, M and whether a document
/// starts in it.
template <int DC, int DO, SweepDecay kind, bool summary>
__global__ void __launch_bounds__(Sweep<DC, DO, kind, summary>::launched, residentBlocks(DC, DO))
    sweepKernel(const __grid_constant__ SweepCall call) {
  extern __shared__ __align__(1024) unsigned char shared[];
  Sweep<DC, DO, kind, summary>(call, shared).run();
}

/// As many stages, up to three, as a multiprocessor has room for.
template <typename Layout>
cudaError_t chooseStages(int resident, int& stages) {
  int device = 0, perBlock = 0, perMultiprocessor = 0;
  cudaError_t error = cudaGetDevice(&device);
  if (error == cudaSuccess)
    error = cudaDeviceGetAttribute(&perBlock, cudaDevAttrMaxSharedMemoryPerBlockOptin, device);
  if (error == cudaSuccess)
    error = cudaDeviceGetAttribute(&perMultiprocessor, cudaDevAttrMaxSharedMemoryPerMultiprocessor, device);
  constexpr int reserved = 1024;  // by the system, in each block
  const auto fits = [&](int blocks, int count) {
    return Layout::bytes(count) <= perBlock &&
           blocks * (Layout::bytes(count) + reserved) <= perMultiprocessor;
  };
  stages = 3;
  while (stages > 1 && !fits(resident, stages) && !(stages == 2 && fits(1, stages))) stages--;
  return error;
}

template <int DC, int DO, SweepDecay kind, bool summary>
cudaError_t launchSweepKernel(SweepCall call, cudaStream_t stream) {
  using Layout = SweepLayout<DC, DO, kind, summary>;
  const auto kernel = sweepKernel<DC, DO, kind, summary>;
  cudaError_t error = chooseStages<Layout>(residentBlocks(DC, DO), call.stages);
  const int bytes = Layout::bytes(call.stages);
  if (error == cudaSuccess)
    error = cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, bytes);
  if (error == cudaSuccess)
    error = cudaFuncSetAttribute(kernel, cudaFuncAttributePreferredSharedMemoryCarveout,
                                 cudaSharedmemCarveoutMaxShared);
  if (error != cudaSuccess) return error;
  const int64_t blocks = call.B * call.H * call.numSegments * freeTiles(call.contracted, call.free);
  kernel<<<dim3(static_cast<unsigned>(blocks), call.numTasks), Sweep<DC, DO, kind, summary>::launched, bytes,
           stream>>>(call);
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
