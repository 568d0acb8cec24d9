#pragma once

namespace longscan {

/// Instruction-set levels that the kernels are compiled for.
enum class CpuLevel { baseline = 0, v3 = 1, v4 = 2 };

/// The best level of this CPU, by feature bits and never by name; `limitCpuLevel` (tests) can lower it.
CpuLevel cpuLevel();
const char* cpuLevelName(CpuLevel level);
/// For tests of the lower paths: no level above this one is chosen from now on. Throws nothing; returns the
/// level in force.
CpuLevel limitCpuLevel(CpuLevel highest);

/// Called first on every thread that runs kernels: denormals are flushed to zero, because products of decays
/// reach them on ordinary inputs and each such operation costs over a hundred cycles.
void prepareComputeThread();

}  // namespace longscan

/// Declares one kernel compiled for each level, and `name(...)` in namespace longscan that calls the best
/// one. The definitions stand in `cpu.cc` inside `namespace longscan { namespace LONGSCAN_LEVEL { ... } }`.
#define LONGSCAN_KERNEL(name, parameters, arguments) \
  namespace longscan {                               \
  namespace baseline {                               \
  void name parameters;                              \
  }                                                  \
  namespace v3 {                                     \
  void name parameters;                              \
  }                                                  \
  namespace v4 {                                     \
  void name parameters;                              \
  }                                                  \
  inline void name parameters {                      \
    switch (cpuLevel()) {                            \
      case CpuLevel::v4:                             \
        return v4::name arguments;                   \
      case CpuLevel::v3:                             \
        return v3::name arguments;                   \
      default:                                       \
        return baseline::name arguments;             \
    }                                                \
  }                                                  \
  }
