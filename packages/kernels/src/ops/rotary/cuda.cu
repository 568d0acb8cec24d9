#include "cuda.h"

#include "cuda/map_elements.cuh"

// Sines and cosines come first, in f64, once for all heads of a row; what turns the heads reads them from the
// L2.

namespace longscan {

namespace {

constexpr int threads = 256;
/// Rows of a block that computes angles.
constexpr int rowsOfAngles = 32;

/// angles [rows, K / 2] = (cosine, sine). A thread has one frequency, and every 8th row of a block.
__global__ void __launch_bounds__(threads) anglesKernel(const LongscanRotary call, float2* angles) {
  const int64_t half = call.K / 2, i = static_cast<int64_t>(blockIdx.y) * 32 + threadIdx.x;
  if (i >= half) return;
  // How often this pair turns round from one position to the next.
  constexpr double perCircle = 0.15915494309189535;  // 1 / 2π
  const double turns = perCircle * pow(call.theta, -static_cast<double>(i) / static_cast<double>(half));
  const int64_t first = static_cast<int64_t>(blockIdx.x) * rowsOfAngles + threadIdx.y;
  const int64_t last = min(static_cast<int64_t>(blockIdx.x + 1) * rowsOfAngles, call.rows);
  for (int64_t row = first; row < last; row += threads / 32) {
    const int64_t given = call.positions[row], position = given < 0 ? 0 : given / call.step;
    const double circles = static_cast<double>(position) * turns;
    double sine, cosine;
    sincospi(2 * (circles - floor(circles)), &sine, &cosine);
    angles[row * half + i] = float2{static_cast<float>(cosine), static_cast<float>(call.sign * sine)};
  }
}

/// A thread has `width` pairs of a head.
template <int width, typename Element>
__global__ void __launch_bounds__(threads)
    turnKernel(const LongscanRotary call, const float2* angles, const Element* x, Element* y) {
  const int64_t half = call.K / 2, units = half / width;
  const int64_t thread = static_cast<int64_t>(blockIdx.x) * threads + threadIdx.x;
  const int64_t head = thread / units, first = thread % units * width;  // of all rows' heads
  if (head >= call.rows * call.H) return;
  const float2* const turns = angles + head / call.H * half + first;
  const int64_t at = head * call.K + first;
  const Values<width> low = loadValues<width>(x + at), high = loadValues<width>(x + at + half);
  Values<width> lowTurned, highTurned;
#pragma unroll
  for (int i = 0; i < width; i++) {
    const float2 turn = turns[i];
    lowTurned.x[i] = low.x[i] * turn.x - high.x[i] * turn.y;
    highTurned.x[i] = high.x[i] * turn.x + low.x[i] * turn.y;
  }
  storeValues(y + at, lowTurned);
  storeValues(y + at + half, highTurned);
}

template <int width, typename Element>
cudaError_t launch(const LongscanRotary& call, const float2* angles, const Element* x, Element* y,
                   cudaStream_t stream) {
  const int64_t numThreads = call.rows * call.H * (call.K / 2 / width);
  turnKernel<width><<<static_cast<unsigned>((numThreads + threads - 1) / threads), threads, 0, stream>>>(
      call, angles, x, y);
  return cudaGetLastError();
}

}  // namespace

}  // namespace longscan

using namespace longscan;

size_t longscanRotaryWorkspaceBytes(const LongscanRotary* call) {
  return sizeof(float2) * static_cast<size_t>(call->rows * (call->K / 2) + 1);
}

int longscanRotary(const LongscanRotary* call, LongscanArray x, LongscanArray y, void* workspace,
                   CUstream_st* stream) {
  if (call->rows * call->H * call->K == 0) return cudaSuccess;
  auto* const angles = static_cast<float2*>(workspace);
  const int64_t half = call->K / 2;
  const dim3 grid(static_cast<unsigned>((call->rows + rowsOfAngles - 1) / rowsOfAngles),
                  static_cast<unsigned>((half + 31) / 32));
  anglesKernel<<<grid, dim3(32, threads / 32), 0, stream>>>(*call, angles);
  return withArray(x, [&](auto* from) {
    auto* const to = static_cast<decltype(from)>(y.data);
    const auto addresses = reinterpret_cast<uintptr_t>(from) | reinterpret_cast<uintptr_t>(to);
    const bool packed = half % valuesAtOnce == 0 && addresses % 16 == 0;
    return packed ? launch<valuesAtOnce>(*call, angles, from, to, stream)
                  : launch<1>(*call, angles, from, to, stream);
  });
}
