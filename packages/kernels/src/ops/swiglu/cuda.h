#pragma once

#include <stdint.h>

// silu(gate) · up on CUDA devices, as plain C, over flat arrays of f32 or bf16 in device memory, aligned to
// 16 bytes. Calls only enqueue on the stream; each returns 0 or a cudaError_t.

#ifdef __cplusplus
extern "C" {
#endif

struct CUstream_st;

struct LongscanSwiglu {
  int64_t count;
  int32_t isBf16;  // all arrays
  const void *gate, *up;
  /// Where gate and up lie side by side in rows, with gradients like them: the columns of one of them, a
  /// multiple of 16 bytes; 0 where each lies by itself. All other arrays lie by themselves.
  int64_t columns;
};

/// y = silu(gate) up
int longscanSwigluForward(const struct LongscanSwiglu* call, void* y, struct CUstream_st* stream);
/// The gradients, which may be gate and up, and unless null y again, which may be dy.
int longscanSwigluBackward(const struct LongscanSwiglu* call, const void* dy, void* dgate, void* dup, void* y,
                           struct CUstream_st* stream);

#ifdef __cplusplus
}
#endif
