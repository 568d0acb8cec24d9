#include "gradient_steep.cuh"

namespace longscan {

namespace {

/// The gradients of a chunk's q, k, b, e, beta and gates: with c the sums of log decays since the piece's
/// start,
///
///     dq = e^c (scale dO S^T + dPk (beta k e^-c) + dPe (e e^-c))
///     db = e^(c before) (Z S^T + dAk (beta k e^-c) + dAe (e e^-c))
///     d(beta k) = e^-c (e^(c_C) V D^T + dPk^T (q e^c) + dAk^T (b e^(c before)))     de: of X, dPe, dAe
///
/// dlog a of a token is what states get behind the chunk, S D, and the changes of it from there back to the
/// token. What of it cancels is made of the same numbers on both sides.
template <typename Kind>
class DplrGradient : DplrGradientSteep<Kind> {
  using Steep = DplrGradientSteep<Kind>;
  using Steep::base, Steep::call, Steep::chunk, Steep::group, Steep::isSteep, Steep::lane,
      Steep::meetsAdjoint, Steep::meetsState, Steep::pair, Steep::piece, Steep::slice, Steep::warp;
  using typename Steep::Layout;

  /// q dq + (b db of the token behind) - beta k d(beta k) - e de, and S D behind the piece, of which a thread
  /// has shares.
  Sums changes;
  float behind[2];
  /// Of tokens 8 group + pair (and + 1), summed over the warp's channels.
  float dbeta[2], dgOfHead[2];

 public:
  __device__ DplrGradient(const DplrGradientCall& call, unsigned char* shared) : Steep(call, shared) {}

  __device__ void run() {
    const int32_t* resets = slice.resets ? slice.resets + chunk.batch * slice.T : nullptr;
    for (int low = 0, closed = false; !closed;) {
      this->begin(pieceFrom(resets, slice.T, chunk.chunk, low));
      low = piece.high;
      closed = piece.closesChunk;
      this->startValues(Steep::ofReads, 0);
      this->loadTokens();
      this->sumGates();
      waitForCopies<0>();
      __syncthreads();
      this->makeScores();
      __syncthreads();
      takeReads();
      takeWrites();
      if (slice.g) takeGates();
      __syncthreads();  // before shares lie where scores were
      addShares();
      __syncthreads();  // before another piece's tokens come
    }
  }

 private:
  __device__ void takeReads() {
    Sums reads, erasers;
    this->addStates(reads, erasers, meetsState, this->state(), this->reads(), this->z(), false);
    this->turnToWrites();
    const bool byPairs = !Kind::ofHead && isSteep;
#pragma unroll
    for (int n = 0; n < 8; n++) {
#pragma unroll
      for (int i = 0; i < 4; i++) {
        const float middle = this->middle[i / 2];
        const bool whole = Kind::ofHead || byPairs;
        reads[n][i] *= slice.scale * exp2Fast(whole ? this->upTo[n][i] + middle : middle);
        erasers[n][i] *= exp2Fast(whole ? this->sumBefore(n, i) + middle : middle);
      }
    }
    if (byPairs) {
      this->addSteepKeys(reads, 0);
      this->addSteepKeys(erasers, 1);
    } else {
      // One code for both: a warp goes through all of it once a chunk, and waits for it to be fetched.
#pragma unroll 1
      for (int which = 0; which < Kind::writes; which++) {
#pragma unroll
        for (int s = 0; s < 4; s++) this->addKeys(reads, erasers, which, this->decayedWrite(which, s), s);
      }
#pragma unroll
      for (int n = 0; n < 8; n++) {
#pragma unroll
        for (int i = 0; i < 4; i++) {
          reads[n][i] *= this->ofQuery(n, i);
          erasers[n][i] *= this->ofEraser(n, i);
        }
      }
    }
    store(call.io.dq, reads);
    store(call.io.db, erasers);
    this->each(Steep::query, [&](int n, int i, float q) { changes[n][i] = q * reads[n][i]; });
    this->each(Steep::eraser, [&](int n, int i, float b) { erasers[n][i] *= b; });
    // Of the token behind: the first of a pair's own second one, then the next lane's first one.
#pragma unroll
    for (int n = 0; n < 8; n++) {
#pragma unroll
      for (int half = 0; half < 2; half++) {
        const float first = erasers[n][2 * half],
                    ofNext = n < 7 ? erasers[n < 7 ? n + 1 : n][2 * half] : 0.0f;
        changes[n][2 * half] += erasers[n][2 * half + 1];
        changes[n][2 * half + 1] +=
            __shfl_sync(~0u, lane % 4 == 0 ? ofNext : first, (lane & ~3) | ((lane + 1) & 3));
      }
    }
  }

