#pragma once

#include "../cuda/array.h"
#include "../cuda/types.h"
#include "args.h"

// Arguments of ops that have kernels of their own on GPUs: checked for types, sizes, and the 16 bytes at
// which those kernels want tensors to begin.
namespace longscan {

inline void checkAligned(const Args& args, const TensorRef& tensor) {
  args.check(reinterpret_cast<uintptr_t>(tensor.data) % 16 == 0, "a tensor does not begin at 16 bytes");
}

/// `count` elements of f32; an empty one has none.
inline void checkF32(const Args& args, const TensorRef& tensor, int64_t count, const char* name) {
  args.check(tensor.numElements == count && tensor.dtype == DType::f32,
             [&] { return std::string(name) + " is not f32 with " + std::to_string(count) + " elements"; });
  checkAligned(args, tensor);
}

inline float* f32Argument(Args& args, const char* name, int64_t count) {
  const TensorRef tensor = args.tensor(name);
  checkF32(args, tensor, count, name);
  return tensor.as<float>();
}

/// Null where the argument is.
inline float* optionalF32Argument(Args& args, const char* name, int64_t count) {
  const TensorRef tensor = args.optionalTensor(name);
  if (tensor) checkF32(args, tensor, count, name);
  return tensor.as<float>();
}

/// `count` elements of `like`'s type.
inline void* typedArgument(Args& args, const char* name, const TensorRef& like, int64_t count) {
  const TensorRef tensor = args.sizedTensor(name, like, count);
  checkAligned(args, tensor);
  return tensor.data;
}

/// LongscanElement of a tensor of f32 or bf16.
inline int32_t elementArgument(const Args& args, const TensorRef& tensor) {
  return isBf16(args, tensor) ? longscanElementBf16 : longscanElementF32;
}

/// A tensor of f32 or bf16; null for an empty one.
inline LongscanArray gpuArray(const Args& args, const TensorRef& tensor) {
  return {tensor.data, tensor ? isBf16(args, tensor) : 0};
}

/// For a call that no CUDA kernel takes, though its types and sizes fit each other.
[[noreturn]] inline void throwNoKernel(const Args& args, const std::string& found, const std::string& only) {
  throw Error("E-CUDA-KERNEL", std::string(args.function()) + ": no CUDA kernel for " + found +
                                   ", only for " + only +
                                   ". Fix: choose such sizes, or the CPU (device.kind = \"cpu\")");
}

/// Rows that kernels by cuda/held_rows.cuh take: whole packs of 16 bytes up to `longest` columns, others
/// 4096.
inline void checkHeldRow(const Args& args, const TensorRef& x, int64_t longest = 16384) {
  const int64_t cols = x.dim(-1), most = cols * dtypeBytes(x.dtype) % 16 == 0 ? longest : 4096;
  if (cols > most)
    throwNoKernel(args, "rows of " + std::to_string(cols) + " elements of " + dtypeName(x.dtype),
                  "up to " + std::to_string(longest) + ", 4096 unless a row is a multiple of 16 bytes");
}

/// How many shares of a sum over rows there is room for in `shares` [number, size], f32; an empty one has 0.
inline int64_t checkShares(const Args& args, const TensorRef& shares, int64_t size) {
  if (!shares) return 0;
  const int64_t number = shares.numElements / size;
  args.check(number >= 1 && number <= 65535, "there is no room for 1 to 65535 shares");
  checkF32(args, shares, number * size, "a sum by shares");
  return number;
}

/// Memory that one part of a recurrence may leave for the next: a tensor that the caller keeps, or, for null,
/// the stream's for this launch alone.
struct WorkspaceArgument {
  void* data;
  bool isKept;

  WorkspaceArgument(Args& args, size_t bytes) {
    const TensorRef kept = args.optionalTensor("workspace");
    args.check(!kept || kept.bytes() == bytes,
               [&] { return "workspace is not of " + std::to_string(bytes) + " bytes"; });
    isKept = static_cast<bool>(kept);
    data = kept ? kept.data : args.workspace(bytes);
  }
};

}  // namespace longscan
