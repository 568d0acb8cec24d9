#include "cuda_rows.h"

#include "cuda/elements.cuh"

namespace longscan {

namespace {

/// Calls `body(null pointer of the element type)`.
template <typename Body>
cudaError_t withType(const LongscanMesa& call, Body&& body) {
  return withElement(call.type == longscanElementBf16, body);
}

/// A warp a token of a head: dBeta is a sum over both sides.
template <typename Element>
__global__ void __launch_bounds__(128)
    gradientsKernel(const LongscanMesa call, const MesaSizes sizes, const float* ofKey,
                    const float* ofWritten, const LongscanMesaKeyValueGradient to) {
  const int64_t token = static_cast<int64_t>(blockIdx.x) * 4 + threadIdx.x / 32;
  if (token >= call.B * call.T * call.H) return;
  const int lane = threadIdx.x % 32;
  const auto *k = static_cast<const Element*>(call.k), *v = static_cast<const Element*>(call.v);
  auto *dk = static_cast<Element*>(to.dk), *dv = static_cast<Element*>(to.dv);
  const float beta = call.beta[token];
  const float* written = ofWritten + token * sizes.both;
  float sum = 0.0f;
  for (int i = lane; i < call.K; i += 32) {
    const int64_t at = token * call.K + i;
    sum += load(k, at) * written[i];
    store(dk, at, ofKey[token * sizes.keys + i] + beta * written[i]);
  }
  for (int i = lane; i < call.V; i += 32) {
    const int64_t at = token * call.V + i;
    sum += load(v, at) * written[sizes.keys + i];
    store(dv, at, beta * written[sizes.keys + i]);
  }
#pragma unroll
  for (int distance = 16; distance > 0; distance /= 2) sum += __shfl_xor_sync(~0u, sum, distance);
  if (lane == 0) to.dBeta[token] = sum;
}

template <typename Element>
struct FillRows {
  LongscanMesa call;
  MesaSizes sizes;
  MesaRows rows;

  __device__ void operator()(int64_t i) const {
    const int64_t token = i / sizes.both;
    const int column = static_cast<int>(i % sizes.both);
    const float beta = call.beta[token];
    if (column < sizes.keys) {
      const bool exists = column < call.K;
      const int64_t from = token * call.K + column, to = token * sizes.keys + column;
      const float key = exists ? load(static_cast<const Element*>(call.k), from) : 0.0f;
      rows.k[to] = key;
      rows.written[i] = beta * key;
      if (rows.q) rows.q[to] = exists ? load(static_cast<const Element*>(call.q), from) : 0.0f;
      if (rows.gradients && rows.u) rows.gradients[i] = -rows.u[to];
    } else {
      const int y = column - sizes.keys;
      const bool exists = y < call.V;
      const int64_t from = token * call.V + y;
      rows.written[i] = exists ? beta * load(static_cast<const Element*>(call.v), from) : 0.0f;
      if (rows.gradients)
        rows.gradients[i] = exists ? load(static_cast<const Element*>(rows.dO), from) : 0.0f;
    }
  }
};

template <typename Element>
struct NarrowRows {
  const float* rows;
  Element* to;
  int channels, paddedChannels;

  __device__ void operator()(int64_t i) const {
    store(to, i, rows[i / channels * paddedChannels + i % channels]);
  }
};

struct UnpackState {
  LongscanMesa call;
  MesaSizes sizes;
  const float* stored;
  float* state;

  __device__ void operator()(int64_t i) const {
    const int64_t size = int64_t{sizes.keys} * (sizes.both + 1), bh = i / size;
    const int place = static_cast<int>(i % size), key = place / sizes.both, column = place % sizes.both;
    const bool ofKeys = column < sizes.keys;
    const int row = ofKeys ? column : column - sizes.keys;
    // Behind all keys stands the vector.
    const bool exists = key < call.K && row < (ofKeys ? call.K : call.V);
    const int64_t storedRow = bh * (call.K + call.V) + (ofKeys ? row : call.K + row);
    state[i] = exists ? stored[storedRow * call.K + key] : 0.0f;
  }
};

struct PackState {
  LongscanMesa call;
  MesaSizes sizes;
  const float* state;
  float* stored;

  __device__ void operator()(int64_t i) const {
    const int64_t rows = call.K + call.V, bh = i / (rows * call.K);
    const int row = static_cast<int>(i / call.K % rows), key = static_cast<int>(i % call.K);
    const int column = row < call.K ? row : sizes.keys + row - call.K;
    stored[i] = state[(bh * (sizes.both + 1) * sizes.keys) + int64_t{key} * sizes.both + column];
  }
};

}  // namespace

cudaError_t launchMesaRows(const LongscanMesa& call, const MesaRows& rows, cudaStream_t stream) {
  const MesaSizes sizes(call);
  return withType(call, [&](auto* element) {
    const FillRows<std::remove_pointer_t<decltype(element)>> body{call, sizes, rows};
    return forEachElement(call.B * call.T * call.H * sizes.both, body, stream);
  });
}

cudaError_t launchMesaOutput(const LongscanMesa& call, const float* rows, void* o, cudaStream_t stream) {
  return withType(call, [&](auto* element) {
    using Element = std::remove_pointer_t<decltype(element)>;
    const NarrowRows<Element> body{rows, static_cast<Element*>(o), call.V, MesaSizes(call).values};
    return forEachElement(call.B * call.T * call.H * call.V, body, stream);
  });
}

cudaError_t launchMesaGradients(const LongscanMesa& call, const float* ofKey, const float* ofWritten,
                                const LongscanMesaKeyValueGradient& to, cudaStream_t stream) {
  return withType(call, [&](auto* element) {
    const auto blocks = static_cast<unsigned>((call.B * call.T * call.H + 3) / 4);
    gradientsKernel<std::remove_pointer_t<decltype(element)>>
        <<<blocks, 128, 0, stream>>>(call, MesaSizes(call), ofKey, ofWritten, to);
    return cudaGetLastError();
  });
}

cudaError_t launchMesaUnpack(const LongscanMesa& call, const float* stored, float* state,
                             cudaStream_t stream) {
  const MesaSizes sizes(call);
  const int64_t count = call.B * call.H * sizes.keys * (sizes.both + 1);
  return forEachElement(count, UnpackState{call, sizes, stored, state}, stream);
}

cudaError_t launchMesaPack(const LongscanMesa& call, const float* state, float* stored, cudaStream_t stream) {
  const int64_t count = call.B * call.H * (call.K + call.V) * call.K;
  return forEachElement(count, PackState{call, MesaSizes(call), state, stored}, stream);
}

}  // namespace longscan
