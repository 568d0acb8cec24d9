#include <cstring>

#include "../../addon/args.h"
#include "cuda.h"

namespace longscan {

namespace {

/// The last rows of a halo [batch, rows, cols] (null: zeros) followed by x [batch, tokens, cols].
struct Tail {
  TensorRef x, halo, resets, tail;

  int64_t batch() const { return x.dim(0); }
  int64_t tokens() const { return x.dim(1); }
  int64_t cols() const { return x.dim(2); }
  int64_t rows() const { return tail.dim(1); }

  /// The first position, counted from -rows in the halo, that the document of the last token has.
  int64_t firstPosition(int64_t sequence) const {
    if (!resets) return -rows();
    const int32_t* starts = resets.as<int32_t>() + sequence * tokens();
    for (int64_t token = tokens() - 1; token >= 0; token--) {
      if (starts[token] != 0) return token;
    }
    return -rows();
  }

  /// Calls f(row of the tail, row of x or of the halo; null for a row of zeros) for each row.
  template <typename T, typename F>
  void forRows(F f) const {
    for (int64_t sequence = 0; sequence < batch(); sequence++) {
      const int64_t first = firstPosition(sequence);
      for (int64_t row = 0; row < rows(); row++) {
        const int64_t position = tokens() - rows() + row;
        T* other = nullptr;
        if (position >= first && position >= 0) {
          other = x.as<T>() + (sequence * tokens() + position) * cols();
        } else if (position >= first && halo) {
          other = halo.as<T>() + (sequence * rows() + rows() + position) * cols();
        }
        f(tail.as<T>() + (sequence * rows() + row) * cols(), other);
      }
    }
  }
};

Tail tailArguments(Args& args) {
  const Tail tail{args.tensor("x"), args.optionalTensor("halo"), args.optionalTensor("resets"),
                  args.tensor("tail")};
  args.checkSameType(tail.x, tail.tail);
  args.check(tail.x.numDims == 3 && tail.tail.numDims == 3, "x or tail is not [batch, rows, cols]");
  args.check(tail.tail.dim(0) == tail.batch() && tail.tail.dim(2) == tail.cols(), "tail differs from x");
  args.checkSize(tail.halo, tail.x, tail.tail.numElements, "halo");
  args.checkResets(tail.resets, tail.batch(), tail.tokens());
  return tail;
}

LongscanSequenceTail gpuCall(const Args& args, const Tail& tail) {
  return {tail.batch(), tail.tokens(),        tail.cols(),
          tail.rows(),  isBf16(args, tail.x), tail.resets.as<int32_t>()};
}

// A tail is some rows, so one thread does it.

Napi::Value bindForward(Args& args) {
  args.stream();
  const Tail tail = tailArguments(args);
  if (args.onGpu()) {
    const auto kernel = LONGSCAN_CUDA_FUNCTION(args, longscanSequenceTail);
    args.enqueueLaunch([=, call = gpuCall(args, tail)](CUstream_st* stream) {
      return kernel(&call, tail.x.data, tail.halo.data, tail.tail.data, stream);
    });
    return args.env().Undefined();
  }
  dispatchFloat(args, tail.x.dtype, [&](auto zero) {
    using T = decltype(zero);
    args.enqueue([=] {
      const size_t bytes = static_cast<size_t>(tail.cols()) * sizeof(T);
      tail.forRows<T>([=](T* row, const T* source) {
        if (source == nullptr) {
          std::memset(row, 0, bytes);
        } else {
          std::memcpy(row, source, bytes);
        }
      });
    });
  });
  return args.env().Undefined();
}

Napi::Value bindBackward(Args& args) {
  args.stream();
  const Tail tail = tailArguments(args);
  if (args.onGpu()) {
    const auto kernel = LONGSCAN_CUDA_FUNCTION(args, longscanSequenceTailAdd);
    args.enqueueLaunch([=, call = gpuCall(args, tail)](CUstream_st* stream) {
      return kernel(&call, tail.tail.data, tail.x.data, tail.halo.data, stream);
    });
    return args.env().Undefined();
  }
  dispatchFloat(args, tail.x.dtype, [&](auto zero) {
    using T = decltype(zero);
    args.enqueue([=] {
      const int64_t cols = tail.cols();
      tail.forRows<T>([=](const T* row, T* target) {
        if (target == nullptr) return;
        for (int64_t i = 0; i < cols; i++) target[i] += row[i];
      });
    });
  });
  return args.env().Undefined();
}

}  // namespace

void register_sequence_tail(Registry& registry) {
  registry.add("sequenceTailForward", 5, bindForward);
  registry.add("sequenceTailBackward", 5, bindBackward);
}

}  // namespace longscan
