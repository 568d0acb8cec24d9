#pragma once

#include <cstdint>

#include "pack.cuh"

// Kernels that need a whole row before they can write any of it: norms, softmax. The threads of a row lie
// side by side and hold it in registers, so that it is read once; several rows are on their way at once.

namespace longscan {

/// Rows [positions, groups, cols]: those of a group have the same weights.
struct HeldRows {
  int64_t positions, groups, cols;
};

/// Of each tensor, that a thread has on their way at once.
constexpr int bytesAtOnce = 64;
constexpr bool fetchesAhead = false;

/// A thread has `packs` packs of `width` neighbours of each of `rowsAtOnce` rows.
template <typename ElementType, int packWidth, int numPacks>
struct RowLayout {
  using Element = ElementType;
  static constexpr int width = packWidth, packs = numPacks;
  static constexpr int numbers = width * packs;
  static constexpr int bytes = numbers * static_cast<int>(sizeof(Element));
  static constexpr int rowsAtOnce = width > 1 && bytes < bytesAtOnce ? bytesAtOnce / bytes : 1;
  static constexpr int threads = numbers < 32 ? 256 : 512;
  /// On a multiprocessor; threads then have 80 registers, or 128.
  static constexpr int blocksAtOnce = numbers < 16 ? 3 : 512 / threads;
  static constexpr int64_t longestRow = static_cast<int64_t>(numbers) * threads;
  /// Rows are fetched while those before them are computed on, if there are registers for both.
  static constexpr bool isAhead = fetchesAhead && width > 1 && bytes <= 32;
  /// A row takes all threads of a block; shorter ones have a layout with fewer packs.
  static constexpr bool isWholeBlock = packs > 1 && numbers >= 8;
  /// Beside so much of two rows a third does not fit into registers, nor do weights.
  static constexpr bool isLong = numbers > 16;
};

/// Whole packs of 16 bytes may be up to 16384 columns, others 4096.
template <typename Element>
bool holdsRow(int64_t cols) {
  return cols >= 1 && cols <= (cols * sizeof(Element) % 16 == 0 ? 16384 : 4096);
}

/// Calls `body` with the layout for rows of `cols` elements. Tensors begin at 16 bytes. A kernel for which
/// 4096 columns are enough says so by `longest`.
template <typename Element, int64_t longest = 16384, typename Body>
cudaError_t withRowLayout(int64_t cols, Body body) {
  if (!holdsRow<Element>(cols) || cols > longest) return cudaErrorInvalidValue;
  constexpr int width = 16 / sizeof(Element);
  if (cols % width != 0) {
    if (cols <= RowLayout<Element, 1, 4>::longestRow) return body(RowLayout<Element, 1, 4>());
    return body(RowLayout<Element, 1, 16>());
  }
  if (cols <= RowLayout<Element, width, 1>::longestRow) return body(RowLayout<Element, width, 1>());
  if (cols <= RowLayout<Element, width, 2>::longestRow) return body(RowLayout<Element, width, 2>());
  if constexpr (width == 4)
    if (cols <= RowLayout<Element, 4, 4>::longestRow) return body(RowLayout<Element, 4, 4>());
  if constexpr (longest > 4096) return body(RowLayout<Element, width, 32 / width>());
  return cudaErrorInvalidValue;
}

/// The block: x is the threads of a row, a power of two; y the rows, `groupsAtOnce` groups of some positions.
template <typename Layout>
struct HeldRowsBlock {
  dim3 size;
  unsigned groupsAtOnce;

  explicit HeldRowsBlock(const HeldRows& rows) : size(Layout::isWholeBlock ? Layout::threads : 1) {
    while (static_cast<int64_t>(size.x) * Layout::numbers < rows.cols) size.x *= 2;
    size.y = Layout::threads / size.x;
    groupsAtOnce = rows.groups < size.y ? static_cast<unsigned>(rows.groups) : size.y;
  }
  /// `shares` blocks for the positions, as many times as the groups need.
  dim3 grid(const HeldRows& rows, int64_t shares) const {
    return dim3(static_cast<unsigned>(shares),
                static_cast<unsigned>((rows.groups + groupsAtOnce - 1) / groupsAtOnce));
  }
  /// For a kernel that leaves nothing by block, and holds nothing for more than one row: a block for the rows
  /// that it takes at once. While some end and others begin, the rest keep memory busy.
  int64_t steps(const HeldRows& rows) const {
    const int64_t positionsAtOnce = size.y / groupsAtOnce * Layout::rowsAtOnce;
    return (rows.positions + positionsAtOnce - 1) / positionsAtOnce;
  }
  /// For a kernel that leaves nothing by block: what a large GPU runs at once.
  int64_t shares(const HeldRows& rows) const {
    const int64_t all = steps(rows);
    const int64_t most = 132 * Layout::blocksAtOnce;
    return all < most ? all : most;
  }
};

/// A thread's part of one row.
template <typename Layout>
struct RowPart {
  Pack<typename Layout::Element, Layout::width> packs[Layout::packs];

