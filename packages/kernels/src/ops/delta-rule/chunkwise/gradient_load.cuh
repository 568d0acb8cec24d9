#pragma once

#include "../sweep/bulk.cuh"
#include "cuda/dependent.cuh"
#include "cuda/pieces.cuh"
#include "cuda/warpgroup.cuh"
#include "gradient.h"

namespace longscan {

/// How the copy engine finds the gradients' operands: boxes of 64 rows and 64 columns.
struct GradientMaps {
  CUtensorMap dO, dv, corrections, states, adjoints, q, k, b;
  /// Whether there are maps: on devices with a copy engine, where head sizes are whole boxes.
  bool usable;
};

/// Two stages of 64 channels of V, queries and keys of a piece or two, and the products of the present piece.
/// A block of one panel is half a multiprocessor's: it has the next piece's queries and keys later, and its
/// products lie where the piece's last dO and dv were. Where there are keys that erase, two pieces have no
/// room.
template <int panels, bool hasEraseKeys>
struct GradientLayout {
  static constexpr int panel = Tile<64>::bytes;
  static constexpr int dO = 0;
  static constexpr int dv = panel;
  static constexpr int corrections = 2 * panel;
  static constexpr int state = 3 * panel;
  static constexpr int adjoint = state + panels * panel;
  static constexpr int stage = adjoint + panels * panel;
  static constexpr int pieces = 2 * stage;
  static constexpr int queries = 0;
  static constexpr int keys = panels * panel;
  static constexpr int eraseKeys = 2 * panels * panel;
  static constexpr int gates = (hasEraseKeys ? 3 : 2) * panels * panel;
  static constexpr int beta = gates + 64 * 4;
  static constexpr int pieceBytes = gates + 1024;
  static constexpr int pieceSlots = panels == 1 || hasEraseKeys ? 1 : 2;
  static constexpr bool ownProducts = panels > 1;
  static constexpr int products = pieces + pieceSlots * pieceBytes;
  static constexpr int facts = products + (ownProducts ? 2 * panel : 0);  // of tokens, a copy for each warp
  static constexpr int shares = facts + (ownProducts ? 4 * panels * 64 * 8 : 0);
  static constexpr int written = shares + 4 * panels * 4;          // by panel and row; then Z . N
  static constexpr int records = written + (panels + 1) * 64 * 4;  // whose piece a stage is
  static constexpr int drawn = records + 2 * 16;
  static constexpr int barriers = drawn + 2 * 4;
  static constexpr int bytes = barriers + 8 * SweepBarrier::bytes;

  /// Of a piece whose last stage is that one: the gradients of scores, and a panel further those of products
  /// of keys.
  __device__ static constexpr int ofScores(int lastStage) {
    return ownProducts ? products : lastStage * stage + dO;
  }
  static_assert(dv == dO + panel, "one after the other");
  /// The warps' facts of the piece's tokens, by where `ofScores` is; without a place of their own where N
  /// was.
  __device__ static constexpr int ofTokens(int scores) {
    return ownProducts ? facts : scores - dO + corrections;
  }
};

/// A chunk of a head, and which channels of K.
struct GradientTask {
  int bh, tile;

  __device__ int64_t b(const DeltaGradientCall& call) const { return bh / call.H; }
  __device__ int h(const DeltaGradientCall& call) const { return bh % call.H; }
};

/// A stage's: which piece of a chunk, and whose. After the last one a record of a chunk below zero.
struct GradientRecord {
  int2 piece;
  GradientTask task;
};
static_assert(sizeof(GradientRecord) == 16, "as the layout has it");

/// What the warpgroups of a block have in common.
template <int panels, bool hasEraseKeys>
struct GradientBlock {
  using Layout = GradientLayout<panels, hasEraseKeys>;

  const DeltaGradientCall& call;
  const GradientMaps& maps;
  unsigned char* const shared;
  const uint32_t base;
  const int numChunks;

  __device__ GradientBlock(const DeltaGradientCall& call, const GradientMaps& maps, unsigned char* shared)
      : call(call),
        maps(maps),
        shared(shared),
        base(sharedAddress(shared)),
        numChunks(static_cast<int>((call.T + tileTokens - 1) / tileTokens)) {}

  // Tiles of K. With one panel there is but one.
  __device__ int numTiles() const { return panels == 1 ? 1 : deltaGradientTiles(call.K, panels); }
  __device__ static int tileOf(const GradientTask& task) { return panels == 1 ? 0 : task.tile; }

  __device__ GradientRecord* record(int stage) const {
    return reinterpret_cast<GradientRecord*>(shared + Layout::records + 16 * stage);
  }
  /// The task that the loading warpgroup has drawn, in turns at two places.
  __device__ int& drawn(int turn) const { return reinterpret_cast<int*>(shared + Layout::drawn)[turn]; }

  /// Of the two stages, and of the pieces' queries and keys.
  __device__ SweepBarrier stageFull(int i) const { return barrier(i); }
  __device__ SweepBarrier stageFree(int i) const { return barrier(2 + i); }
  __device__ SweepBarrier pieceFull(int i) const { return barrier(4 + i); }
  __device__ SweepBarrier pieceFree(int i) const { return barrier(6 + i); }