  __device__ void takeWrites() {
    Sums written, extra;
    waitForCopies<0>();
    __syncthreads();
    this->addStates(written, extra, meetsAdjoint, this->adjoint(), this->v(), this->x(), Kind::own);
    const bool byPairs = !Kind::ofHead && isSteep;
#pragma unroll
    for (int n = 0; n < 8; n++) {
#pragma unroll
      for (int i = 0; i < 4; i++) {
        const bool whole = Kind::ofHead || byPairs;
        const float factor = exp2Fast(whole ? this->end[i / 2] - this->upTo[n][i] : this->middle[i / 2]);
        written[n][i] *= factor;
        extra[n][i] *= factor;
      }
    }
    behind[0] = behind[1] = 0.0f;
    const auto keyFactor = [&](int n, int i) { return byPairs ? 1.0f : this->ofKey(n, i); };
    this->each(Steep::key, [&](int n, int i, float k) {
      behind[i / 2] += k * this->betaAt(n, i) * keyFactor(n, i) * written[n][i];
    });
    if (!Kind::own)
      this->each(Steep::extra,
                 [&](int n, int i, float e) { behind[i / 2] += e * keyFactor(n, i) * extra[n][i]; });
    if (byPairs) {
      this->addSteepReads(written, 0);
      if (!Kind::own) this->addSteepReads(extra, 1);
    } else {
#pragma unroll 1
      for (int which = 0; which < 2; which++) {
#pragma unroll
        for (int s = 0; s < 4; s++) this->addQueries(written, extra, which, this->decayedRead(which, s), s);
      }
#pragma unroll
      for (int n = 0; n < 8; n++) {
#pragma unroll
        for (int i = 0; i < 4; i++) {
          const float factor = this->ofKey(n, i);
          written[n][i] *= factor;
          extra[n][i] *= factor;
        }
      }
    }
    float betas[8][2] = {};
    this->each(Steep::key, [&](int n, int i, float k) {
      betas[n][i % 2] += k * written[n][i];
      written[n][i] *= this->betaAt(n, i);
      changes[n][i] -= k * written[n][i];
    });
    if (!Kind::own)
      this->each(Steep::extra, [&](int n, int i, float e) { changes[n][i] -= e * extra[n][i]; });
    sumOverGroups(betas, lane);
    dbeta[0] = betas[0][0];
    dbeta[1] = betas[0][1];
    store(call.io.dk, written);
    if (!Kind::own) store(call.io.de, extra);
  }

  /// A gradient of tokens to memory, a unit of 8 channels a lane.
  __device__ void store(void* to, const Sums& sum) const {
#pragma unroll
    for (int s = 0; s < 4; s++) {
      const MmaA a = operandOf(sum, s);
      uint32_t turned[4];
#pragma unroll
      for (int i = 0; i < 4; i++) turned[i] = transposeMatrix(a.x[i]);
      transposeQuad(turned, lane);
      const int own = lane % 4, row = 16 * s + own / 2 * 8 + group, channel = 16 * warp + own % 2 * 8;
      if (this->has(row) && channel < slice.K)
        storeGlobal(static_cast<__nv_bfloat16*>(to) + this->rowOf(row) * slice.K + channel, turned[0],
                    turned[1], turned[2], turned[3]);
    }
  }

  /// S D behind the piece, and dlog a.
  __device__ void takeGates() {
    if (meetsState && meetsAdjoint) {
      float met[2] = {};
      for (int tile = 0; tile < this->valueTiles; tile++) {
        this->needValues(tile);
#pragma unroll
        for (int s = 0; s < 4; s++) {
          const MmaA S = loadATransposed(this->state(), 16 * s, 16 * warp, lane),
                     D = loadATransposed(this->adjoint(), 16 * s, 16 * warp, lane);
#pragma unroll
          for (int i = 0; i < 4; i++)
            met[i % 2] += lowHalf(S.x[i]) * lowHalf(D.x[i]) + highHalf(S.x[i]) * highHalf(D.x[i]);
        }
      }
#pragma unroll
      for (int half = 0; half < 2; half++)
        behind[half] += exp2Fast(this->middle[half] + this->end[half]) * met[half];
    }
    float ofHead[8][2] = {};
#pragma unroll
    for (int half = 0; half < 2; half++) {
      float run = behind[half];
#pragma unroll
      for (int distance = 1; distance < 4; distance *= 2) run += __shfl_xor_sync(~0u, run, distance);
#pragma unroll
      for (int n = 7; n >= 0; n--) {
        const float first = changes[n][2 * half], second = changes[n][2 * half + 1];
        float sum = first + second;
#pragma unroll
        for (int distance = 1; distance < 4; distance *= 2) {
          const float right = __shfl_down_sync(~0u, sum, distance);
          if (lane % 4 + distance < 4) sum += right;
        }
        const float right = __shfl_down_sync(~0u, sum, 1);
        const float ofSecond = (lane % 4 < 3 ? run + right : run) + second, ofFirst = ofSecond + first;
        run += __shfl_sync(~0u, sum, lane & ~3);
        if (Kind::ofHead) {
          ofHead[n][0] += ofFirst;
          ofHead[n][1] += ofSecond;
        } else {
          storeGate(8 * n + pair, half, ofFirst);
          storeGate(8 * n + pair + 1, half, ofSecond);
        }
      }
    }
    if (!Kind::ofHead) return;
    sumOverGroups(ofHead, lane);
    dgOfHead[0] = ofHead[0][0];
    dgOfHead[1] = ofHead[0][1];
  }