  __device__ float operator[](int i) const { return toFloat(packs[i / Layout::width].x[i % Layout::width]); }
  __device__ void set(int i, float value) {
    packs[i / Layout::width].x[i % Layout::width] = fromFloat<typename Layout::Element>(value);
  }

  /// Makes the compiler forget what it has made of the part: while threads wait for a sum only the part
  /// itself takes registers, bf16 in pairs.
  __device__ void forgetDerived() {
    if constexpr (sizeof(packs[0]) % 4 == 0) {
#pragma unroll
      for (int p = 0; p < Layout::packs; p++) {
        auto& words = reinterpret_cast<uint32_t(&)[sizeof(packs[0]) / 4]>(packs[p]);
#pragma unroll
        for (uint32_t& word : words) asm volatile("" : "+r"(word));
      }
    }
  }
};

/// What the calling thread does: the same columns of one group's rows, at the positions that are the block's
/// share, an equal one of all. `begin`, `end` and `step` are the same for all threads of a block.
template <typename Layout>
struct RowThread {
  int64_t begin, end;
  int step;  // positions that the block takes at once
  int64_t group;

  __device__ RowThread(const HeldRows& rows, int groupsAtOnce)
      : groups_(rows.groups), cols_(static_cast<int>(rows.cols)) {
    begin = rows.positions * blockIdx.x / gridDim.x;
    end = rows.positions * (blockIdx.x + 1) / gridDim.x;
    if constexpr (Layout::isWholeBlock) groupsAtOnce = 1;
    groupsAtOnce_ = groupsAtOnce;
    positionsAtOnce_ = Layout::isWholeBlock ? 1 : static_cast<int>(blockDim.y) / groupsAtOnce;
    step = positionsAtOnce_ * Layout::rowsAtOnce;
    place_ = Layout::isWholeBlock ? 0 : static_cast<int>(threadIdx.y) / groupsAtOnce;
    group = static_cast<int64_t>(blockIdx.y) * groupsAtOnce + threadIdx.y % groupsAtOnce;
    isActive_ = Layout::isWholeBlock || (group < groups_ && place_ < positionsAtOnce_);
  }

  /// The number of the thread's i-th row from position `first` on; -1: there is none.
  __device__ int64_t row(int64_t first, int i) const {
    const int64_t position = first + i * positionsAtOnce_ + place_;
    return isActive_ && position < end ? position * groups_ + group : -1;
  }
  /// Whether pack p lies inside its row.
  __device__ bool hasPart(int p) const { return column(p) < cols_; }
  __device__ bool isFirstOfRow() const { return threadIdx.x == 0; }

  /// Zeros where there is no such row, and after its end.
  __device__ void load(RowPart<Layout>& part, const typename Layout::Element* from, int64_t row) const {
#pragma unroll
    for (int p = 0; p < Layout::packs; p++) loadPart(part, p, from, row);
  }
  /// Pack p of it.
  __device__ void loadPart(RowPart<Layout>& part, int p, const typename Layout::Element* from,
                           int64_t row) const {
    part.packs[p] = Pack<typename Layout::Element, Layout::width>{};
    if (row >= 0 && column(p) < cols_)
      part.packs[p] = loadPack<Layout::width>(from + row * cols_ + column(p));
  }
  __device__ void store(typename Layout::Element* to, int64_t row, const RowPart<Layout>& part) const {
#pragma unroll
    for (int p = 0; p < Layout::packs; p++) storePart(to, p, row, part);
  }
  __device__ void storePart(typename Layout::Element* to, int p, int64_t row,
                            const RowPart<Layout>& part) const {
    if (row >= 0 && column(p) < cols_) storePack<Layout::width>(to + row * cols_ + column(p), part.packs[p]);
  }

  /// Pack p of the group's row of [groups, cols]; `otherwise` if there is no such matrix.
  __device__ void loadWeights(float (&weights)[Layout::width], const float* from, int p,
                              float otherwise) const {
#pragma unroll
    for (int i = 0; i < Layout::width; i++) weights[i] = otherwise;
    if (from == nullptr || group >= groups_ || column(p) >= cols_) return;
#pragma unroll
    for (int i = 0; i < Layout::width; i += single) {
      const auto pack = loadPack<single>(from + group * cols_ + column(p) + i);
#pragma unroll
      for (int k = 0; k < single; k++) weights[i + k] = pack.x[k];
    }
  }

  /// Adds what the block's threads have of each of the group's columns, in a fixed order, and leaves it in
  /// the block's row of shares [gridDim.x, groups, cols]. All threads call it together.
  __device__ void storeShare(float (&sums)[Layout::numbers], float* shares) const {
    if (positionsAtOnce_ > 1) addPositions(sums);
    if (place_ != 0 || !isActive_) return;
    float* const to = shares + (blockIdx.x * groups_ + group) * cols_;
#pragma unroll
    for (int p = 0; p < Layout::packs; p++) {
      if (column(p) >= cols_) continue;
#pragma unroll
      for (int i = 0; i < Layout::width; i += single) {
        Pack<float, single> pack;
#pragma unroll
        for (int k = 0; k < single; k++) pack.x[k] = sums[p * Layout::width + i + k];
        storePack<single>(to + column(p) + i, pack);
      }
    }
  }

