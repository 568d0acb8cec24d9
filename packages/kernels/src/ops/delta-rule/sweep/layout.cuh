#pragma once

#include "work.cuh"

namespace longscan {

/// A block's warpgroups: the chain's, the one that attends to it, the one that loads, and the one that keeps.
constexpr int sweepThreads = 4 * 128;

/// A block's shared memory. Two rings are loaded ahead: of operands [64, K] (W, the keys, the queries, as the
/// chain uses them up), and of what else there is of a piece. Then what the chain and the attendants hand
/// each other.
template <int KN, bool backward, int width>
struct DeltaSweepLayout {
  static constexpr bool wide = width == wideValues;
  static constexpr int panel = Tile<64>::bytes;
  static constexpr int operandsPerPiece = 3;
  static constexpr int operand = KN * panel;

  // Of a piece's part: P, Y, u or dO (then, of a narrow block, what the adjoint state takes of it,
  // transposed, and dO transposed), rows' factors, channels' decays, the piece.
  static constexpr int scores = 0;
  static constexpr int inverse = scores + panel;
  static constexpr int values = inverse + (backward ? panel : 0);
  static constexpr int outputs = values + 2 * tileTokens * width;
  static constexpr int factors = outputs + (backward && !wide ? channelTileBytes : 0);
  static constexpr int gamma = factors + 2 * 64 * 4;
  static constexpr int record = gamma + KN * 64 * 4;
  static constexpr int part = (record + 16 + 1023) / 1024 * 1024;

  // The state and N or dN twice; forwards, of a narrow block N with the rows' factors, of a wide one the
  // identity.
  static constexpr int channels = 2 * tileTokens * width;
  static constexpr int state = KN * channels;
  static constexpr int tokens = 2 * state;
  static constexpr int written = tokens + 2 * channels;
  static constexpr int barriers = written + (backward ? 0 : channels);
  static constexpr int fixed = barriers + 1024;

  static constexpr int maxOperands = 12, maxParts = 4;
  static constexpr int bytes(int operands, int parts) { return fixed + operands * operand + parts * part; }
};

/// How long the rings are.
struct SweepRings {
  int operands, parts;
};

/// The longest rings that fit; none if nothing does.
template <int KN, bool backward, int width>
inline SweepRings ringsOf(int sharedBytes) {
  using Layout = DeltaSweepLayout<KN, backward, width>;
  SweepRings rings{Layout::operandsPerPiece + 1, 2};
  if (Layout::bytes(rings.operands, rings.parts) > sharedBytes) return {0, 0};
  const auto fits = [&](int operands, int parts) { return Layout::bytes(operands, parts) <= sharedBytes; };
  while (rings.operands < 2 * Layout::operandsPerPiece && fits(rings.operands + 1, rings.parts))
    rings.operands++;
  while (rings.parts < Layout::maxParts && fits(rings.operands, rings.parts + 1)) rings.parts++;
  while (rings.operands < Layout::maxOperands && fits(rings.operands + 1, rings.parts)) rings.operands++;
  return rings;
}

/// With time, against it, and against it for nothing but the adjoint that leaves each segment.
enum class SweepKind { forward, backward, leaving };

/// What the parts of a block have in common: what it works on and where its memory lies.
template <int KN, SweepKind kind, bool diagonal, int width>
class SweepBlock : public SweepWork {
 public:
  static constexpr bool backward = kind != SweepKind::forward, leaves = kind == SweepKind::leaving;
  using Layout = DeltaSweepLayout<KN, backward, width>;
  using Values = ValueTile<width>;

  const SweepRings rings;
  const int64_t state;  // the number of the head's among the states of all segments

  __device__ SweepBlock(const DeltaSweepCall& call, const SweepMaps& maps, SweepRings rings,
                        unsigned char* shared)
      : SweepWork(call, maps, shared, width), rings(rings), state(stateOfSegment()) {}

  /// The states that enter segments, [segments, B, H, V, K], or null: zero.
  __device__ const float* incoming() const { return backward ? call.dht : call.h0; }
  /// Where the state goes that leaves this one: [segments, B, H, V, K] or, of the slice's last in the sweep's
  /// order, [B, H, V, K]. Null: nobody wants it.
  __device__ float* outgoing() const {
    if (leaves) return call.leaving;
    if (backward) return segment() == 0 ? call.dh0 : nullptr;
    return segment() == call.numSegments - 1 ? call.ht : nullptr;
  }

