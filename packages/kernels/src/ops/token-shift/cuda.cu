#include "cuda.h"

#include "cuda/pack.cuh"

namespace longscan {

namespace {

/// Rows that a thread has on their way at once.
constexpr int rowsAtOnce = 4;

/// [B, T, units]; the row on the other side of the slice's border is read (forward) or written (backward).
template <typename Unit>
struct Shift {
  int64_t B, T, units;
  const int32_t* resets;
  const Unit *from, *halo;
  Unit *to, *toHalo;
};

template <typename Unit>
__global__ void forwardKernel(const Shift<Unit> shift) {
  const int64_t unit = unitNumber(), groups = (shift.T + rowsAtOnce - 1) / rowsAtOnce;
  const int64_t group = rowNumber();
  if (unit >= shift.units || group >= shift.B * groups) return;
  const int64_t b = group / groups, first = group % groups * rowsAtOnce;
  Unit rows[rowsAtOnce];
#pragma unroll
  for (int i = 0; i < rowsAtOnce; i++) {
    const int64_t t = first + i, row = b * shift.T + t;
    rows[i] = Unit{};
    if (t >= shift.T || (shift.resets && shift.resets[row])) continue;
    if (t > 0)
      rows[i] = shift.from[(row - 1) * shift.units + unit];
    else if (shift.halo)
      rows[i] = shift.halo[b * shift.units + unit];
  }
#pragma unroll
  for (int i = 0; i < rowsAtOnce; i++)
    if (first + i < shift.T) shift.to[(b * shift.T + first + i) * shift.units + unit] = rows[i];
}

template <typename Unit>
__global__ void backwardKernel(const Shift<Unit> shift) {
  const int64_t unit = unitNumber(), groups = (shift.T + rowsAtOnce - 1) / rowsAtOnce;
  const int64_t group = rowNumber();
  if (unit >= shift.units || group >= shift.B * groups) return;
  const int64_t b = group / groups, first = group % groups * rowsAtOnce;
  // What token t gave to the row before it.
  const auto given = [=](int64_t t) {
    const int64_t row = b * shift.T + t;
    return t >= shift.T || (shift.resets && shift.resets[row]) ? Unit{}
                                                               : shift.from[row * shift.units + unit];
  };
  Unit rows[rowsAtOnce];
#pragma unroll
  for (int i = 0; i < rowsAtOnce; i++) rows[i] = given(first + i + 1);
#pragma unroll
  for (int i = 0; i < rowsAtOnce; i++)
    if (first + i < shift.T) shift.to[(b * shift.T + first + i) * shift.units + unit] = rows[i];
  if (first == 0 && shift.toHalo) shift.toHalo[b * shift.units + unit] = given(0);
}

template <typename Unit>
cudaError_t launch(const LongscanTokenShift& call, const void* from, const void* halo, void* to, void* toHalo,
                   bool backward, cudaStream_t stream) {
  const int64_t elementBytes = call.type == longscanElementBf16 ? 2 : 4;
  const Shift<Unit> shift{call.B,
                          call.T,
                          call.D * elementBytes / static_cast<int64_t>(sizeof(Unit)),
                          call.resets,
                          static_cast<const Unit*>(from),
                          static_cast<const Unit*>(halo),
                          static_cast<Unit*>(to),
                          static_cast<Unit*>(toHalo)};
  const RowBlocks blocks(call.B * ((call.T + rowsAtOnce - 1) / rowsAtOnce), shift.units);
  if (backward)
    backwardKernel<<<blocks.grid, blocks.block(), 0, stream>>>(shift);
  else
    forwardKernel<<<blocks.grid, blocks.block(), 0, stream>>>(shift);
  return cudaGetLastError();
}

/// Copies units as large as rows are made of.
cudaError_t shift(const LongscanTokenShift& call, const void* from, const void* halo, void* to, void* toHalo,
                  bool backward, cudaStream_t stream) {
  if (call.B <= 0 || call.T <= 0 || call.D <= 0) return cudaErrorInvalidValue;
  const int64_t rowBytes = call.D * (call.type == longscanElementBf16 ? 2 : 4);
  if (rowBytes % 16 == 0) return launch<uint4>(call, from, halo, to, toHalo, backward, stream);
  if (rowBytes % 4 == 0) return launch<uint32_t>(call, from, halo, to, toHalo, backward, stream);
  return launch<uint16_t>(call, from, halo, to, toHalo, backward, stream);
}

}  // namespace

}  // namespace longscan

int longscanTokenShiftForward(const LongscanTokenShift* call, const void* x, const void* halo, void* y,
                              CUstream_st* stream) {
  return longscan::shift(*call, x, halo, y, nullptr, false, stream);
}

int longscanTokenShiftBackward(const LongscanTokenShift* call, const void* dy, void* dx, void* dHalo,
                               CUstream_st* stream) {
  return longscan::shift(*call, dy, nullptr, dx, dHalo, true, stream);
}