  /// One thread; then all threads of the block meet.
  __device__ void initBarriers() const {
    for (int i = 0; i < 2; i++) {
      stageFull(i).init(1);
      stageFree(i).init(4 * panels * arrivalsOfWarp);
    }
    for (int i = 0; i < Layout::pieceSlots; i++) {
      pieceFull(i).init(1);
      pieceFree(i).init(4 * panels * arrivalsOfWarp);
    }
    publishBarriers();
  }

  // What a document's first token meets is nothing; what lies behind its chunk's last piece, with which the
  // walk opens it, is D.
  __device__ static bool meetsState(const Piece& piece) { return !piece.fresh; }
  __device__ static bool meetsAdjoint(const Piece& piece) { return piece.opensChunk; }
  __device__ static TileRows rowsOf(const Piece& piece) {
    return {static_cast<int64_t>(piece.chunk) * tileTokens, piece.low, piece.high, false};
  }

 private:
  __device__ SweepBarrier barrier(int i) const { return {base + Layout::barriers + i * SweepBarrier::bytes}; }
};

/// The block's first warpgroup, which loads ahead: whole chunks by the copy engine, other pieces by itself.
/// Blocks draw chunks one by one, the last ones first, as the sweep beside finishes them.
template <int panels, bool hasEraseKeys>
class GradientLoader {
  using Block = GradientBlock<panels, hasEraseKeys>;
  using Layout = typename Block::Layout;
  static constexpr int threads = 128;

  const Block& block;
  const DeltaGradientCall& call;
  GradientTask task{};
  RingPlace stage, ofPiece;

 public:
  __device__ explicit GradientLoader(const Block& block) : block(block), call(block.call) {}

  __device__ void run() {
    const int heads = static_cast<int>(call.B) * call.H, tiles = block.numTiles();
    // One ahead, since a number takes long to come. Blocks that find no room beside the sweep have drawn
    // none.
    int next = threadIdx.x == 0 ? draw(0) : 0;
    for (int turn = 0;; turn++) {
      if (threadIdx.x == 0) {
        block.drawn(turn % 2) = next;
        next = draw(turn + 1);
      }
      joinBarrier(4, threads);
      const int number = block.drawn(turn % 2), place = number / tiles;
      const int chunk = block.numChunks - 1 - place / heads;
      if (chunk < 0) break;
      task = {place % heads, number % tiles};
      waitUntilFinished(chunk);
      for (PieceWalk walk(call.resets ? call.resets + task.b(call) * call.T : nullptr, call.T, chunk,
                          chunk + 1, true);
           !walk.done(); walk.advance())
        for (int value = 0; value < call.V; value += 64) {
          fillStage(walk.piece(), value);
          if (value == 0) fillPiece(walk.piece());
        }
    }
    end();
    if (call.finished != nullptr) waitForKernelBefore();
  }

 private:
  __device__ int draw(int turn) const {
    return call.drawn != nullptr ? atomicAdd(call.drawn, 1) : static_cast<int>(blockIdx.x + turn * gridDim.x);
  }

  __device__ void waitUntilFinished(int chunk) const {
    if (call.finished == nullptr) return;
    waitForParts(call.finished + static_cast<int64_t>(task.bh) * block.numChunks + chunk,
                 deltaPartsOfChunk(call.V));
    passCountsToCopies();
  }

  __device__ void end() const {
    block.stageFree(stage.slot).wait(stage.round ^ 1);
    if (threadIdx.x != 0) return;
    block.record(stage.slot)->piece.x = -1;
    block.stageFull(stage.slot).arrive();
  }

  __device__ Tile<64> tile(int offset) const { return {block.base + offset}; }
  __device__ bool isWhole(const Piece& piece) const {
    return LONGSCAN_COPY_ENGINE && block.maps.usable && piece.low == 0 && piece.high == tileTokens;
  }
  __device__ int column(int panel) const { return 64 * (Block::tileOf(task) * panels + panel); }

  /// All threads have started their copies, or `bytes` of the copy engine's are to come.
  __device__ void announce(SweepBarrier full, int bytes) const {
    full.expectCopies();
    joinBarrier(4, threads);
    if (threadIdx.x != 0) return;
    if (bytes > 0)
      arriveExpecting(full, bytes);
    else
      full.arrive();
  }

  /// As `fillTile`, in few registers.
  __device__ static void fillRows(Tile<64> to, const __nv_bfloat16* from, int pitch, int column, int width,
                                  const TileRows& rows) {
#pragma unroll 1
    for (int i = threadIdx.x; i < tileTokens * 8; i += threads) {
      const int row = i / 8, unit = i % 8;
      copyAsync16(to.address(row, unit), from + (rows.first + row) * pitch + column + 8 * unit,
                  rows.has(row) && column + 8 * unit < width);
    }
  }

