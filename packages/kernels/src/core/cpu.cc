#include "cpu.h"

#include <immintrin.h>

#include <algorithm>
#include <atomic>

namespace longscan {

namespace {

CpuLevel detect() {
  __builtin_cpu_init();
  const bool v3 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") &&
                  __builtin_cpu_supports("bmi") && __builtin_cpu_supports("bmi2");
  if (!v3) return CpuLevel::baseline;
  const bool v4 = __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
                  __builtin_cpu_supports("avx512cd") && __builtin_cpu_supports("avx512dq") &&
                  __builtin_cpu_supports("avx512vl");
  return v4 ? CpuLevel::v4 : CpuLevel::v3;
}

std::atomic<CpuLevel>& level() {
  static std::atomic<CpuLevel> value{detect()};
  return value;
}

}  // namespace

CpuLevel cpuLevel() {
  return level().load(std::memory_order_relaxed);
}

CpuLevel limitCpuLevel(CpuLevel highest) {
  const CpuLevel chosen = std::min(detect(), highest);
  level().store(chosen);
  return chosen;
}

const char* cpuLevelName(CpuLevel value) {
  constexpr const char* names[] = {"x86-64 baseline", "x86-64-v3", "x86-64-v4"};
  return names[static_cast<int>(value)];
}

void prepareComputeThread() {
  _MM_SET_FLUSH_ZERO_MODE(_MM_FLUSH_ZERO_ON);
  _mm_setcsr(_mm_getcsr() | 0x0040);  // denormals are zero
}

}  // namespace longscan
