#include "../../addon/args.h"
#include "../../core/scratch.h"
#include "attention.h"

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

/// The arguments that both passes begin with.
struct Common {
  Stream& stream;
  double scale;
  int64_t keyOffset, window, chunk;
  TensorRef positions, after, q, k, v, kSelf, vSelf;
  int64_t B, T, H, K, S, G, V;

  explicit Common(Args& args)
      : stream(args.stream()),
        scale(args.number("scale")),
        keyOffset(args.integer("keyOffset")),
        window(args.integer("window")),
        chunk(args.integer("chunk")),
        positions(args.optionalTensor("positions")),
        after(args.optionalTensor("after")),
        q(args.tensor("q")),
        k(args.tensor("k")),
        v(args.tensor("v")),
        kSelf(args.optionalTensor("kSelf")),
        vSelf(args.optionalTensor("vSelf")) {
    args.check(q.numDims == 4 && k.numDims == 4 && v.numDims == 4, "q, k and v have 4 dims");
    B = q.dim(0), T = q.dim(1), H = q.dim(2), K = q.dim(3), S = k.dim(1), G = k.dim(2), V = v.dim(3);
    args.check(k.dim(0) == B && v.dim(0) == B && k.dim(3) == K && v.dim(1) == S && v.dim(2) == G,
               "q, k and v do not fit");
    args.check(G >= 1 && H % G == 0, "query heads are not a multiple of key heads");
    args.check(K >= 1 && V >= 1 && K <= 1024 && V <= 1024, "head sizes are not between 1 and 1024");
    args.check(keyOffset >= 0 && window >= 0 && chunk >= 0, "negative offset, window or chunk");
    for (const TensorRef* tensor : {&positions, &after}) {
      args.check(!*tensor || (tensor->dtype == DType::i32 && tensor->numElements == B * T),
                 "positions or after is not i32 [B, T]");
    }
    args.check(!after || chunk == 0, "chunks are seen from later tokens only");
    for (const TensorRef* tensor : {&k, &v}) args.checkSameType(q, *tensor);
    args.check(static_cast<bool>(kSelf) == static_cast<bool>(vSelf), "kSelf and vSelf go together");
    args.checkSize(kSelf, q, B * T * G * K, "kSelf");
    args.checkSize(vSelf, q, B * T * G * V, "vSelf");
  }

  template <typename Real>
  Attention<Real> call() const {
    return {B,
            T,
            H,
            S,
            G,
            static_cast<int>(K),
            static_cast<int>(V),
            static_cast<Real>(scale),
            keyOffset,
            window,
            chunk,
            positions.as<int32_t>(),
            after.as<int32_t>(),
            q.as<Real>(),
            k.as<Real>(),
            v.as<Real>(),
            kSelf.as<Real>(),
            vSelf.as<Real>()};
  }
};

Napi::Value bindForward(Args& args) {
  const Common c(args);
  const bool accumulate = args.flag("accumulate");
  // What it goes on from holds the query's own key already.
  args.check(!accumulate || !c.kSelf, "own keys are where a softmax starts");
  const TensorRef o = args.sizedTensor("o", c.q, c.B * c.T * c.H * c.V);
  const TensorRef lse = args.sizedTensor("lse", c.q, c.B * c.T * c.H);
  dispatchFloat(args, c.q.dtype, [&](auto zero) {
    using Real = decltype(zero);
    const AttentionForward<Real> task{c.call<Real>(), accumulate, o.as<Real>(), lse.as<Real>()};
    const int64_t numBlocks = c.B * c.H * ((c.T + attentionQueries - 1) / attentionQueries);
    enqueueUnits<Real>(args, c.stream, task, numBlocks, attentionForward);
  });
  return args.env().Undefined();
}

Napi::Value bindBackward(Args& args) {
  const Common c(args);
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
    const AttentionBackward<Real> task{c.call<Real>(),    accumulate,       o.as<Real>(),  lse.as<Real>(),
                                       dO.as<Real>(),     dq.as<Real>(),    dk.as<Real>(), dv.as<Real>(),
                                       dkSelf.as<Real>(), dvSelf.as<Real>()};
    enqueueUnits<Real>(args, c.stream, task, c.B * c.G, attentionBackward);
  });
  return args.env().Undefined();
}

Napi::Value bindChunkEnds(Args& args) {
  args.stream();
  const int64_t chunk = args.integer("chunk");
  const int64_t tokenOffset = args.integer("tokenOffset");
  const bool backward = args.flag("backward");
  const TensorRef positions = args.optionalTensor("positions");
  const TensorRef tokens = args.tensor("tokens");
  const TensorRef ends = args.tensor("ends");
  args.check(tokens.numDims >= 2 && ends.numDims >= 2 && chunk >= 1 && tokenOffset >= 0,
             "no tokens or no chunks");
  const int64_t B = tokens.dim(0), T = tokens.dim(1), slots = ends.dim(1);
  args.checkSameType(tokens, ends);
  args.check(T >= 1 && ends.dim(0) == B && ends.numElements * T == tokens.numElements * slots,
             "tokens and ends do not fit");
  args.check(slots == (tokenOffset + T - 1) / chunk - tokenOffset / chunk + 1,
             "ends has not one row per chunk");
  args.check(!positions || (positions.dtype == DType::i32 && positions.numElements == B * T),
             "positions is not i32 [B, T]");
  const int64_t rowSize = tokens.numElements / (B * T);
  args.enqueueRanges(tokens.dtype, B, T * rowSize, [=](auto zero, int64_t begin, int64_t end) {
    using Real = decltype(zero);
    chunkEnds(ChunkEnds<Real>{B, T, slots, rowSize, chunk, tokenOffset, positions.as<int32_t>(), backward,
                              tokens.as<Real>(), ends.as<Real>()},
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
