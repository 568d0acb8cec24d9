#include "document_positions.h"

#include "../../addon/args.h"
#include "cuda.h"

namespace longscan {

namespace {

Napi::Value bindDocumentPositions(Args& args) {
  Stream& stream = args.stream();
  const int64_t start = args.integer("start");
  const TensorRef before = args.optionalTensor("before");
  const TensorRef resets = args.optionalTensor("resets");
  const TensorRef positions = args.tensor("positions", DType::i32);
  args.check(positions.numDims == 2, "positions is not [B, T]");
  const int64_t B = positions.dim(0), T = positions.dim(1);
  args.check(start >= 0 && start + T <= INT32_MAX, "positions do not fit i32");
  args.check(!before || (before.dtype == DType::i32 && before.numElements == B), "before is not i32 [B]");
  args.checkResets(resets, B, T);
  if (args.onGpu()) {
    LongscanDocumentPositions call{B,
                                   T,
                                   static_cast<int32_t>(start),
                                   before.as<int32_t>(),
                                   resets.as<int32_t>(),
                                   positions.as<int32_t>(),
                                   nullptr};
    call.workspace =
        args.workspace(LONGSCAN_CUDA_FUNCTION(args, longscanDocumentPositionsWorkspaceBytes)(&call));
    const auto kernel = LONGSCAN_CUDA_FUNCTION(args, longscanDocumentPositions);
    args.enqueueLaunch([=](CUstream_st* gpuStream) { return kernel(&call, gpuStream); });
    return args.env().Undefined();
  }
  ThreadPool& pool = stream.context().pool();
  args.enqueue([=, &pool] {
    parallelFor(pool, B, T, [&](int64_t begin, int64_t end) {
      documentPositions(resets.as<int32_t>(), before.as<int32_t>(), static_cast<int32_t>(start),
                        positions.as<int32_t>(), T, begin, end);
    });
  });
  return args.env().Undefined();
}

Napi::Value bindChunkStarts(Args& args) {
  Stream& stream = args.stream();
  const int64_t chunk = args.integer("chunk");
  const TensorRef positions = args.tensor("positions", DType::i32);
  const TensorRef starts = args.tensor("starts", DType::i32);
  args.check(chunk >= 1 && chunk <= INT32_MAX, "chunk is not a number of tokens");
  args.check(starts.numElements == positions.numElements, "positions and starts differ in size");
  if (args.onGpu()) {
    const auto kernel = LONGSCAN_CUDA_FUNCTION(args, longscanChunkStarts);
    args.enqueueLaunch([=](CUstream_st* gpuStream) {
      return kernel(positions.as<int32_t>(), static_cast<int32_t>(chunk), starts.as<int32_t>(),
                    positions.numElements, gpuStream);
    });
    return args.env().Undefined();
  }
  ThreadPool& pool = stream.context().pool();
  args.enqueue([=, &pool] {
    parallelFor(pool, positions.numElements, 1, [&](int64_t begin, int64_t end) {
      chunkStarts(positions.as<int32_t>(), static_cast<int32_t>(chunk), starts.as<int32_t>(), begin, end);
    });
  });
  return args.env().Undefined();
}

}  // namespace

void register_document_positions(Registry& registry) {
  registry.add("documentPositions", 5, bindDocumentPositions);
  registry.add("chunkStarts", 4, bindChunkStarts);
}

}  // namespace longscan
