#include "cuda_chunk.cuh"
#include "cuda_output.h"

namespace longscan {

namespace {

struct GradientArguments {
  MlstmStates states, adjoints;
  const float *inverse, *sumGradient;
  LongscanMlstmGradients to;
};

struct GradientMemory {
  float squares[4][squareSize];
  ChunkGates own;
  float inverse[mlstmTokens], sumGradient[mlstmTokens];
  float stateVector[mlstmTile], adjointVector[mlstmTile];
  float fromStart[2][mlstmTokens], intoEnd[2][mlstmTokens], input[2][mlstmTokens];
  float between[squareThreads / 32];
};

/// Pairs of operands, in the order in which they are wanted.
enum class Operands {
  queryKey,
  sumValue,
  sumState,
  queryKeyAgain,
  valueAdjoint,
  keyQuery,
  keyAdjoint,
  sums,
  none
};

/// One block: a chunk of a head, its documents one after the other. Operands of a product are on their way to
/// registers while the product before is at work.
template <typename Element>
class ChunkGradient {
  static constexpr bool exact = isExact<Element>;
  const LongscanMlstm& call;
  const MlstmPlan& plan;
  const GradientArguments& arguments;
  GradientMemory& s;
  const Chunk<Element> chunk;
  const Square a, b, scores, scoreGradients;
  const SquareAlongRows bAlongRows;  // b, for operands that are contracted along rows
  RowSums fromStart, intoEnd, input;
  SquarePart<Element> left, right;
  ChunkPiece piece{};
  Operands next = Operands::queryKey;  // which are on their way, of tiles `outer` and `inner`
  int outer = 0, inner = 0;
  bool connected = false, leaves = false;  // to the state before the chunk, to the one after it
  float between = 0.0f;                    // a thread's share of <state, adjoint>

 public:
  __device__ ChunkGradient(const LongscanMlstm& call, const MlstmPlan& plan,
                           const GradientArguments& arguments, GradientMemory& s)
      : call(call),
        plan(plan),
        arguments(arguments),
        s(s),
        chunk(call, plan.numChunks),
        a{s.squares[0]},
        b{s.squares[1]},
        scores{s.squares[2]},
        scoreGradients{s.squares[3]},
        bAlongRows{b.base},
        fromStart{s.fromStart},
        intoEnd{s.intoEnd},
        input{s.input} {}

  __device__ void run(const MlstmGates& gates) {
    chunk.load(gates, s.own);
    for (int i = threadIdx.x; i < chunk.count; i += squareThreads) {
      const int64_t at = chunk.rows.token(i);
      s.inverse[i] = arguments.inverse ? arguments.inverse[at] : 1.0f;
      s.sumGradient[i] = arguments.sumGradient ? arguments.sumGradient[at] : 0.0f;
    }
    __syncthreads();
    for (int low = 0; low < chunk.count; low = piece.high) {
      piece = chunk.pieceAt(s.own, low);
      connected = low == 0 && !s.own.starts[0];
      leaves = piece.high == chunk.count;
      fromStart.clear();
      intoEnd.clear();
      input.clear();
      between = 0.0f;
      next = Operands::queryKey;
      outer = inner = 0;
      loadNext();
      scoreTokens();
      for (int tile = 0; tile < plan.tilesK; tile++) {
        queryGradient(tile);
        keyGradient(tile);
      }
      for (int tile = 0; tile < plan.tilesV; tile++) valueGradient(tile);
      gateGradients();
      __syncthreads();
    }
  }

 private:
  __device__ bool inside(int row) const { return row >= piece.low && row < piece.high; }