  // By four warps each: the chain's and the attendants' arrivals are one a warp.
  __device__ SweepBarrier operandFull(int i) const { return barrier(i); }
  __device__ SweepBarrier operandFree(int i) const { return barrier(Layout::maxOperands + i); }
  __device__ SweepBarrier partFull(int i) const { return barrier(2 * Layout::maxOperands + i); }
  __device__ SweepBarrier partFree(int i) const { return barrier(2 * Layout::maxOperands + 4 + i); }
  /// Of a part: `outputs` and `writes` are there.
  __device__ SweepBarrier outputsReady(int i) const { return barrier(2 * Layout::maxOperands + 8 + i); }
  /// The chain has shown the state, or N or dN; the attendants have read both.
  __device__ SweepBarrier stateReady(int i) const { return barrier(2 * Layout::maxOperands + 12 + i); }
  __device__ SweepBarrier tokensReady(int i) const { return barrier(2 * Layout::maxOperands + 14 + i); }
  __device__ SweepBarrier shownFree(int i) const { return barrier(2 * Layout::maxOperands + 16 + i); }

  /// One thread; then all threads of the block meet.
  __device__ void initBarriers() const {
    for (int i = 0; i < rings.operands; i++) {
      operandFull(i).init(1);
      operandFree(i).init(4 * arrivalsOfWarp);
    }
    for (int i = 0; i < rings.parts; i++) {
      partFull(i).init(1);
      partFree(i).init((!leaves ? 12 : width == narrowValues ? 8 : 4) * arrivalsOfWarp);
      outputsReady(i).init(4 * arrivalsOfWarp);
    }
    for (int i = 0; i < 2; i++) {
      stateReady(i).init(4 * arrivalsOfWarp);
      tokensReady(i).init(4 * arrivalsOfWarp);
      shownFree(i).init(8 * arrivalsOfWarp);
    }
    publishBarriers();
  }

  /// Where piece `i` is shown, and how often that place was used before, modulo 2.
  __device__ static RingPlace shownAt(int i) { return ringPlace<2>(i); }
  /// Waits until nobody reads what was shown where piece `i` comes.
  __device__ void waitUntilFree(RingPlace shown) const {
    if constexpr (!leaves) shownFree(shown.slot).wait(shown.round ^ 1);
  }

  /// The calling warp needs a ring's slot no more: whoever copies to it hears of it.
  __device__ void release(SweepBarrier free) const { arriveOfWarp(free); }

  __device__ uint32_t operand(int slot) const { return base + Layout::fixed + slot * Layout::operand; }
  __device__ Tile<64> operandTile(int slot, int panel) const {
    return {operand(slot) + panel * Layout::panel};
  }
  __device__ uint32_t part(int slot) const { return base + partOffset(slot); }
  __device__ Tile<64> scores(int slot) const { return {part(slot) + Layout::scores}; }
  __device__ Tile<64> inverse(int slot) const { return {part(slot) + Layout::inverse}; }
  __device__ Values values(int slot) const { return {part(slot) + Layout::values}; }
  /// Of a narrow block's adjoint: dO transposed, and scale * into dO in the place where dO was.
  __device__ Tile<64> outputs(int slot) const { return {part(slot) + Layout::outputs}; }
  __device__ Tile<64> writes(int slot) const { return {part(slot) + Layout::values}; }
  __device__ const float* into(int slot) const { return floats(partOffset(slot) + Layout::factors); }
  __device__ const float* outOf(int slot) const { return into(slot) + 64; }
  __device__ const float* gamma(int slot) const { return floats(partOffset(slot) + Layout::gamma); }
  __device__ int2* record(int slot) const {
    return reinterpret_cast<int2*>(shared + partOffset(slot) + Layout::record);
  }
  __device__ SweepPiece piece(int slot) const {
    return SweepPiece::unpack(*const_cast<const int2*>(record(slot)));
  }

  __device__ Tile<64> stateTile(int shown, int panel) const {
    return {base + shown * Layout::state + panel * Layout::channels};
  }
  /// N or dN, transposed.
  __device__ Tile<64> tokensTile(int shown) const {
    return {base + Layout::tokens + shown * Layout::channels};
  }
  __device__ Tile<64> writtenTile() const { return {base + Layout::written}; }
  __device__ Tile<64> identity() const { return {base + Layout::written}; }

  /// All threads, which meet afterwards.
  __device__ void fillIdentity() const {
    const int row = threadIdx.x / 8, unit = threadIdx.x % 8;
#pragma unroll
    for (int i = 0; i < 4; i++) {
      const uint32_t one = row % 2 == 0 ? 0x3f80u : 0x3f800000u;
      storeShared(identity().address(row, unit) + 4 * i, row / 2 == 4 * unit + i ? one : 0u);
    }
    publishToProducts();
  }

 private:
  __device__ SweepBarrier barrier(int i) const {
    return {base + Layout::barriers + i * SweepBarrier::bytes};
  }
  __device__ int partOffset(int slot) const {
    return Layout::fixed + rings.operands * Layout::operand + slot * Layout::part;
  }
  __device__ const float* floats(int offset) const {
    return reinterpret_cast<const float*>(shared + offset);
  }
};

}  // namespace longscan
