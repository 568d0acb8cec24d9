#pragma once

#include <cuda_runtime.h>

#include <cstdint>

#include "pack.cuh"

// Kernels that move whole rows: a functor says where row i comes from and goes to.

namespace longscan {

/// Rows that a thread has on their way at once.
constexpr int copiedRowsAtOnce = 4;

/// `Rows` has `source(row)`, a `const char*` or null for zeros, and `target(row)`, a `char*`.
template <typename Unit, typename Rows>
__global__ void copyRowsKernel(int64_t numRows, int64_t units, const Rows rows) {
  const int64_t unit = unitNumber(), first = rowNumber() * copiedRowsAtOnce;
  if (unit >= units) return;
  Unit values[copiedRowsAtOnce];
#pragma unroll
  for (int i = 0; i < copiedRowsAtOnce; i++) {
    values[i] = Unit{};
    if (first + i >= numRows) continue;
    const char* from = rows.source(first + i);
    if (from != nullptr) values[i] = reinterpret_cast<const Unit*>(from)[unit];
  }
#pragma unroll
  for (int i = 0; i < copiedRowsAtOnce; i++)
    if (first + i < numRows) reinterpret_cast<Unit*>(rows.target(first + i))[unit] = values[i];
}

template <typename Unit, typename Rows>
cudaError_t launchCopyRows(int64_t numRows, int64_t rowBytes, const Rows& rows, cudaStream_t stream) {
  const int64_t units = rowBytes / static_cast<int64_t>(sizeof(Unit));
  const RowBlocks blocks((numRows + copiedRowsAtOnce - 1) / copiedRowsAtOnce, units);
  copyRowsKernel<Unit><<<blocks.grid, blocks.block(), 0, stream>>>(numRows, units, rows);
  return cudaGetLastError();
}

/// For `copyRows`.
inline int64_t addressOf(const void* memory) {
  return reinterpret_cast<intptr_t>(memory);
}

/// `steps`: all addresses that rows count from and all distances in bytes between them, or'ed; it says how
/// wide an access may be. No element has fewer than two bytes.
template <typename Rows>
cudaError_t copyRows(int64_t numRows, int64_t rowBytes, int64_t steps, const Rows& rows,
                     cudaStream_t stream) {
  if (numRows == 0 || rowBytes == 0) return cudaSuccess;
  const int64_t all = steps | rowBytes;
  if (all % 16 == 0) return launchCopyRows<uint4>(numRows, rowBytes, rows, stream);
  if (all % 8 == 0) return launchCopyRows<uint2>(numRows, rowBytes, rows, stream);
  if (all % 4 == 0) return launchCopyRows<uint32_t>(numRows, rowBytes, rows, stream);
  return launchCopyRows<uint16_t>(numRows, rowBytes, rows, stream);
}

}  // namespace longscan