  using Source = SquareSource<Element>;
  __device__ Source query(int tile) const { return chunk.rows.source(call.q, call.K, tile, piece); }
  __device__ Source key(int tile) const { return chunk.rows.source(call.k, call.K, tile, piece); }
  __device__ Source value(int tile) const { return chunk.rows.source(call.v, call.V, tile, piece); }
  __device__ Source sums(int tile) const { return chunk.rows.source(arguments.to.dH, call.V, tile, piece); }
  __device__ Source state(const MlstmStates& states, int tileK, int tileV) const {
    return StateTile<Element>(call, states.chunks, chunk.index, tileK, tileV).source();
  }

  __device__ void loadNext() {
    if (next == Operands::none) return;
    Source ofLeft = query(outer < plan.tilesK ? outer : 0), ofRight = ofLeft;
    switch (next) {
      case Operands::queryKey:
        ofRight = key(outer);
        if (++outer == plan.tilesK) next = Operands::sumValue, outer = 0;
        break;
      case Operands::sumValue:
        ofLeft = sums(outer);
        ofRight = value(outer);
        if (++outer == plan.tilesV) next = firstOfQuery(), outer = 0;
        break;
      case Operands::sumState:
        ofLeft = sums(inner);
        ofRight = state(arguments.states, outer, inner);
        if (++inner == plan.tilesV) next = Operands::queryKeyAgain, inner = 0;
        break;
      case Operands::queryKeyAgain:
        ofRight = key(outer);
        next = leaves ? Operands::valueAdjoint : Operands::keyQuery;
        break;
      case Operands::valueAdjoint:
        ofLeft = value(inner);
        ofRight = state(arguments.adjoints, outer, inner);
        if (++inner == plan.tilesV) next = Operands::keyQuery, inner = 0;
        break;
      case Operands::keyQuery:
        ofLeft = key(outer);
        ofRight = query(outer);
        if (++outer == plan.tilesK)
          next = firstOfValue(), outer = 0;
        else
          next = firstOfQuery();
        break;
      case Operands::keyAdjoint:
        ofLeft = key(inner);
        ofRight = state(arguments.adjoints, inner, outer);
        if (++inner == plan.tilesK) next = Operands::sums, inner = 0;
        break;
      default:
        ofLeft = sums(outer);
        next = ++outer == plan.tilesV ? Operands::none : firstOfValue();
    }
    left.load(ofLeft);
    right.load(ofRight);
  }
  __device__ Operands firstOfQuery() const {
    return connected ? Operands::sumState : Operands::queryKeyAgain;
  }
  __device__ Operands firstOfValue() const { return leaves ? Operands::keyAdjoint : Operands::sums; }

  template <typename To>
  __device__ void putSums(const SquarePart<Element>& part, To to) {
    part.template put<exact>(to, [this](int row, int) { return inside(row) ? s.inverse[row] : 0.0f; });
  }

  /// scores = scale w (q . k), scoreGradients = scale w (their gradient before both), and what forget gates
  /// get from pairs of tokens, its sum over keys in columns of `a`.
  __device__ void scoreTokens() {
    SquareSums sum;
    sum.clear();
    for (int tile = 0; tile < plan.tilesK; tile++) {
      __syncthreads();
      left.template put<exact>(a);
      right.template put<exact>(b);
      __syncthreads();
      loadNext();
      multiply<false, false, Element>(sum, a, b);
    }
    // The same threads hold the same places throughout.
    sum.each([&](float& x, int i, int j) {
      const float weight = call.scale * weightOf(s.own, piece, i, j);
      scoreGradients.at(i, j) = weight;
      scores.at(i, j) = operand<exact>(weight * x);
    });
    sum.clear();
    for (int tile = 0; tile < plan.tilesV; tile++) {
      __syncthreads();
      putSums(left, a);
      right.template put<exact>(b);
      __syncthreads();
      loadNext();
      multiply<false, false, Element>(sum, a, b);
    }
    __syncthreads();
    sum.each([&](float& x, int i, int j) {
      if (inside(i)) x += s.sumGradient[i];
      a.at(i, j) = scores.at(i, j) * x;
      scoreGradients.at(i, j) = operand<exact>(scoreGradients.at(i, j) * x);
    });
    __syncthreads();
    sumPairs();
  }