  /// A document's first decay meets nothing.
  __device__ bool isForgotten(int row) const {
    return piece.fresh && row == piece.low;
  }

  __device__ void storeGate(int row, int half, float gradient) const {
    if (!this->has(row) || this->channelOf(half) >= slice.K) return;
    __stcs(call.io.dg + this->rowOf(row) * slice.K + this->channelOf(half),
           isForgotten(row) ? 0.0f : gradient);
  }

  /// Of all warps' channels: dbeta, and the gradient of a gate per head.
  __device__ void addShares() const {
    const uint32_t shares = base + Layout::shares;
    storeShared(shares + 4 * (64 * warp + 8 * group + pair), make_float2(dbeta[0], dbeta[1]));
    if (Kind::ofHead && slice.g)
      storeShared(shares + 4 * (64 * (Kind::warps + warp) + 8 * group + pair),
                  make_float2(dgOfHead[0], dgOfHead[1]));
    __syncthreads();
    const int row = threadIdx.x % 64, kind = threadIdx.x / 64;
    if (kind > 1 || !this->has(row)) return;
    const auto sum = [&](int first) {
      float sum = 0.0f;
#pragma unroll
      for (int i = 0; i < Kind::warps; i++) sum += loadSharedFloat(shares + 4 * (64 * (first + i) + row));
      return sum;
    };
    if (kind == 0 && slice.beta) call.io.dbeta[this->rowOf(row)] = sum(0);
    if (kind == 1 && Kind::ofHead && slice.g)
      call.io.dg[this->rowOf(row)] = isForgotten(row) ? 0.0f : sum(Kind::warps);
  }
};

template <typename Kind>
__global__ void __launch_bounds__(Kind::threads, Kind::keys == 64 ? 2 : 1)
    dplrGradientKernel(const __grid_constant__ DplrGradientCall call) {
  extern __shared__ __align__(1024) unsigned char shared[];
  DplrGradient<Kind>(call, shared).run();
}

template <typename Kind>
cudaError_t launchOf(const DplrGradientCall& call, cudaStream_t stream) {
  constexpr int bytes = DplrGradientLayout<Kind>::bytes;
  const auto kernel = dplrGradientKernel<Kind>;
  const cudaError_t error = cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, bytes);
  if (error != cudaSuccess) return error;
  kernel<<<static_cast<unsigned>(DplrSizes(call.slice).count), Kind::threads, bytes, stream>>>(call);
  return cudaGetLastError();
}

template <int keys>
cudaError_t launchWith(const DplrGradientCall& call, cudaStream_t stream) {
  const LongscanDplr& slice = call.slice;
  if (slice.e == nullptr) return launchOf<DplrGradientKind<keys, false, true>>(call, stream);
  return slice.g == nullptr || !slice.hasGateOfChannels
             ? launchOf<DplrGradientKind<keys, true, false>>(call, stream)
             : launchOf<DplrGradientKind<keys, false, false>>(call, stream);
}

}  // namespace

size_t dplrGradientSharedBytes(int keys) {
  return keys == 64 ? DplrGradientLayout<DplrGradientKind<64, false, false>>::bytes
                    : DplrGradientLayout<DplrGradientKind<128, false, false>>::bytes;
}

cudaError_t launchDplrGradient(const DplrGradientCall& call, cudaStream_t stream) {
  return DplrSizes(call.slice).keys == 64 ? launchWith<64>(call, stream) : launchWith<128>(call, stream);
}

}  // namespace longscan
