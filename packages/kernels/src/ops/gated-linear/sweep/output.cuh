#pragma once

#include "frame.cuh"

namespace longscan {

/// How a warpgroup stores what it has read, what of it the decay's gradient needs, and images of P.
template <int DC, int DO, SweepDecay kind, bool summary>
class SweepOutput : public SweepFrame<DC, DO, kind, summary> {
 public:
  using Frame = SweepFrame<DC, DO, kind, summary>;
  using Frame::scalar;

  __device__ explicit SweepOutput(const Frame& frame) : Frame(frame) {}

 protected:
  using Frame::at;
  using Frame::b;
  using Frame::bh;
  using Frame::call;
  using Frame::chunkOf;
  using Frame::decays;
  using Frame::h;
  using Frame::headOf;
  using Frame::isReversed;
  using Frame::numChunks;
  using Frame::ownChannel;
  using Frame::ownChannels;
  using Frame::panels;
  using Frame::stateBase;
  using Frame::task;
  using Frame::tile;
  using Frame::tiles;
  using Layout = typename Frame::Layout;

  /// P's panel `panel` for products. The compiler is not to keep all addresses inside it in registers from
  /// chunk to chunk: it has none to spare.
  __device__ Tile<64> published(int panel) const {
    uint32_t first = stateBase() + (at.warpgroup * panels + panel) * Layout::panel;
    asm volatile("" : "+r"(first));
    return {first};
  }

  /// Whether P before every chunk can be wanted as products read it.
  static constexpr bool hasImages = summary || !scalar;

  /// Until the image before has been read from where P is published.
  __device__ void awaitImage() const {
#if __CUDA_ARCH__ >= 900
    if (hasImages && task.images != nullptr && (threadIdx.x & 127) == 0) waitUntilRunsAreRead();
#endif
  }

  /// What is published, to the image of `chunk`. All threads of the warpgroup have published.
  __device__ void storeImage(int chunk) const {
    constexpr int bytes = panels * Layout::panel;
    unsigned char* const to = task.images + imageOffset(call.contracted, call.free, bh * numChunks + chunk,
                                                        tile * (DO / 64) + at.warpgroup, 0);
    const uint32_t from = published(0).base;
#if __CUDA_ARCH__ >= 900
    if ((threadIdx.x & 127) == 0) storeBulk(to, from, bytes);
#else
    for (int i = 16 * (threadIdx.x & 127); i < bytes; i += 16 * 128)
      storeGlobal(to + i, loadShared(from + i), loadShared(from + i + 4), loadShared(from + i + 8),
                  loadShared(from + i + 12));
#endif
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
                                    rows.token(i) * task.partner.pitch + ownChannel() + channel,
                                exists);
      }
  }

  /// Rows row0 + group + 8 i of a chunk, i < 2: which are there, and which tokens they are.
  struct Rows {
    int offset, direction, low, high;
    int64_t first;

    __device__ Rows(const SweepOutput& sweep, const Piece& piece)
        : low(piece.low), high(piece.high), first(static_cast<int64_t>(piece.chunk) * chunkTokens) {
      const int row = sweep.at.row0 + sweep.at.group;
      const bool reversed = sweep.isReversed();
      direction = reversed ? -8 : 8;
      offset = reversed ? 63 - row : row;
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
  __device__ void storeEnd(const Piece& piece, const RowDecays& rows, float2 meeting, const Sums& out,
                           const Partner& partner) const {
    const bool meets = piece.closesChunk && !piece.fresh;
    const float gamma = rows.any ? exp2Approx(rows.total) : 1.0f;
    const float shared = dot(out, partner, 0) + dot(out, partner, 1);
    const float sum = sumOverWarp(shared + (meets ? gamma * (meeting.x + meeting.y) : 0.0f));
    const int part = (tile * DO / 16) + (threadIdx.x >> 5);
    if (at.lane == 0) task.ends[chunkOf(piece) * (tiles * DO / 16) + part] = sum;
  }

  __device__ void storeRows(const Sums& out, const Piece& piece, const Partner& partner) {
    const Rows rows(*this, piece);
#pragma unroll
    for (int i = 0; i < 2; i++) {
      const int64_t place = (b * call.T + rows.token(i)) * task.outPitch + h * call.free + ownChannel();
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
          storeGlobal(task.out + place + channel, packed[0], packed[1], packed[2], packed[3]);
      }
    }
  }

  /// Of [free channels][tokens], to rows of tokens. Each warp takes its channels through their columns of
  /// `staged`, which are its own.
  __device__ void storeColumns(const Sums& out, const Piece& piece, Tile<64> staged) const {
#pragma unroll
    for (int step = 0; step < 4; step++)
      storeATransposed(staged, 16 * step, at.row0, operandA(out, step), at.lane);
    __syncwarp();
    const int channel = at.row0 + 8 * (at.lane & 1);
    if (channel >= ownChannels()) return;
    const int pitch = task.outPitch;
    __nv_bfloat16* const to = task.out +
                              (b * call.T + static_cast<int64_t>(piece.chunk) * chunkTokens) * pitch +
                              h * call.free + ownChannel() + channel;
#pragma unroll
    for (int i = 0; i < 4; i++) {
      // Every second row in one access: they lie in different banks.
      const int token = 32 * (i / 2) + (at.lane & 30) + i % 2;
      const uint4 row = loadShared16(staged.address(token, channel / 8));
      if (token >= piece.low && token < piece.high)
        storeGlobal(to + static_cast<int64_t>(token) * pitch, row.x, row.y, row.z, row.w);
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
};

}  // namespace longscan