  /// pairs[t] = sum over j < t <= i of what the weight of j at i gives: sums without differences.
  __device__ void sumPairs() {
    const int row = threadIdx.x;
    if (row < mlstmTokens) {
      float sum = 0.0f;
      for (int j = 0; j < mlstmTokens; j++) {
        const float own = a.at(row, j);
        a.at(row, j) = sum;
        sum += own;
      }
    }
    __syncthreads();
    float sum = 0.0f;
    if (inside(row))
      for (int i = row; i < piece.high; i++) sum += a.at(i, row);
    if (inside(row)) arguments.to.dForget[chunk.rows.token(row)] = sum;
  }

  __device__ void loadVectors(int tile) {
    if (threadIdx.x >= mlstmTile) return;
    const int key = tile * mlstmTile + threadIdx.x;
    const int64_t at = chunk.index * call.K + key;
    s.stateVector[threadIdx.x] = key < call.K ? arguments.states.chunkVectors[at] : 0.0f;
    s.adjointVector[threadIdx.x] = key < call.K ? arguments.adjoints.chunkVectors[at] : 0.0f;
  }

  __device__ void store(SquareSums& sum, void* to, int channels, int tile) {
    __syncthreads();
    sum.put(a);
    __syncthreads();
    chunk.rows.store(a, to, channels, tile, piece);
  }

  __device__ void queryGradient(int tile) {
    SquareSums sum;
    sum.clear();
    __syncthreads();
    loadVectors(tile);
    if (connected) {
      for (int tileV = 0; tileV < plan.tilesV; tileV++) {
        __syncthreads();
        putSums(left, a);
        right.template put<exact>(b);
        if (leaves) meetAdjoint(tile, tileV);
        __syncthreads();
        loadNext();
        multiply<false, false, Element>(sum, a, b);
      }
    }
    __syncthreads();
    left.template put<exact>(a);
    right.template put<exact>(bAlongRows);
    __syncthreads();
    loadNext();
    if (connected) {
      sum.each([&](float& x, int i, int k) {
        if (!inside(i)) return;
        x = call.scale * s.own.fromStart[i] * (x + s.sumGradient[i] * s.stateVector[k]);
      });
      fromStart.add(sum, [&](float x, int i, int k) { return x * a.at(i, k); });
      if (leaves && threadIdx.x < mlstmTile)
        between += s.stateVector[threadIdx.x] * s.adjointVector[threadIdx.x];
    }
    if (arguments.to.dq == nullptr) return;
    multiply<false, true, Element>(sum, scoreGradients, bAlongRows);
    store(sum, arguments.to.dq, call.K, tile);
  }

  /// The state's tile is in `right`, its adjoint's in memory.
  __device__ void meetAdjoint(int tile, int tileV) {
    SquarePart<Element> adjoint;
    adjoint.load(state(arguments.adjoints, tile, tileV));
#pragma unroll
    for (int i = 0; i < SquarePart<Element>::rows; i++)
#pragma unroll
      for (int e = 0; e < 4; e++) between += toFloat(right.x[i].x[e]) * toFloat(adjoint.x[i].x[e]);
  }

  __device__ void keyGradient(int tile) {
    SquareSums sum;
    sum.clear();
    if (leaves) {
      for (int tileV = 0; tileV < plan.tilesV; tileV++) {
        __syncthreads();
        left.template put<exact>(a);
        right.template put<exact>(b);
        __syncthreads();
        loadNext();
        multiply<false, false, Element>(sum, a, b);
      }
    }
    __syncthreads();
    left.template put<exact>(a);
    right.template put<exact>(bAlongRows);
    __syncthreads();
    loadNext();
    if (leaves) {
      sum.each([&](float& x, int j, int k) {
        if (inside(j)) x = s.own.toEnd[j] * (x + s.adjointVector[k]);
      });
      intoEnd.add(sum, [&](float x, int j, int k) { return inside(j) ? x * a.at(j, k) : 0.0f; });
    }
    multiply<true, true, Element>(sum, scoreGradients, bAlongRows);
    input.add(sum, [&](float x, int j, int k) { return inside(j) ? x * a.at(j, k) : 0.0f; });
    store(sum, arguments.to.dk, call.K, tile);
  }

