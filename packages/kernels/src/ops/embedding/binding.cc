#include <cstring>

#include "../../addon/args.h"
#include "../../core/error.h"
#include "embedding.h"

namespace longscan {

namespace {

/// Runs before any table row is touched: ids come from data files. Throws E-DATA-VOCAB.
void checkTokens(const int32_t* tokens, int64_t numTokens, int64_t vocab) {
  for (int64_t t = 0; t < numTokens; t++) {
    if (tokens[t] >= 0 && tokens[t] < vocab) continue;
    throw Error("E-DATA-VOCAB", "token id " + std::to_string(tokens[t]) + " at position " +
                                    std::to_string(t) + ", expected 0 to " + std::to_string(vocab - 1));
  }
}

void checkEmbedding(Args& args, const TensorRef& tokens, const TensorRef& table, const TensorRef& rows) {
  args.checkSameType(table, rows);
  args.check(table.numDims == 2 && rows.numDims >= 1 && rows.dim(-1) == table.dim(1),
             "the table is not [vocab, dim]");
  args.check(rows.numElements == tokens.numElements * table.dim(1), "not one row per token");
}

Napi::Value bindEmbeddingForward(Args& args) {
  Stream& stream = args.stream();
  const TensorRef tokens = args.tensor("tokens", DType::i32);
  const TensorRef table = args.tensor("table");
  const TensorRef y = args.tensor("y");
  checkEmbedding(args, tokens, table, y);
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
