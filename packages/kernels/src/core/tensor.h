#pragma once

#include <array>
#include <cstdint>
#include <string>

#include "dtype.h"

namespace longscan {

struct Block;

constexpr int maxDims = 6;

/// A tensor as an op sees it: contiguous, row-major, resolved on the JavaScript thread at the time of the
/// enqueue.
struct TensorRef {
  void* data = nullptr;
  DType dtype = DType::f32;
  int numDims = 0;
  int64_t numElements = 0;
  std::array<int64_t, maxDims> shape{};
  Block* block = nullptr;

  explicit operator bool() const { return block != nullptr; }  // false: a null argument
  template <typename T>
  T* as() const {
    return static_cast<T*>(data);
  }
  int64_t dim(int i) const { return shape[static_cast<size_t>(i < 0 ? i + numDims : i)]; }
  /// Rows of `[..., cols]` seen as a matrix: the product of all dims but the last.
  int64_t numRows() const {
    int64_t rows = 1;
    for (int i = 0; i + 1 < numDims; i++) rows *= shape[static_cast<size_t>(i)];
    return rows;
  }
  size_t bytes() const { return static_cast<size_t>(numElements) * dtypeBytes(dtype); }
};

/// The tensors of one enqueue: the shapes of the first ones, for error messages, and the bytes of all.
class ShapeList {
 public:
  void add(const TensorRef& tensor) {
    bytes_ += tensor.bytes();
    if (count_ < tensors_.size()) tensors_[count_++] = {tensor.dtype, tensor.numDims, tensor.shape};
  }
  /// A tensor that was named twice counts twice: it is read and written.
  size_t bytes() const { return bytes_; }
  std::string toString() const {
    std::string text;
    for (size_t i = 0; i < count_; i++) {
      const auto& tensor = tensors_[i];
      text += (i == 0 ? "" : " ") + std::string(dtypeName(tensor.dtype)) + "[";
      for (int d = 0; d < tensor.numDims; d++) {
        text += (d == 0 ? "" : ",") + std::to_string(tensor.shape[static_cast<size_t>(d)]);
      }
      text += "]";
    }
    return text;
  }

 private:
  struct Entry {
    DType dtype;
    int numDims;
    std::array<int64_t, maxDims> shape;
  };
  std::array<Entry, 6> tensors_;
  size_t count_ = 0;
  size_t bytes_ = 0;
};

}  // namespace longscan
