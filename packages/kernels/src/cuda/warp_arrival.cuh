#pragma once

namespace longscan {

#ifdef LONGSCAN_RACECHECK
inline constexpr bool isForRacecheck = true;
#else
inline constexpr bool isForRacecheck = false;
#endif

/// The arrivals by which a warp announces at an mbarrier what all its lanes have done: one, of lane 0 behind
/// `__syncwarp`, which orders the others' accesses before it. compute-sanitizer's racecheck does not see that
/// order and reports reads of the other lanes; in a library built for it (`scripts/cuda/build.sh` with
/// LONGSCAN_RACECHECK=1) every lane arrives.
inline constexpr int arrivalsOfWarp = isForRacecheck ? 32 : 1;

/// Whether the calling thread is to arrive for its warp, all lanes of which call this.
__device__ inline bool arrivesForWarp() {
  __syncwarp();
  return isForRacecheck || (threadIdx.x & 31) == 0;
}

}  // namespace longscan
