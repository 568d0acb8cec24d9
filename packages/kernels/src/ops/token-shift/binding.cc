#include <cstring>

#include "../../addon/gpu_args.h"
#include "cuda.h"

namespace longscan {

namespace {

/// x [batch, tokens, cols], its halo [batch, 1, cols] (null: zeros) and document starts [batch, tokens] or
/// null.
struct Shifted {
  TensorRef x, halo, resets;

  int64_t tokens() const { return x.dim(1); }
  size_t rowBytes() const { return static_cast<size_t>(x.dim(2)) * dtypeBytes(x.dtype); }
  bool starts(int64_t sequence, int64_t token) const {
    return resets && resets.as<int32_t>()[sequence * tokens() + token] != 0;
  }
  char* row(const TensorRef& tensor, int64_t index) const {
    return tensor.as<char>() + static_cast<size_t>(index) * rowBytes();
  }
};

Shifted shiftArguments(Args& args, const char* x, const char* halo) {
  const Shifted shifted{args.tensor(x), args.optionalTensor(halo), args.optionalTensor("resets")};
  args.check(shifted.x.numDims == 3, "x is not [batch, tokens, cols]");
  args.checkSize(shifted.halo, shifted.x, shifted.x.dim(0) * shifted.x.dim(2), halo);
  args.checkResets(shifted.resets, shifted.x.dim(0), shifted.tokens());
  return shifted;
}

/// The call on a GPU, which copies a row's bytes in units as large as alignment allows.
LongscanTokenShift gpuCall(const Args& args, const Shifted& shifted, const TensorRef& other) {
  for (const TensorRef& tensor : {shifted.x, shifted.halo, other}) checkAligned(args, tensor);
  return {shifted.x.dim(0), shifted.tokens(), shifted.x.dim(2), elementArgument(args, shifted.x),
          shifted.resets.as<int32_t>()};
}

Napi::Value bindForward(Args& args) {
  Stream& stream = args.stream();
  const Shifted from = shiftArguments(args, "x", "halo");
  const TensorRef y = args.sizedTensor("y", from.x, from.x.numElements);
  if (args.onGpu()) {
    const auto kernel = LONGSCAN_CUDA_FUNCTION(args, longscanTokenShiftForward);
    args.enqueueLaunch([=, call = gpuCall(args, from, y)](CUstream_st* gpuStream) {
      return kernel(&call, from.x.data, from.halo.data, y.data, gpuStream);
    });
    return args.env().Undefined();
  }
  ThreadPool& pool = stream.context().pool();
  args.enqueue([=, &pool] {
    parallelFor(pool, from.x.numRows(), from.x.dim(2), [&](int64_t begin, int64_t end) {
      for (int64_t row = begin; row < end; row++) {
        const int64_t sequence = row / from.tokens();
        const int64_t token = row % from.tokens();
        char* target = from.row(y, row);
        if (from.starts(sequence, token) || (token == 0 && !from.halo)) {
          std::memset(target, 0, from.rowBytes());
        } else {
          const char* source = token > 0 ? from.row(from.x, row - 1) : from.row(from.halo, sequence);
          std::memcpy(target, source, from.rowBytes());
        }
      }
    });
  });
  return args.env().Undefined();
}

/// The transpose of the above: what each position received is read from the token after it.
Napi::Value bindBackward(Args& args) {
  Stream& stream = args.stream();
  const Shifted to = shiftArguments(args, "dx", "dHalo");
  const TensorRef dy = args.sizedTensor("dy", to.x, to.x.numElements);
  if (args.onGpu()) {
    const auto kernel = LONGSCAN_CUDA_FUNCTION(args, longscanTokenShiftBackward);
    args.enqueueLaunch([=, call = gpuCall(args, to, dy)](CUstream_st* gpuStream) {
      return kernel(&call, dy.data, to.x.data, to.halo.data, gpuStream);
    });
    return args.env().Undefined();
  }
  ThreadPool& pool = stream.context().pool();
  args.enqueue([=, &pool] {
    const auto give = [=](char* target, int64_t sequence, int64_t token) {
      if (token == to.tokens() || to.starts(sequence, token)) {
        std::memset(target, 0, to.rowBytes());
      } else {
        std::memcpy(target, to.row(dy, sequence * to.tokens() + token), to.rowBytes());
      }
    };
    parallelFor(pool, to.x.numRows(), to.x.dim(2), [&](int64_t begin, int64_t end) {
      for (int64_t row = begin; row < end; row++) {
        const int64_t sequence = row / to.tokens();
        const int64_t token = row % to.tokens();
        give(to.row(to.x, row), sequence, token + 1);
        if (token == 0 && to.halo) give(to.row(to.halo, sequence), sequence, 0);
      }
    });
  });
  return args.env().Undefined();
}

}  // namespace

void register_token_shift(Registry& registry) {
  registry.add("tokenShiftForward", 5, bindForward);
  registry.add("tokenShiftBackward", 5, bindBackward);
}

}  // namespace longscan
