#include "../../addon/gpu_args.h"
#include "bind_cuda.h"

// Where the order of tokens does not matter, what they write to a state and read of it are matrix products.
namespace longscan {

namespace {

/// Tokens [B, T, R, N] beside a state [B, H, V, K]: R divides H, and head h has row h / (H / R).
struct Tokens {
  TensorRef tensor;
  int64_t B, T, R, N;

  Tokens(Args& args, const char* name, const TensorRef& state) : tensor(args.tensor(name)) {
    args.check(tensor.numDims == 4 && state.numDims == 4,
               [&] { return std::string(name) + " or the state has no 4 dims"; });
    B = tensor.dim(0), T = tensor.dim(1), R = tensor.dim(2), N = tensor.dim(3);
    args.check(B == state.dim(0) && R >= 1 && state.dim(1) % R == 0,
               [&] { return std::string(name) + " and the state do not fit"; });
    isBf16(args, tensor);
  }

  /// [T, N] of `row` in batch entry `b`, and of every row that is `apart` rows further.
  CudaMatrix matrices(int64_t b, int64_t row, int64_t apart) const {
    const int64_t first = (b * T * R + row) * N;
    return {tensor.as<char>() + first * dtypeBytes(tensor.dtype), tensor.dtype, R * N, apart * N};
  }
};

/// [V, K] of head `h` in batch entry `b`, and of every head that is `apart` heads further.
CudaMatrix statesOf(const TensorRef& state, int64_t b, int64_t h, int64_t apart) {
  const int64_t size = state.dim(2) * state.dim(3);
  const int64_t first = (b * state.dim(1) + h) * size;
  return {state.as<char>() + first * dtypeBytes(state.dtype), state.dtype, state.dim(3), apart * size};
}

/// Enqueues `product(b, group, of each group)` for each head of a group: heads of one group read the same row
/// of what has a row for each group, so they cannot be one batch.
template <typename Product>
void enqueueGroups(Args& args, int64_t B, int64_t H, int64_t G, Product product) {
  for (int64_t b = 0; b < B; b++) {
    for (int64_t member = 0; member < H / G; member++) {
      CudaGemm gemm = product(b, member, H / G);
      gemm.batch = G;
      args.enqueueGemm(gemm);
    }
  }
}

/// state = Σ_t v_t k_tᵀ.
Napi::Value bindWriteAll(Args& args) {
  args.stream();
  const TensorRef state = args.tensor("state");
  const Tokens k(args, "k", state);
  const Tokens v(args, "v", state);
  args.checkSameType(k.tensor, v.tensor);
  args.check(state.dtype == DType::f32, "the state is not f32");
  args.check(k.T == v.T && k.N == state.dim(3) && v.N == state.dim(2) && v.R == state.dim(1),
             "k, v and the state do not fit");
  enqueueGroups(args, v.B, v.R, k.R, [&](int64_t b, int64_t member, int64_t heads) {
    return CudaGemm{true,
                    false,
                    v.N,
                    k.N,
                    v.T,
                    v.matrices(b, member, heads),
                    k.matrices(b, 0, 1),
                    statesOf(state, b, member, heads)};
  });
  return args.env().Undefined();
}

/// output_t = S q_t of every head [B, T, H, V], or Sᵀ v_t [B, T, H, K] if `byValue`; or += that.
Napi::Value bindReadAll(Args& args) {
  args.stream();
  const bool byValue = args.flag("byValue");
  const bool accumulate = args.flag("accumulate");
  const TensorRef state = args.tensor("state");
  const Tokens reader(args, "reader", state);
  const Tokens output(args, "output", state);
  args.checkSameType(reader.tensor, state);
  args.checkSameType(reader.tensor, output.tensor);
  const int64_t from = state.dim(byValue ? 2 : 3), to = state.dim(byValue ? 3 : 2);
  args.check(reader.T == output.T && reader.N == from && output.N == to && output.R == state.dim(1),
             "reader, output and the state do not fit");
  enqueueGroups(args, output.B, output.R, reader.R, [&](int64_t b, int64_t member, int64_t heads) {
    return CudaGemm{false,
                    !byValue,
                    output.T,
                    to,
                    from,
                    reader.matrices(b, 0, 1),
                    statesOf(state, b, member, heads),
                    output.matrices(b, member, heads),
                    accumulate};
  });
  return args.env().Undefined();
}

}  // namespace

void registerGatedLinearUnordered(Registry& registry) {
  registry.add("gatedLinearCudaWriteAll", 4, bindWriteAll);
  registry.add("gatedLinearCudaReadAll", 6, bindReadAll);
}

}  // namespace longscan
