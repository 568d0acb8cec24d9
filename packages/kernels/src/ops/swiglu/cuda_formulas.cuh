#pragma once

#include "cuda/sigmoid.cuh"

namespace longscan {

/// silu(gate) · up of one pair of numbers, and its gradients: one formula for all kernels, so that they agree
/// to the bit.
struct SwigluPoint {
  float gate, up;
  SigmoidPair s;

  __device__ SwigluPoint(float gate, float up) : gate(gate), up(up), s(gate) {}
  __device__ float product() const { return gate * s.plus * up; }
  __device__ float dgate(float dy) const { return dy * up * s.plus * (1.0f + gate * s.minus); }
  __device__ float dup(float dy) const { return dy * gate * s.plus; }
};

}  // namespace longscan
