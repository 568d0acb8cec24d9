#include "cuda.h"

#include "cuda/map_elements.cuh"

// A thread has some pairs of a row, whose sine and cosine in f64 serve several heads.

namespace longscan {

namespace {

constexpr int threads = 256;
constexpr int headsAtOnce = 16;

/// How often each pair turns round from one position to the next.
__global__ void turnsKernel(double theta, int64_t half, double* turns) {
  const int64_t i = static_cast<int64_t>(blockIdx.x) * threads + threadIdx.x;
  constexpr double perCircle = 0.15915494309189535;  // 1 / 2π
  if (i < half) turns[i] = perCircle * pow(theta, -static_cast<double>(i) / static_cast<double>(half));
}

template <int width, typename Element>
__global__ void __launch_bounds__(threads)
    rotaryKernel(const LongscanRotary call, const double* turns, const Element* x, Element* y) {
  const int64_t half = call.K / 2, units = half / width;
  const int64_t thread = static_cast<int64_t>(blockIdx.x) * threads + threadIdx.x;
  const int64_t row = thread / units, first = thread % units * width;
  if (row >= call.rows) return;
  const int64_t given = call.positions[row], position = given < 0 ? 0 : given / call.step;
  Values<width> cosines, sines;
#pragma unroll
  for (int i = 0; i < width; i++) {
    const double circles = static_cast<double>(position) * turns[first + i];
    double sine, cosine;
    sincospi(2 * (circles - floor(circles)), &sine, &cosine);
    cosines.x[i] = static_cast<float>(cosine);
    sines.x[i] = static_cast<float>(call.sign * sine);
  }
  const int64_t begin = static_cast<int64_t>(blockIdx.y) * headsAtOnce;
  const int64_t end = min(begin + headsAtOnce, call.H);
#pragma unroll 2
  for (int64_t h = begin; h < end; h++) {
    const int64_t at = (row * call.H + h) * call.K + first;
    const Values<width> low = loadValues<width>(x + at), high = loadValues<width>(x + at + half);
    Values<width> lowTurned, highTurned;
#pragma unroll
    for (int i = 0; i < width; i++) {
      lowTurned.x[i] = low.x[i] * cosines.x[i] - high.x[i] * sines.x[i];
      highTurned.x[i] = high.x[i] * cosines.x[i] + low.x[i] * sines.x[i];
    }
    storeValues(y + at, lowTurned);
    storeValues(y + at + half, highTurned);
  }
}

template <int width, typename Element>
cudaError_t launch(const LongscanRotary& call, const double* turns, const Element* x, Element* y,
                   cudaStream_t stream) {
  const int64_t numThreads = call.rows * (call.K / 2 / width);
  const dim3 grid(static_cast<unsigned>((numThreads + threads - 1) / threads),
                  static_cast<unsigned>((call.H + headsAtOnce - 1) / headsAtOnce));
  rotaryKernel<width><<<grid, threads, 0, stream>>>(call, turns, x, y);
  return cudaGetLastError();
}

}  // namespace

}  // namespace longscan

using namespace longscan;

size_t longscanRotaryWorkspaceBytes(const LongscanRotary* call) {
  return sizeof(double) * static_cast<size_t>(call->K / 2 + 1);
}

int longscanRotary(const LongscanRotary* call, LongscanArray x, LongscanArray y, void* workspace,
                   CUstream_st* stream) {
  if (call->rows * call->H * call->K == 0) return cudaSuccess;
  auto* const turns = static_cast<double*>(workspace);
  const int64_t half = call->K / 2;
  turnsKernel<<<static_cast<unsigned>((half + threads - 1) / threads), threads, 0, stream>>>(call->theta,
                                                                                             half, turns);
  return withArray(x, [&](auto* from) {
    auto* const to = static_cast<decltype(from)>(y.data);
    const auto addresses = reinterpret_cast<uintptr_t>(from) | reinterpret_cast<uintptr_t>(to);
    const bool packed = half % valuesAtOnce == 0 && addresses % 16 == 0;
    return packed ? launch<valuesAtOnce>(*call, turns, from, to, stream)
                  : launch<1>(*call, turns, from, to, stream);
  });
}
