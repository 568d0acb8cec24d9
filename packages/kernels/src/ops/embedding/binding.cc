#include <cstring>

#include "../../addon/gpu_args.h"
#include "../../core/context.h"
#include "../../core/error.h"
#include "cuda.h"
#include "embedding.h"

namespace longscan {

namespace {

constexpr const char* wrongToken = "E-DATA-VOCAB";

std::string describeWrongToken(int32_t token, int64_t position, int64_t vocab) {
  return "token id " + std::to_string(token) + " at position " + std::to_string(position) +
         ", expected 0 to " + std::to_string(vocab - 1);
}

/// Runs before any table row is touched: ids come from data files. Throws E-DATA-VOCAB.
void checkTokens(const int32_t* tokens, int64_t numTokens, int64_t vocab) {
  for (int64_t t = 0; t < numTokens; t++) {
    if (tokens[t] >= 0 && tokens[t] < vocab) continue;
    throw Error(wrongToken, describeWrongToken(tokens[t], t, vocab));
  }
}

/// There a kernel looks, and what it found is read when the GPU has come so far: before any later read-back.
void checkTokensOnGpu(Args& args, Stream& stream, const LongscanEmbedding& call) {
  const auto kernel = LONGSCAN_CUDA_FUNCTION(args, longscanFindWrongToken);
  constexpr size_t bytes = 2 * sizeof(int32_t);
  auto* const found = static_cast<int32_t*>(args.workspace(bytes));
  args.enqueueLaunch([=](CUstream_st* gpuStream) { return kernel(&call, found, gpuStream); });
  CudaTimeline* const timeline = stream.timeline();
  const std::shared_ptr<void> onHost = timeline->device().staging();
  stream.enqueueAlways(
      [=, &stream](const std::optional<StreamFailure>& failure) {
        const auto* const result = static_cast<const int32_t*>(onHost.get());
        if (failure || result[0] < 0) return;
        stream.context().fail({wrongToken, "op \"embeddingForward\" on stream \"" + stream.name() + "\": " +
                                               describeWrongToken(result[1], result[0], call.vocab)});
      },
      [=] { timeline->copyToHost(found, onHost.get(), bytes); });
}

void checkEmbedding(Args& args, const TensorRef& tokens, const TensorRef& table, const TensorRef& rows) {
  args.check(table.numDims == 2 && rows.numDims >= 1 && rows.dim(-1) == table.dim(1),
             "the table is not [vocab, dim]");
  args.check(rows.numElements == tokens.numElements * table.dim(1), "not one row per token");
  args.check(table.dim(0) < INT32_MAX && tokens.numElements < INT32_MAX, "sizes are too large");
}

LongscanEmbedding gpuCall(const TensorRef& tokens, const TensorRef& table) {
  return {tokens.as<int32_t>(), tokens.numElements, table.dim(0), table.dim(1)};
}

Napi::Value bindEmbeddingForward(Args& args) {
  Stream& stream = args.stream();
  const TensorRef tokens = args.tensor("tokens", DType::i32);
  const TensorRef table = args.tensor("table");
  const TensorRef y = args.tensor("y");
  checkEmbedding(args, tokens, table, y);
  args.checkSameType(table, y);
  if (args.onGpu()) {
    const LongscanEmbedding call = gpuCall(tokens, table);
    // What a graph will read is not there yet, and the host has no part in it.
    if (!stream.context().allocator().isRecording()) checkTokensOnGpu(args, stream, call);
    const auto kernel = LONGSCAN_CUDA_FUNCTION(args, longscanEmbedding);
    const auto bytes = static_cast<int64_t>(dtypeBytes(table.dtype));
    args.enqueueLaunch(
        [=](CUstream_st* gpuStream) { return kernel(&call, table.data, y.data, bytes, gpuStream); });
    return args.env().Undefined();
  }
  ThreadPool& pool = stream.context().pool();
  dispatchFloat(args, table.dtype, [&](auto zero) {
    using T = decltype(zero);
    args.enqueue([=, &pool] {
      checkTokens(tokens.as<int32_t>(), tokens.numElements, table.dim(0));
      parallelFor(pool, tokens.numElements, table.dim(1), [&](int64_t begin, int64_t end) {
        embeddingForward(tokens.as<int32_t>(), table.as<T>(), y.as<T>(), table.dim(1), begin, end);
      });
    });
  });
  return args.env().Undefined();
}

Napi::Value bindEmbeddingGradient(Args& args) {
  Stream& stream = args.stream();
  const TensorRef tokens = args.tensor("tokens", DType::i32);
  const TensorRef dy = args.tensor("dy");
  const TensorRef dtable = args.tensor("dtable");
  const bool accumulate = args.flag("accumulate");
  checkEmbedding(args, tokens, dtable, dy);
  if (args.onGpu()) {
    const LongscanEmbedding call = gpuCall(tokens, dtable);
    void* const workspace =
        args.workspace(LONGSCAN_CUDA_FUNCTION(args, longscanEmbeddingGradientWorkspaceBytes)(&call));
    const auto kernel = LONGSCAN_CUDA_FUNCTION(args, longscanEmbeddingGradient);
    const LongscanArray gradient = gpuArray(args, dy), target = gpuArray(args, dtable);
    args.enqueueLaunch([=](CUstream_st* gpuStream) {
      return kernel(&call, gradient, target, accumulate, workspace, gpuStream);
    });
    return args.env().Undefined();
  }
  args.checkSameType(dtable, dy);
  ThreadPool& pool = stream.context().pool();
  dispatchFloat(args, dy.dtype, [&](auto zero) {
    using T = decltype(zero);
    args.enqueue([=, &pool] {
      checkTokens(tokens.as<int32_t>(), tokens.numElements, dtable.dim(0));
      if (!accumulate) std::memset(dtable.data, 0, dtable.bytes());
      // Threads take columns: every sum is in token order, whatever their number.
      parallelFor(pool, dtable.dim(1), tokens.numElements, [&](int64_t begin, int64_t end) {
        embeddingScatter(tokens.as<int32_t>(), dy.as<T>(), dtable.as<T>(), tokens.numElements, dtable.dim(1),
                         begin, end);
      });
    });
  });
  return args.env().Undefined();
}

}  // namespace

void register_embedding(Registry& registry) {
  registry.add("embeddingForward", 4, bindEmbeddingForward);
  registry.add("embeddingGradient", 5, bindEmbeddingGradient);
}

}  // namespace longscan
