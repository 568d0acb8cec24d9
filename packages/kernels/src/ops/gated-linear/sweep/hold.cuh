#pragma once

#include "output.cuh"

namespace longscan {

/// The state of a warpgroup: how it enters and leaves a segment, and what of it is published to products.
template <int DC, int DO, SweepDecay kind, bool summary>
class SweepHold : public SweepOutput<DC, DO, kind, summary> {
 public:
  using Output = SweepOutput<DC, DO, kind, summary>;
  using Frame = SweepFrame<DC, DO, kind, summary>;
  using Frame::scalar;

  __device__ explicit SweepHold(const Frame& frame) : Output(frame) {}

 protected:
  using Frame::at;
  using Frame::bh;
  using Frame::call;
  using Frame::filled;
  using Frame::keptOf;
  using Frame::keys;
  using Frame::ownChannel;
  using Frame::panels;
  using Frame::pieceOf;
  using Frame::segment;
  using Frame::task;
  using Frame::threads;
  using Frame::tile;
  using Output::awaitImage;
  using Output::hasImages;
  using Output::published;
  using Output::storeImage;

  SweepState<DC> state;
  int rounds = 0;  // through the stages

  /// A summary's M: of a scalar its log2, else that of channels threadIdx.x and threadIdx.x + threads.
  struct SegmentFactor {
    float log2 = 0.0f, channel[2] = {1.0f, 1.0f};
    bool reset = false;
  };

  /// Waits for a stage to be filled.
  __device__ Piece nextPiece(int stage) {
    awaitArrivals(filled(stage), rounds);
    if (stage + 1 == call.stages) rounds++;
    publishToProducts();
    return pieceOfWarp(*pieceOf(stage));  // products must not lie in branches of some lanes
  }

  __device__ void joinWarpgroup() const { joinBarrier(1 + at.warpgroup, 128); }

  /// visit(element, that of the next contracted channel, the place of the former in a stored state), of those
  /// that exist.
  template <typename Visit>
  __device__ void eachStored(Visit&& visit) {
    const int rowStride = task.freeIsKey ? 1 : keys, columnStride = task.freeIsKey ? keys : 1;
    const int row0 = ownChannel() + at.row0 + at.group;
    state.eachPair([&](float& x, float& y, bool isLower, int column0) {
      const int row = row0 + (isLower ? 8 : 0), column = column0 + at.pairOf;
      if (row < call.free && column < call.contracted) visit(x, y, row * rowStride + column * columnStride);
    });
  }

  /// Neighbours lie side by side where the contracted channels are the keys.
  __device__ void loadState(const float* from) {
    state.clear();
    if (task.freeIsKey)
      eachStored([&](float& x, float& y, int place) {
        x = from[place];
        y = from[place + keys];
      });
    else
      eachStored([&](float& x, float& y, int place) {
        const float2 both = *reinterpret_cast<const float2*>(from + place);
        x = both.x;
        y = both.y;
      });
  }

  __device__ void storeState(float* to, float scale) {
    if (task.freeIsKey)
      eachStored([&](float& x, float& y, int place) {
        to[place] = x * scale;
        to[place + keys] = y * scale;
      });
    else
      eachStored([&](float& x, float& y, int place) {
        *reinterpret_cast<float2*>(to + place) = make_float2(x * scale, y * scale);
      });
  }

  /// P for the next products; and kept, if it is what `chunk` begins with (-1: it begins none).
  __device__ void publish(int chunk) const {
    Tile<64> to[panels];
#pragma unroll
    for (int p = 0; p < panels; p++) to[p] = published(p);
    const bool kept = scalar && !summary && task.kept != nullptr && chunk >= 0;
    state.publish(to, kept ? keptOf(task.kept, chunk) : nullptr, threads, at);
  }

  __device__ void enter(int first) {
    if (summary && task.states == nullptr) {
      state.clear();
      return;
    }
    loadState(task.states + (bh * call.numSegments + segment) * call.stateStride);
    if constexpr (summary || !scalar) return;
    publish(first);
    joinWarpgroup();
  }

  /// A summary's state before a chunk.
  __device__ void keep(int chunk) const {
    awaitImage();
    joinWarpgroup();
    publish(-1);
    joinWarpgroup();
    storeImage(chunk);
  }

  /// P = 0, for products too.
  __device__ void forget() {
    state.clear();
    awaitImage();
    joinWarpgroup();
    publish(-1);
    joinWarpgroup();
  }

  __device__ void leave(const SegmentFactor& factor) {
    awaitImage();
    if constexpr (summary) {
      if (task.last == nullptr) return;
      const int64_t place = bh * call.numSegments + segment;
      storeState(task.last + place * call.stateStride, 1.0f);
      if (tile != 0) return;
      if (threadIdx.x == 0) task.reset[place] = factor.reset;
      if (scalar && threadIdx.x == 0) task.factor[place] = exp2Approx(factor.log2);
      if (!scalar && threadIdx.x < keys) task.factor[place * keys + threadIdx.x] = factor.channel[0];
      if (!scalar && threadIdx.x + threads < keys)
        task.factor[place * keys + threadIdx.x + threads] = factor.channel[1];
    } else {
      if (task.last == nullptr || segment != (task.backward ? 0 : call.numSegments - 1)) return;
      storeState(task.last + bh * call.stateStride, task.lastScale);
    }
  }
};

}  // namespace longscan
