#pragma once

#include "cuda_sweep_frame.cuh"

namespace longscan {

/// The warp that loads what the others compute with, some chunks ahead.
template <int DC, int DO, SweepDecay kind, bool summary>
class SweepLoader : SweepFrame<DC, DO, kind, summary> {
  using Frame = SweepFrame<DC, DO, kind, summary>;
  using Layout = typename Frame::Layout;
  using Frame::allThreads;
  using Frame::at;
  using Frame::b;
  using Frame::call;
  using Frame::chunkOf;
  using Frame::decays;
  using Frame::emptied;
  using Frame::endChunk;
  using Frame::filled;
  using Frame::firstChunk;
  using Frame::h;
  using Frame::headOf;
  using Frame::keptOf;
  using Frame::keys;
  using Frame::panels;
  using Frame::pieceOf;
  using Frame::pitchOf;
  using Frame::scalar;
  using Frame::scores;
  using Frame::stageAfter;
  using Frame::task;
  using Frame::threads;
  using Frame::tile;
  using Frame::tileAt;
  using Frame::X;
  using Frame::Y;

 public:
  __device__ explicit SweepLoader(const Frame& frame) : Frame(frame) {}

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

 private:
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
};

}  // namespace longscan
