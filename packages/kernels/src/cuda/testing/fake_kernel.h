#pragma once

#include <dlfcn.h>

#include <cmath>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <deque>
#include <functional>
#include <mutex>

// What stands for kernels over the fake driver, whose memory is the host's.

struct CUstream_st;

/// Runs `task` in the order of a stream. It is kept for good: a graph may run it again.
inline int launchFake(CUstream_st* stream, std::function<void()> task) {
  using Task = std::function<void()>;
  using LaunchHostFunc = int (*)(CUstream_st*, void (*)(void*), void*);
  static const auto launch = reinterpret_cast<LaunchHostFunc>(
      dlsym(dlopen(std::getenv("LONGSCAN_CUDA_DRIVER"), RTLD_NOW), "cuLaunchHostFunc"));
  static std::mutex mutex;
  static std::deque<Task> tasks;
  std::lock_guard<std::mutex> lock(mutex);
  tasks.push_back(std::move(task));
  return launch(
      stream, [](void* kept) { (*static_cast<Task*>(kept))(); }, &tasks.back());
}

/// Element `at` of an array of bf16 or f32.
inline double loadFake(const void* data, bool isBf16, int64_t at) {
  if (!isBf16) return static_cast<const float*>(data)[at];
  const uint32_t bits = uint32_t{static_cast<const uint16_t*>(data)[at]} << 16;
  float value;
  std::memcpy(&value, &bits, sizeof(value));
  return value;
}

/// Rounded to nearest, ties to even.
inline void storeFake(void* data, bool isBf16, int64_t at, double value) {
  const auto single = static_cast<float>(value);
  if (!isBf16) {
    static_cast<float*>(data)[at] = single;
    return;
  }
  uint32_t bits;
  std::memcpy(&bits, &single, sizeof(bits));
  const uint32_t rounded = std::isnan(single) ? 0x7fc00000 : bits + 0x7fff + ((bits >> 16) & 1);
  static_cast<uint16_t*>(data)[at] = static_cast<uint16_t>(rounded >> 16);
}