  __device__ void fillStage(const Piece& piece, int value) {
    const int offset = stage.slot * Layout::stage;
    const SweepBarrier full = block.stageFull(stage.slot);
    block.stageFree(stage.slot).wait(stage.round ^ 1);
    const bool state = Block::meetsState(piece), adjoint = Block::meetsAdjoint(piece);
    const int64_t chunk = static_cast<int64_t>(task.bh) * block.numChunks + piece.chunk;
    if (threadIdx.x == 0) *block.record(stage.slot) = {packPiece(piece), task};
    if (isWhole(piece)) {
      // Nobody waits any more: of a stage filled, read and free again he would see that it is not free yet.
      joinBarrier(4, threads);
      if (threadIdx.x == 0) {
        arriveExpecting(full, Layout::panel * (3 + panels * (state + adjoint)));
        const int token = piece.chunk * tileTokens;
        const auto copy = [&](int to, const CUtensorMap& map, int head, int batch) {
          copyBox(block.base + offset + to, map, full.address, value, head, token, batch);
        };
        copy(Layout::dO, block.maps.dO, task.h(call), task.b(call));
        copy(Layout::dv, block.maps.dv, task.h(call), task.b(call));
        copy(Layout::corrections, block.maps.corrections, 0, task.bh);
#pragma unroll
        for (int i = 0; i < panels; i++) {
          const int at = block.base + offset + i * Layout::panel;
          if (state) copyBox(at + Layout::state, block.maps.states, full.address, column(i), 0, value, chunk);
          if (adjoint)
            copyBox(at + Layout::adjoint, block.maps.adjoints, full.address, column(i), 0, value, chunk);
        }
      }
    } else {
      const int pitch = call.H * call.V;
      const int64_t head = task.b(call) * call.T * pitch + task.h(call) * call.V,
                    place = chunk * call.V * call.K;
      const TileRows rows = Block::rowsOf(piece), values{value, 0, min(64, call.V - value), false};
      const auto fill = [&](int to, const __nv_bfloat16* from, int pitch) {
        fillRows(tile(offset + to), from, pitch, value, call.V, rows);
      };
      fill(Layout::dO, call.dO + head, pitch);
      fill(Layout::dv, call.dv + head, pitch);
      fill(Layout::corrections, call.corrections + (chunk - piece.chunk) * tileTokens * call.V, call.V);
#pragma unroll 1
      for (int i = 0; i < panels; i++) {
        const int at = offset + i * Layout::panel;
        if (state) fillRows(tile(at + Layout::state), call.states + place, call.K, column(i), call.K, values);
        if (adjoint)
          fillRows(tile(at + Layout::adjoint), call.adjoints + place, call.K, column(i), call.K, values);
      }
      announce(full, 0);
    }
    stage = stage.ahead(1, 2);
  }

  __device__ void fillPiece(const Piece& piece) {
    const int offset = Layout::pieces + ofPiece.slot * Layout::pieceBytes;
    const SweepBarrier full = block.pieceFull(ofPiece.slot);
    block.pieceFree(ofPiece.slot).wait(ofPiece.round ^ 1);
    const TileRows rows = Block::rowsOf(piece);
    if (threadIdx.x < 64) {
      const int row = threadIdx.x;
      const int64_t token = (task.b(call) * call.T + rows.first + row) * call.H + task.h(call);
      if (call.g) copyAsync4(block.base + offset + Layout::gates + 4 * row, call.g + token, rows.has(row));
      if (call.beta)
        copyAsync4(block.base + offset + Layout::beta + 4 * row, call.beta + token, rows.has(row));
    }
    if (isWhole(piece)) {
      announce(full, (hasEraseKeys ? 3 : 2) * panels * Layout::panel);
      if (threadIdx.x == 0)
#pragma unroll
        for (int i = 0; i < panels; i++) {
          const int at = block.base + offset + i * Layout::panel;
          copyBox(at + Layout::queries, block.maps.q, full.address, column(i), task.h(call), rows.first,
                  task.b(call));
          copyBox(at + Layout::keys, block.maps.k, full.address, column(i), task.h(call), rows.first,
                  task.b(call));
          if (hasEraseKeys)
            copyBox(at + Layout::eraseKeys, block.maps.b, full.address, column(i), task.h(call), rows.first,
                    task.b(call));
        }
    } else {
      const int pitch = call.H * call.K;
      const int64_t head = task.b(call) * call.T * pitch + task.h(call) * call.K;
#pragma unroll 1
      for (int i = 0; i < panels; i++) {
        const int at = offset + i * Layout::panel;
        fillRows(tile(at + Layout::queries), call.q + head, pitch, column(i), call.K, rows);
        fillRows(tile(at + Layout::keys), call.k + head, pitch, column(i), call.K, rows);
        if (hasEraseKeys)
          fillRows(tile(at + Layout::eraseKeys), call.b + head, pitch, column(i), call.K, rows);
      }
      announce(full, 0);
    }
    ofPiece = ofPiece.ahead(1, Layout::pieceSlots);
  }
};

}  // namespace longscan
