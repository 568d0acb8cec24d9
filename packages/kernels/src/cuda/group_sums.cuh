#pragma once

namespace longscan {

/// Adds up 2 `half` numbers over lanes `distance` apart, each of which is left with half of them, and so on
/// to two numbers: of sixteen, lanes 4 i and further have 2 i and 2 i + 1.
template <int half, int distance>
__device__ void sumOverGroups(float (&x)[16], int lane) {
  const bool upper = lane & distance;
#pragma unroll
  for (int i = 0; i < half; i++) {
    const float given = upper ? x[i] : x[i + half], own = upper ? x[i + half] : x[i];
    x[i] = own + __shfl_xor_sync(~0u, given, distance);
  }
  if constexpr (half > 2) sumOverGroups<half / 2, distance / 2>(x, lane);
}

}  // namespace longscan
