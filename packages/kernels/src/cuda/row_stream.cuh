#pragma once

#include "async_copy.cuh"
#include "held_rows.cuh"

namespace longscan {

/// Rows of `count` tensors, with a number that belongs to each row if `hasScales`: on their way to a thread's
/// own places in shared memory, where requests hold no registers, while it computes on those before them.
/// Rows of which a thread has more than one pack, or single elements, it fetches when it needs them.
template <typename Layout, int count, bool hasScales>
class RowStream {
 public:
  static constexpr int rowsAtOnce = Layout::rowsAtOnce;
  static constexpr bool isAhead = Layout::width > 1 && Layout::packs == 1;
  using Element = typename Layout::Element;

  /// Of the positions that a thread takes at once.
  struct Rows {
    RowPart<Layout> parts[count][rowsAtOnce];
    float scales[rowsAtOnce];
  };

  /// That the kernel wants besides its own.
  static constexpr size_t sharedBytes();

  /// `memory`: so many bytes, aligned to 16. `scales` [rows], or null.
  __device__ RowStream(const RowThread<Layout>& thread, char* memory, const void* const (&from)[count],
                       const float* scales)
      : thread_(thread), stages_(reinterpret_cast<Stage*>(memory)), scales_(scales) {
#pragma unroll
    for (int k = 0; k < count; k++) from_[k] = static_cast<const Element*>(from[k]);
  }

  /// Calls `body(first, rows)` for the rows from each position of the block's share on that it takes at once.
  template <typename Body>
  __device__ void forEach(Body body) const {
    int stage = 0;
    if constexpr (isAhead) fetch(stages_[0], thread_.begin);
    for (int64_t first = thread_.begin; first < thread_.end; first += thread_.step) {
      Rows rows;
      if constexpr (isAhead) {
        fetch(stages_[stage ^ 1], first + thread_.step);
        awaitCopies<1>();
        take(rows, stages_[stage]);
        stage ^= 1;
      } else {
        load(rows, first);
      }
      body(first, rows);
    }
  }

 private:
  struct Stage {
    Pack<Element, Layout::width> packs[count][rowsAtOnce][Layout::threads];
    float scales[hasScales ? rowsAtOnce : 1][Layout::threads];
  };

  static __device__ unsigned place() {
    return threadIdx.y * blockDim.x + threadIdx.x;
  }

  __device__ void fetch(Stage& to, int64_t first) const {
#pragma unroll
    for (int r = 0; r < rowsAtOnce; r++) {
      const int64_t row = thread_.row(first, r);
      const bool there = row >= 0 && thread_.hasPart(0);
#pragma unroll
      for (int k = 0; k < count; k++)
        copyAsync(&to.packs[k][r][place()], from_[k] + (there ? thread_.at(row, 0) : 0), there);
      if constexpr (hasScales) copyAsync(&to.scales[r][place()], scales_ + (row >= 0 ? row : 0), row >= 0);
    }
    commitCopies();
  }
  static __device__ void take(Rows& rows, const Stage& from) {
#pragma unroll
    for (int r = 0; r < rowsAtOnce; r++) {
#pragma unroll
      for (int k = 0; k < count; k++) rows.parts[k][r].packs[0] = from.packs[k][r][place()];
      if constexpr (hasScales) rows.scales[r] = from.scales[r][place()];
    }
  }
  __device__ void load(Rows& rows, int64_t first) const {
#pragma unroll
    for (int r = 0; r < rowsAtOnce; r++) {
      const int64_t row = thread_.row(first, r);
#pragma unroll
      for (int k = 0; k < count; k++) thread_.load(rows.parts[k][r], from_[k], row);
      if constexpr (hasScales) rows.scales[r] = row >= 0 ? scales_[row] : 0.0f;
    }
  }

  const RowThread<Layout>& thread_;
  Stage* const stages_;
  const float* const scales_;
  const Element* from_[count];
};

template <typename Layout, int count, bool hasScales>
constexpr size_t RowStream<Layout, count, hasScales>::sharedBytes() {
  return isAhead ? 2 * sizeof(Stage) : 0;
}

/// Lets a kernel have so much shared memory when it is launched.
template <typename... Parameters>
cudaError_t allowShared(void (*kernel)(Parameters...), size_t bytes) {
  if (bytes <= 48 << 10) return cudaSuccess;
  return cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, static_cast<int>(bytes));
}

}  // namespace longscan