  __device__ void valueGradient(int tileV) {
    SquareSums sum;
    sum.clear();
    for (int tile = 0; leaves && tile < plan.tilesK; tile++) {
      __syncthreads();
      left.template put<exact>(a, [this](int row, int) { return inside(row) ? s.own.toEnd[row] : 0.0f; });
      right.template put<exact>(bAlongRows);
      __syncthreads();
      loadNext();
      multiply<false, true, Element>(sum, a, bAlongRows);
    }
    __syncthreads();
    putSums(left, bAlongRows);
    __syncthreads();
    loadNext();
    multiply<true, true, Element>(sum, scores, bAlongRows);
    store(sum, arguments.to.dv, call.V, tileV);
  }

  /// A forget gate scales every weight that reaches over its token, be it from a token or the state before,
  /// to a token or the state after. A token's input gate scales its key, and nothing else.
  __device__ void gateGradients() {
#pragma unroll
    for (int distance = 16; distance > 0; distance /= 2) between += __shfl_xor_sync(~0u, between, distance);
    if (threadIdx.x % 32 == 0) s.between[threadIdx.x / 32] = between;
    __syncthreads();
    const int t = threadIdx.x;
    if (!inside(t)) return;
    float sum = 0.0f;
    if (connected && leaves) {
      for (float share : s.between) sum += share;
      sum *= s.own.fromStart[chunk.count - 1];
    }
    if (connected)
      for (int i = t; i < piece.high; i++) sum += fromStart[i];
    for (int j = piece.low; j < t; j++) sum += intoEnd[j];
    const int64_t at = chunk.rows.token(t);
    arguments.to.dForget[at] += sum;
    if (arguments.to.dInput) arguments.to.dInput[at] = input[t];
  }
};

template <typename Element>
__global__ void __launch_bounds__(squareThreads, isExact<Element> ? 1 : 2)
    gradientKernel(const LongscanMlstm call, const __grid_constant__ MlstmPlan plan, const MlstmGates gates,
                   const __grid_constant__ GradientArguments arguments) {
  extern __shared__ __align__(16) unsigned char memory[];
  ChunkGradient<Element>(call, plan, arguments, *reinterpret_cast<GradientMemory*>(memory)).run(gates);
}

template <typename Element>
cudaError_t launch(const LongscanMlstm& call, const MlstmPlan& plan, const MlstmGates& gates,
                   const GradientArguments& arguments, cudaStream_t stream) {
  constexpr int bytes = sizeof(GradientMemory);
  const auto kernel = gradientKernel<Element>;
  const cudaError_t error = cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, bytes);
  if (error) return error;
  const auto blocks = static_cast<unsigned>(plan.heads * plan.numChunks);
  kernel<<<blocks, squareThreads, bytes, stream>>>(call, plan, gates, arguments);
  return cudaGetLastError();
}

}  // namespace

cudaError_t launchTokenGradients(const LongscanMlstm& call, const MlstmPlan& plan, const MlstmGates& gates,
                                 const TokenGradients& gradients, cudaStream_t stream) {
  const GradientArguments arguments{gradients.states, gradients.adjoints, gradients.inverse,
                                    gradients.sumGradient, gradients.to};
  return call.type == longscanElementBf16 ? launch<__nv_bfloat16>(call, plan, gates, arguments, stream)
                                          : launch<float>(call, plan, gates, arguments, stream);
}

}  // namespace longscan
