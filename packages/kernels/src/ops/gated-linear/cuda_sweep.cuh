#pragma once

#include "cuda/mma.cuh"
#include "cuda_pieces.cuh"
#include "cuda_sweep.h"

namespace longscan {

constexpr int sweepThreads = 128;
constexpr float log2e = 1.4426950408889634f;

__device__ inline float exp2Approx(float x) {
  float y;
  asm("ex2.approx.ftz.f32 %0, %1;" : "=f"(y) : "f"(x));
  return y;
}

/// Shared memory of a sweep: two stages of inputs, the scores of the current chunk, and a copy for each warp
/// of its log decays.
template <int DC, int DO, SweepDecay kind, bool summary>
struct SweepLayout {
  static constexpr int inputs = (summary ? 1 : 2) * Tile<DC>::bytes + Tile<DO>::bytes;
  static constexpr int scoresPerStage = kind == SweepDecay::contracted && !summary ? Tile<64>::bytes : 0;
  static constexpr int decays =
      kind == SweepDecay::scalar ? 64 * 4 : (kind == SweepDecay::free ? DO : DC) * 4;
  static constexpr int stage = inputs + scoresPerStage + decays;
  static constexpr int scoresOnce = kind == SweepDecay::scalar && !summary ? Tile<64>::bytes : 0;
  static constexpr int logDecays = kind == SweepDecay::scalar ? 4 * 64 * 4 : 0;
  static constexpr int bytes = 2 * stage + scoresOnce + logDecays;
};

/// Sums of log2 decays of a chunk's rows in the sweep's order, written to `sums`[64] by one warp; returns
/// their total. With time a row's own is included, against time it is not.
__device__ inline float sumLogDecays(const float* gates, float* sums, bool backward, int lane) {
  const float2 own = reinterpret_cast<const float2*>(gates)[lane];
  const float first = own.x * log2e, second = own.y * log2e;
  float upTo = first + second;
#pragma unroll
  for (int distance = 1; distance < 32; distance *= 2) {
    const float earlier = __shfl_up_sync(~0u, upTo, distance);
    if (lane >= distance) upTo += earlier;
  }
  const float before = __shfl_up_sync(~0u, upTo, 1);
  const float base = lane == 0 ? 0.0f : before;
  __syncwarp();
  reinterpret_cast<float2*>(sums)[lane] =
      backward ? make_float2(base, base + first) : make_float2(base + first, upTo);
  __syncwarp();
  return __shfl_sync(~0u, upTo, 31);
}

/// Multiplies two bf16 by two f32, rounding once.
__device__ inline uint32_t scalePair(uint32_t both, float low, float high) {
  return pack(lowHalf(both) * low, highHalf(both) * high);
}

/// With `summary`, only what the segment makes of a zero state, from y and z: E, M and whether a document
/// starts in it.
template <int DC, int DO, SweepDecay kind, bool summary>
__global__ void __launch_bounds__(sweepThreads, DC == 256 ? 1 : 2)
    sweepKernel(const __grid_constant__ SweepCall call) {
  constexpr int MT = DO / 64;  // 16-row tiles of P^T that a warp holds
  constexpr int NT = DC / 8;   // 8-column tiles
  constexpr bool scalar = kind == SweepDecay::scalar;
  using Layout = SweepLayout<DC, DO, kind, summary>;
  extern __shared__ __align__(128) unsigned char shared[];

  const SweepTask& task = call.tasks[blockIdx.y];
  const int lane = threadIdx.x & 31, warp = threadIdx.x >> 5;
  const int group = lane >> 2, pairOf = 2 * (lane & 3);
  const int tiles = freeTiles(call.contracted, call.free);
  const int tile = blockIdx.x % tiles;
  const int segment = blockIdx.x / tiles % call.numSegments;
  const int64_t bh = blockIdx.x / tiles / call.numSegments;
  const int b = static_cast<int>(bh / call.H), h = static_cast<int>(bh % call.H);
  const int64_t T = call.T;
  const int numChunks = static_cast<int>((T + chunkTokens - 1) / chunkTokens);
  const bool backward = task.backward;
  const int channel = tile * DO;           // the block's first free channel
  const int warpChannel = warp * 16 * MT;  // the warp's, within the block
  const int64_t pitchC = static_cast<int64_t>(call.H) * call.contracted;
  const int64_t pitchO = static_cast<int64_t>(call.H) * call.free;
  const int64_t headC = b * T * pitchC + static_cast<int64_t>(h) * call.contracted;
  const int64_t headO = b * T * pitchO + static_cast<int64_t>(h) * call.free;
  const int keys = task.freeIsKey ? call.free : call.contracted;

  const uint32_t base = sharedAddress(shared);
  auto stageZ = [&](int s) { return Tile<DO>{base + s * Layout::stage}; };
  auto stageY = [&](int s) { return Tile<DC>{base + s * Layout::stage + Tile<DO>::bytes}; };
  auto stageX = [&](int s) { return Tile<DC>{base + s * Layout::stage + Tile<DO>::bytes + Tile<DC>::bytes}; };
  auto stageScores = [&](int s) {
    return Tile<64>{base + (scalar ? 2 * Layout::stage : s * Layout::stage + Layout::inputs)};
  };
  auto stageDecays = [&](int s) {
    return reinterpret_cast<float*>(shared + s * Layout::stage + Layout::inputs + Layout::scoresPerStage);
  };
  float* const sums =
      reinterpret_cast<float*>(shared + 2 * Layout::stage + Layout::scoresOnce) + (scalar ? warp * 64 : 0);

  auto fill = [&](const Piece& piece, int s) {
    const TileRows rows{static_cast<int64_t>(piece.chunk) * chunkTokens, piece.low, piece.high};
    if constexpr (!summary)
      fillTile<DC, sweepThreads>(stageX(s), task.x + headC, pitchC, 0, call.contracted, rows, backward);
    fillTile<DC, sweepThreads>(stageY(s), task.y + headC, pitchC, 0, call.contracted, rows, backward);
    fillTile<DO, sweepThreads>(stageZ(s), task.z + headO, pitchO, channel, call.free, rows, backward);
    const uint32_t decays = sharedAddress(stageDecays(s));
    if constexpr (scalar) {
      if (call.gatePerToken && threadIdx.x < 64) {
        const int offset = backward ? 63 - threadIdx.x : threadIdx.x;
        const bool valid = rows.has(offset);
        const float* from = valid ? call.g + (b * T + rows.first + offset) * call.H + h : call.g;
        copyAsync4(decays + 4 * threadIdx.x, from, valid);
      }
    } else {
      const int first = kind == SweepDecay::free ? channel : 0;
      constexpr int count = kind == SweepDecay::free ? DO : DC;
      const float* gamma = task.gamma + (bh * numChunks + piece.chunk) * keys;
      for (int i = threadIdx.x; i < count / 4; i += sweepThreads) {
        const bool valid = first + 4 * i < keys;
        copyAsync16(decays + 16 * i, valid ? gamma + first + 4 * i : gamma, valid);
      }
      if constexpr (kind == SweepDecay::contracted && !summary) {
        const __nv_bfloat16* scores = task.scores + (bh * numChunks + piece.chunk) * (64 * 64);
        for (int i = threadIdx.x; i < 64 * 8; i += sweepThreads)
          copyAsync16(stageScores(s).address(i / 8, i % 8), scores + i * 8, true);
      }
    }
  };

  // P^T: rows warpChannel + 16 m + group (+ 8), columns 8 n + pairOf + {0, 1}.
  float P[MT][NT][4];
  const int rowStride = task.freeIsKey ? 1 : keys, columnStride = task.freeIsKey ? keys : 1;
  const int64_t stateSize = static_cast<int64_t>(call.contracted) * call.free;
  auto eachState = [&](auto&& visit) {
#pragma unroll
    for (int m = 0; m < MT; m++)
#pragma unroll
      for (int n = 0; n < NT; n++)
#pragma unroll
        for (int i = 0; i < 4; i++) {
          const int row = channel + warpChannel + 16 * m + group + (i >> 1) * 8,
                    column = 8 * n + pairOf + (i & 1);
          visit(P[m][n][i], row < call.free && column < call.contracted,
                row * rowStride + column * columnStride);
        }
  };
  if (summary) {
    eachState([](float& value, bool, int) { value = 0.0f; });
  } else {
    const float* from = task.states + (bh * call.numSegments + segment) * stateSize;
    eachState([&](float& value, bool inside, int at) { value = inside ? from[at] : 0.0f; });
  }

  const int begin = segment * call.chunksPerSegment, end = min(begin + call.chunksPerSegment, numChunks);
  PieceWalk walk(call.resets ? call.resets + b * T : nullptr, T, begin, end, backward);
  int stage = 0;
  float factor[2] = {
      0.0f, 1.0f};  // of the segment: scalar: its log2 decay; else that of channels threadIdx.x (+ 128)
  if (!scalar) factor[0] = 1.0f;
  bool reset = false;
  if (!walk.done()) fill(walk.piece(), 0);
  commitCopies();

  while (!walk.done()) {
    const Piece piece = walk.piece();
    waitForCopies<0>();
    __syncthreads();
    walk.advance();
    if (!walk.done()) fill(walk.piece(), stage ^ 1);
    commitCopies();
    const Tile<DC> X = stageX(stage), Y = stageY(stage);
    const Tile<DO> Z = stageZ(stage);
    const Tile<64> scores = stageScores(stage);
    float* const decays = stageDecays(stage);
    const int64_t first = static_cast<int64_t>(piece.chunk) * chunkTokens;

    if (piece.fresh && !backward) eachState([](float& value, bool, int) { value = 0.0f; });

    if (!summary && task.keptForward != nullptr && piece.opensChunk) {
      const uint4* from = task.keptForward +
                          ((bh * numChunks + piece.chunk) * tiles + tile) * (MT * NT / 2) * sweepThreads +
                          threadIdx.x;
#pragma unroll
      for (int m = 0; m < MT; m++) {
        float upper = 0.0f, lower = 0.0f;
#pragma unroll
        for (int n = 0; n < NT; n += 2) {
          const uint4 other = from[(m * NT + n) / 2 * sweepThreads];
          upper += P[m][n][0] * lowHalf(other.x) + P[m][n][1] * highHalf(other.x);
          lower += P[m][n][2] * lowHalf(other.y) + P[m][n][3] * highHalf(other.y);
          upper += P[m][n + 1][0] * lowHalf(other.z) + P[m][n + 1][1] * highHalf(other.z);
          lower += P[m][n + 1][2] * lowHalf(other.w) + P[m][n + 1][3] * highHalf(other.w);
        }
        upper += __shfl_xor_sync(~0u, upper, 1);
        lower += __shfl_xor_sync(~0u, lower, 1);
        upper += __shfl_xor_sync(~0u, upper, 2);
        lower += __shfl_xor_sync(~0u, lower, 2);
        const int row = channel + warpChannel + 16 * m + group;
        float* to = task.ends + (bh * numChunks + piece.chunk) * call.free;
        if (pairOf == 0 && row < call.free) to[row] = upper;
        if (pairOf == 0 && row + 8 < call.free) to[row + 8] = lower;
      }
    }

    float total = 0.0f;
    if constexpr (scalar) {
      if (call.g != nullptr) {
        if (!call.gatePerToken) {
          // Every warp writes the same numbers; the barrier after the scores orders them for nobody else.
          const float gate = call.g[h];
          for (int row = lane; row < 64; row += 32) {
            const int offset = backward ? 63 - row : row;
            sums[row] = offset >= piece.low && offset < piece.high ? gate : 0.0f;
          }
          __syncwarp();
        }
        total = sumLogDecays(call.gatePerToken ? decays : sums, sums, backward, lane);
      }
    }
    if constexpr (scalar && !summary) {
      // Scores x_t . y_s of 16 rows a warp, decayed, to shared memory.
      float score[8][4] = {};
#pragma unroll
      for (int k = 0; k < DC / 16; k++) {
        const MmaA a = loadA(X, 16 * warp, 16 * k, lane);
#pragma unroll
        for (int n = 0; n < 4; n++)
          if (n <= warp) mma(score[2 * n], score[2 * n + 1], a, loadBTransposed(Y, 16 * n, 16 * k, lane));
      }
#pragma unroll
      for (int half = 0; half < 2; half++) {
        const int row = 16 * warp + 8 * half + group;
        const float own = call.g != nullptr ? sums[row] : 0.0f;
#pragma unroll
        for (int n = 0; n < 8; n++) {
          if (n / 2 > warp) continue;
          const int column = 8 * n + pairOf;
          float2 other = make_float2(0.0f, 0.0f);
          if (call.g != nullptr) other = *reinterpret_cast<const float2*>(sums + column);
          const float low =
              row >= column ? score[n][2 * half] * (call.scale * exp2Approx(own - other.x)) : 0.0f;
          const float high =
              row >= column + 1 ? score[n][2 * half + 1] * (call.scale * exp2Approx(own - other.y)) : 0.0f;
          storeShared(scores.address(row, n) + 2 * pairOf, pack(low, high));
        }
      }
      __syncthreads();
    }

    // out, 32 rows at a time: P is rounded to bf16 as the second operand of the product with x.
#pragma unroll
    for (int half = 0; half < (summary ? 0 : 2); half++) {
      float out[2][2 * MT][4] = {};
#pragma unroll
      for (int k = 0; k < DC / 16; k++) {
        MmaB2 state[MT];
#pragma unroll
        for (int m = 0; m < MT; m++)
          state[m] = {{pack(P[m][2 * k][0], P[m][2 * k][1]), pack(P[m][2 * k + 1][0], P[m][2 * k + 1][1]),
                       pack(P[m][2 * k][2], P[m][2 * k][3]), pack(P[m][2 * k + 1][2], P[m][2 * k + 1][3])}};
#pragma unroll
        for (int r = 0; r < 2; r++) {
          const MmaA a = loadA(X, 32 * half + 16 * r, 16 * k, lane);
#pragma unroll
          for (int m = 0; m < MT; m++) mma(out[r][2 * m], out[r][2 * m + 1], a, state[m]);
        }
      }
      if constexpr (scalar) {
#pragma unroll
        for (int r = 0; r < 2; r++) {
          const int row = 32 * half + 16 * r + group;
          const float upper = call.scale * (call.g != nullptr ? exp2Approx(sums[row]) : 1.0f);
          const float lower = call.scale * (call.g != nullptr ? exp2Approx(sums[row + 8]) : 1.0f);
#pragma unroll
          for (int n = 0; n < 2 * MT; n++) {
            out[r][n][0] *= upper;
            out[r][n][1] *= upper;
            out[r][n][2] *= lower;
            out[r][n][3] *= lower;
          }
        }
      }
      if constexpr (kind != SweepDecay::free) {
#pragma unroll
        for (int k = 0; k < 2 * half + 2; k++) {
          MmaB2 z[MT];
#pragma unroll
          for (int m = 0; m < MT; m++) z[m] = loadB(Z, 16 * k, warpChannel + 16 * m, lane);
#pragma unroll
          for (int r = 0; r < 2; r++) {
            if (k > 2 * half + r) continue;
            const MmaA a = loadA(scores, 32 * half + 16 * r, 16 * k, lane);
#pragma unroll
            for (int m = 0; m < MT; m++) mma(out[r][2 * m], out[r][2 * m + 1], a, z[m]);
          }
        }
      }
#pragma unroll
      for (int r = 0; r < 2; r++)
#pragma unroll
        for (int i = 0; i < 2; i++) {
          const int row = 32 * half + 16 * r + 8 * i + group;
          const int offset = backward ? 63 - row : row;
          const bool valid = offset >= piece.low && offset < piece.high;
          const int64_t at = headO + (first + offset) * pitchO + channel + warpChannel + pairOf;
          float dot = 0.0f;
#pragma unroll
          for (int n = 0; n < 2 * MT; n++) {
            if (!valid || channel + warpChannel + 8 * n >= call.free) continue;
            const float low = out[r][n][2 * i], high = out[r][n][2 * i + 1];
            if constexpr (kind == SweepDecay::free)
              *reinterpret_cast<float2*>(static_cast<float*>(task.out) + at + 8 * n) = make_float2(low, high);
            else
              *reinterpret_cast<uint32_t*>(static_cast<__nv_bfloat16*>(task.out) + at + 8 * n) =
                  pack(low, high);
            if constexpr (scalar) {
              if (task.partner != nullptr) {
                const uint32_t both = *reinterpret_cast<const uint32_t*>(task.partner + at + 8 * n);
                dot += low * lowHalf(both) + high * highHalf(both);
              }
            }
          }
          if constexpr (scalar) {
            if (task.partner != nullptr) {
              dot += __shfl_xor_sync(~0u, dot, 1);
              dot += __shfl_xor_sync(~0u, dot, 2);
              if (valid && pairOf == 0)
                task.dots[(bh * T + first + offset) * (4 * tiles) + 4 * tile + warp] = dot;
            }
          }
        }
    }

    // The state after the chunk.
    if constexpr (scalar) {
      if (call.g != nullptr) {
        const float gamma = exp2Approx(total);
        factor[0] += total;
        eachState([&](float& value, bool, int) { value *= gamma; });
      }
    } else {
      if constexpr (summary) {
        factor[0] *= threadIdx.x < DC ? decays[threadIdx.x] : 1.0f;
        if (DC == 256) factor[1] *= decays[threadIdx.x + 128];
      }
      // `gamma` is that of the chunk's first piece. One with a document start meets no older state.
      if (!piece.fresh) {
#pragma unroll
        for (int m = 0; m < MT; m++)
#pragma unroll
          for (int n = 0; n < NT; n++)
#pragma unroll
            for (int i = 0; i < 4; i++)
              P[m][n][i] *= kind == SweepDecay::free ? decays[warpChannel + 16 * m + group + (i >> 1) * 8]
                                                     : decays[8 * n + pairOf + (i & 1)];
      }
    }
#pragma unroll
    for (int k = 0; k < 4; k++) {
      MmaA z[MT], low[MT];
#pragma unroll
      for (int m = 0; m < MT; m++) z[m] = loadATransposed(Z, 16 * k, warpChannel + 16 * m, lane);
      if constexpr (scalar) {
        if (call.g != nullptr) {
          const float2 near = *reinterpret_cast<const float2*>(sums + 16 * k + pairOf);
          const float2 far = *reinterpret_cast<const float2*>(sums + 16 * k + 8 + pairOf);
          const float w[4] = {exp2Approx(total - near.x), exp2Approx(total - near.y),
                              exp2Approx(total - far.x), exp2Approx(total - far.y)};
#pragma unroll
          for (int m = 0; m < MT; m++)
#pragma unroll
            for (int i = 0; i < 4; i++) {
              const uint32_t exact = z[m].x[i];
              const float first = w[i & 2], second = w[(i & 2) + 1];
              z[m].x[i] = scalePair(exact, first, second);
              if (summary)
                low[m].x[i] = pack(lowHalf(exact) * first - lowHalf(z[m].x[i]),
                                   highHalf(exact) * second - highHalf(z[m].x[i]));
            }
        }
      }
#pragma unroll
      for (int n = 0; n < DC / 16; n++) {
        const MmaB2 y = loadB(Y, 16 * k, 16 * n, lane);
#pragma unroll
        for (int m = 0; m < MT; m++) {
          mma(P[m][2 * n], P[m][2 * n + 1], z[m], y);
          // A state that leaves the segment is to be exact to f32: what rounding took from the decayed z is
          // added.
          if constexpr (scalar && summary)
            if (call.g != nullptr) mma(P[m][2 * n], P[m][2 * n + 1], low[m], y);
        }
      }
    }
    if (piece.fresh && backward) eachState([](float& value, bool, int) { value = 0.0f; });

    reset = reset || piece.fresh;
    if (!summary && task.kept != nullptr && piece.closesChunk) {
      uint4* to = task.kept + ((bh * numChunks + piece.chunk) * tiles + tile) * (MT * NT / 2) * sweepThreads +
                  threadIdx.x;
#pragma unroll
      for (int m = 0; m < MT; m++)
#pragma unroll
        for (int n = 0; n < NT; n += 2)
          to[(m * NT + n) / 2 * sweepThreads] =
              make_uint4(pack(P[m][n][0], P[m][n][1]), pack(P[m][n][2], P[m][n][3]),
                         pack(P[m][n + 1][0], P[m][n + 1][1]), pack(P[m][n + 1][2], P[m][n + 1][3]));
    }
    stage ^= 1;
  }

  if constexpr (summary) {
    const int64_t at = bh * call.numSegments + segment;
    float* to = task.last + at * stateSize;
    eachState([&](float& value, bool inside, int at) {
      if (inside) to[at] = value;
    });
    if (tile != 0) return;
    if (threadIdx.x == 0) task.reset[at] = reset;
    if (scalar && threadIdx.x == 0) task.factor[at] = exp2Approx(factor[0]);
    if (!scalar)
      for (int i = 0; i < DC / 128 + 1; i++)
        if (threadIdx.x + 128 * i < keys) task.factor[at * keys + threadIdx.x + 128 * i] = factor[i];
    return;
  }
  if (task.last != nullptr && segment == (backward ? 0 : call.numSegments - 1)) {
    float* to = task.last + bh * stateSize;
    eachState([&](float& value, bool inside, int at) {
      if (inside) to[at] = value * task.lastScale;
    });
  }
}

template <int DC, int DO, SweepDecay kind, bool summary>
cudaError_t launchSweepKernel(const SweepCall& call, cudaStream_t stream) {
  constexpr int bytes = SweepLayout<DC, DO, kind, summary>::bytes;
  const auto kernel = sweepKernel<DC, DO, kind, summary>;
  cudaError_t error = cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, bytes);
  if (error != cudaSuccess) return error;
  const int64_t blocks = call.B * call.H * call.numSegments * freeTiles(call.contracted, call.free);
  kernel<<<dim3(static_cast<unsigned>(blocks), call.numTasks), sweepThreads, bytes, stream>>>(call);
  return cudaGetLastError();
}

template <SweepDecay kind, bool summary>
cudaError_t launchSweepBySize(const SweepCall& call, cudaStream_t stream) {
  const bool wide = freeTile(call.contracted, call.free) == 128;
  switch (paddedChannels(call.contracted)) {
    case 64:
      return wide ? launchSweepKernel<64, 128, kind, summary>(call, stream)
                  : launchSweepKernel<64, 64, kind, summary>(call, stream);
    case 128:
      return wide ? launchSweepKernel<128, 128, kind, summary>(call, stream)
                  : launchSweepKernel<128, 64, kind, summary>(call, stream);
    default:
      return launchSweepKernel<256, 64, kind, summary>(call, stream);
  }
}

}  // namespace longscan