 private:
  /// Numbers of four bytes in one access.
  static constexpr int single = Layout::width < 4 ? Layout::width : 4;

  __device__ int column(int pack) const {
    return static_cast<int>(pack * lanes() + threadIdx.x) * Layout::width;
  }
  static __device__ int lanes() {
    return Layout::isWholeBlock ? Layout::threads : static_cast<int>(blockDim.x);
  }

  /// To the threads of the first position, those of all.
  __device__ void addPositions(float (&sums)[Layout::numbers]) const {
    __shared__ float exchange[Layout::threads];
    const int thread = static_cast<int>(threadIdx.y * blockDim.x + threadIdx.x);
    const int apart = groupsAtOnce_ * static_cast<int>(blockDim.x);
#pragma unroll
    for (int i = 0; i < Layout::numbers; i++) {
      __syncthreads();
      exchange[thread] = sums[i];
      __syncthreads();
      if (place_ != 0) continue;
      for (int k = 1; k < positionsAtOnce_; k++) sums[i] += exchange[thread + k * apart];
    }
  }

  int64_t groups_;
  int cols_;
  int groupsAtOnce_, positionsAtOnce_, place_;
  bool isActive_;
};

/// The weights of a thread's columns, in registers where they fit.
template <typename Layout>
class RowWeights {
 public:
  static constexpr int width = Layout::width;

  /// `otherwise`: where `from` is null.
  __device__ RowWeights(const RowThread<Layout>& thread, const float* from, float otherwise)
      : thread_(thread), from_(from), otherwise_(otherwise) {
    if constexpr (!Layout::isLong)
#pragma unroll
      for (int p = 0; p < Layout::packs; p++) thread.loadWeights(held_[p], from, p, otherwise);
  }
  __device__ void get(float (&weights)[width], int p) const {
    if constexpr (Layout::isLong) {
      thread_.loadWeights(weights, from_, p, otherwise_);
    } else {
#pragma unroll
      for (int i = 0; i < width; i++) weights[i] = held_[p][i];
    }
  }

 private:
  const RowThread<Layout>& thread_;
  const float* from_;
  float otherwise_;
  float held_[Layout::isLong ? 1 : Layout::packs][width];
};

/// Calls `body(first, rows)` for the rows from each position of the block's share on that it takes at once.
/// `Rows` are the thread's parts of them, and `load(rows, first)` fetches these: of the next positions before
/// `body` runs.
template <typename Rows, typename Layout, typename Load, typename Body>
__device__ void forEachRows(const RowThread<Layout>& thread, Load load, Body body) {
  Rows next;
  if constexpr (Layout::isAhead) load(next, thread.begin);
  for (int64_t first = thread.begin; first < thread.end; first += thread.step) {
    Rows rows;
    if constexpr (Layout::isAhead) {
      rows = next;
      load(next, first + thread.step);
    } else {
      load(rows, first);
    }
    body(first, rows);
  }
}

struct Plus {
  __device__ float operator()(float a, float b) const { return a + b; }
};

/// Combines numbers of the threads of a row, some for each of several rows; every one of those threads has
/// the results.
template <typename Layout, int count>
class RowReduction {
 public:
  /// All threads of the block call it together; the order is fixed.
  template <typename Combine>
  __device__ void operator()(float (&values)[count], Combine combine) {
    for (int distance = min(static_cast<int>(blockDim.x), 32) / 2; distance > 0; distance /= 2)
#pragma unroll
      for (int i = 0; i < count; i++)
        values[i] = combine(values[i], __shfl_xor_sync(~0u, values[i], distance));
    if (blockDim.x <= 32) return;
    __shared__ float exchange[2][Layout::threads / 32][count];
    const int warps = static_cast<int>(blockDim.x) / 32;
    float(*const row)[count] = exchange[turn_] + threadIdx.y * warps;
    // Two places in turn: the one is read while the other is written.
    turn_ ^= 1;
    if (threadIdx.x % 32 == 0)
#pragma unroll
      for (int i = 0; i < count; i++) row[threadIdx.x / 32][i] = values[i];
    __syncthreads();
#pragma unroll
    for (int i = 0; i < count; i++) values[i] = row[0][i];
    for (int warp = 1; warp < warps; warp++)
#pragma unroll
      for (int i = 0; i < count; i++) values[i] = combine(values[i], row[warp][i]);
  }
  __device__ void operator()(float (&values)[count]) {
    (*this)(values, Plus());
  }

 private:
  int turn_ = 0;
};

}  // namespace longscan
