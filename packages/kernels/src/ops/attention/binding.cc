#include "../../core/scratch.h"
#include "attention.h"
#include "bind_cuda.h"
#include "binding_common.h"

namespace longscan {

size_t attentionScratchBytes(int K, int V, size_t elementBytes) {
  const auto padded = [](int n) { return (static_cast<size_t>(n) + 15) / 16 * 16; };
  const size_t rows = attentionQueries, keys = attentionKeys;
  return elementBytes * ((2 * rows + 3 * keys) * (padded(K) + padded(V)) + 2 * rows * keys + 4 * rows);
}

namespace {

/// Enqueues `kernel` over `numUnits` blocks or heads, a fixed share per thread.
template <typename Real, typename Task>
void enqueueUnits(Args& args, Stream& stream, const Task& task, int64_t numUnits,
                  void (*kernel)(const Task&, int64_t, int64_t, void*)) {
  ThreadPool& pool = stream.context().pool();
  const size_t bytes = attentionScratchBytes(task.call.K, task.call.V, sizeof(Real));
  args.enqueue([=, &pool] {
    runWithScratch(pool, numUnits, bytes,
                   [&](int64_t begin, int64_t end, void* scratch) { kernel(task, begin, end, scratch); });
  });
}

template <typename Real>
Attention<Real> callOf(const AttentionArguments& c) {
  return {c.B,
          c.T,
          c.H,
          c.S,
          c.G,
          static_cast<int>(c.K),
          static_cast<int>(c.V),
          static_cast<Real>(c.scale),
          c.keyOffset,
          c.window,
          c.chunk,
          c.positions.as<int32_t>(),
          c.after.as<int32_t>(),
          c.q.as<Real>(),
          c.k.as<Real>(),
          c.v.as<Real>(),
          c.kSelf.as<Real>(),
          c.vSelf.as<Real>()};
}

Napi::Value bindForward(Args& args) {
  const AttentionArguments c(args);
  if (args.onGpu()) {
    attentionForwardOnGpu(args, c);
    return args.env().Undefined();
  }
  const bool accumulate = args.flag("accumulate");
  // What it goes on from holds the query's own key already.
  args.check(!accumulate || !c.kSelf, "own keys are where a softmax starts");
  const TensorRef o = args.sizedTensor("o", c.q, c.B * c.T * c.H * c.V);
  const TensorRef lse = args.sizedTensor("lse", c.q, c.B * c.T * c.H);
  dispatchFloat(args, c.q.dtype, [&](auto zero) {
    using Real = decltype(zero);
    const AttentionForward<Real> task{callOf<Real>(c), accumulate, o.as<Real>(), lse.as<Real>()};
    const int64_t numBlocks = c.B * c.H * ((c.T + attentionQueries - 1) / attentionQueries);
    enqueueUnits<Real>(args, c.stream, task, numBlocks, attentionForward);
  });
  return args.env().Undefined();
}

Napi::Value bindBackward(Args& args) {
  const AttentionArguments c(args);
  if (args.onGpu()) {
    attentionBackwardOnGpu(args, c);
    return args.env().Undefined();
  }
  const bool accumulate = args.flag("accumulate");
  const TensorRef o = args.sizedTensor("o", c.q, c.B * c.T * c.H * c.V);
  const TensorRef lse = args.sizedTensor("lse", c.q, c.B * c.T * c.H);
  const TensorRef dO = args.sizedTensor("dO", c.q, o.numElements);
  const TensorRef dq = args.sizedTensor("dq", c.q, c.q.numElements);
  const TensorRef dk = args.sizedTensor("dk", c.q, c.k.numElements);
  const TensorRef dv = args.sizedTensor("dv", c.q, c.v.numElements);
  const TensorRef dkSelf = args.optionalSizedTensor("dkSelf", c.q, c.kSelf.numElements);
  const TensorRef dvSelf = args.optionalSizedTensor("dvSelf", c.q, c.vSelf.numElements);
  args.check(static_cast<bool>(dkSelf) == static_cast<bool>(c.kSelf) &&
                 static_cast<bool>(dvSelf) == static_cast<bool>(c.kSelf),
             "gradients of own keys go with own keys");
  dispatchFloat(args, c.q.dtype, [&](auto zero) {
    using Real = decltype(zero);
    const AttentionBackward<Real> task{callOf<Real>(c),   accumulate,       o.as<Real>(),  lse.as<Real>(),
                                       dO.as<Real>(),     dq.as<Real>(),    dk.as<Real>(), dv.as<Real>(),
                                       dkSelf.as<Real>(), dvSelf.as<Real>()};
    enqueueUnits<Real>(args, c.stream, task, c.B * c.G, attentionBackward);
  });
  return args.env().Undefined();
}

Napi::Value bindChunkEnds(Args& args) {
  const ChunkEndsArguments c(args);
  if (args.onGpu()) {
    chunkEndsOnGpu(args, c);
    return args.env().Undefined();
  }
  args.enqueueRanges(c.tokens.dtype, c.B, c.T * c.rowSize, [=](auto zero, int64_t begin, int64_t end) {
    using Real = decltype(zero);
    chunkEnds(ChunkEnds<Real>{c.B, c.T, c.slots, c.rowSize, c.chunk, c.tokenOffset, c.positions.as<int32_t>(),
                              c.backward, c.tokens.as<Real>(), c.ends.as<Real>()},
              begin, end);
  });
  return args.env().Undefined();
}

}  // namespace

void register_attention(Registry& registry) {
  registry.add("attentionForward", 15, bindForward);
  registry.add("attentionBackward", 21, bindBackward);
  registry.add("chunkEnds", 7, bindChunkEnds);
}

}  // namespace longscan
