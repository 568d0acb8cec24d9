#include <algorithm>
#include <cstring>
#include <vector>

#include "../../addon/args.h"
#include "../../core/error.h"
#include "../linear/gemm.h"
#include "bind_cuda.h"
#include "cross_entropy.h"

namespace longscan {

namespace {

/// Labels come from data files. Throws E-DATA-VOCAB.
void checkLabels(const int32_t* labels, int64_t count, int64_t vocab) {
  for (int64_t t = 0; t < count; t++) {
    if (labels[t] >= -1 && labels[t] < vocab) continue;
    throw Error("E-DATA-VOCAB", "label " + std::to_string(labels[t]) + " at position " + std::to_string(t) +
                                    ", expected -1 (ignored) or 0 to " + std::to_string(vocab - 1));
  }
}

template <typename T>
void computeHead(ThreadPool& pool, const Head& head) {
  const int64_t numTokens = head.hidden.numRows();
  const int64_t dim = head.weight.dim(1);
  const int64_t vocab = head.weight.dim(0);
  const int64_t chunkRows = head.logits.dim(0);
  const auto* labels = head.labels.as<int32_t>();
  const bool gradient = head.dHidden || head.dWeight;
  const T scale = static_cast<T>(*head.scale.as<double>());
  T* logits = head.logits.as<T>();
  checkLabels(labels, numTokens, vocab);
  std::vector<double> rowLoss(static_cast<size_t>(chunkRows));
  // f64 and in token order: neither the number of tokens nor of threads touches the low bits.
  double total = 0;
  if (head.dWeight && numTokens == 0 && !head.accumulate)
    std::memset(head.dWeight.data, 0, head.dWeight.bytes());
  for (int64_t first = 0; first < numTokens; first += chunkRows) {
    const int64_t rows = std::min(chunkRows, numTokens - first);
    const T* hidden = head.hidden.as<T>() + first * dim;
    gemm(pool,
         Gemm<T>{false, true, rows, vocab, dim, hidden, dim, head.weight.as<T>(), dim, T(0), logits, vocab});
    parallelFor(pool, rows, 8 * vocab, [&](int64_t begin, int64_t end) {
      softmaxLossRows(logits, labels + first, rowLoss.data(), vocab, gradient, scale, begin, end);
    });
    for (int64_t row = 0; row < rows; row++) total += rowLoss[static_cast<size_t>(row)];
    if (head.dHidden) {
      gemm(pool, Gemm<T>{false, false, rows, dim, vocab, logits, vocab, head.weight.as<T>(), dim, T(0),
                         head.dHidden.as<T>() + first * dim, dim});
    }
    if (head.dWeight) {
      const bool isFirst = first == 0 && !head.accumulate;
      gemm(pool, Gemm<T>{true, false, vocab, dim, rows, logits, vocab, hidden, dim, T(isFirst ? 0 : 1),
                         head.dWeight.as<T>(), dim});
    }
  }
  *head.loss.as<T>() = static_cast<T>(total * static_cast<double>(scale));
}

/// Reads and checks the arguments after the stream.
Head headOf(Args& args) {
  Head head;
  head.hidden = args.tensor("hidden");
  head.weight = args.tensor("weight");
  head.labels = args.tensor("labels", DType::i32);
  head.scale = args.tensor("scale", DType::f64);
  head.logits = args.tensor("logits");
  head.loss = args.tensor("loss");
  head.dHidden = args.optionalTensor("dHidden");
  head.dWeight = args.optionalTensor("dWeight");
  head.accumulate = args.flag("accumulate");
  args.checkSameType(head.hidden, head.weight);
  args.check(
      head.weight.numDims == 2 && head.hidden.numDims >= 1 && head.hidden.dim(-1) == head.weight.dim(1),
      "hidden does not fit the weight");
  args.check(head.labels.numElements == head.hidden.numRows(), "not one label per row of hidden");
  args.check(head.weight.dim(0) > 0, "an empty vocabulary");
  args.check(head.logits.numDims == 2 && head.logits.dim(0) > 0 && head.logits.dim(1) == head.weight.dim(0),
             "logits is not [chunk, vocab]");
  args.check(head.scale.numElements == 1 && head.loss.numElements == 1, "scale or loss is not one number");
  args.check(!head.dHidden || head.dHidden.numElements == head.hidden.numElements,
             "dHidden is not of hidden's size");
  args.check(!head.dWeight || head.dWeight.numElements == head.weight.numElements,
             "dWeight is not of weight's size");
  return head;
}

Napi::Value bindCrossEntropyForward(Args& args) {
  Stream& stream = args.stream();
  const Head head = headOf(args);
  if (args.onGpu()) {
    crossEntropyForwardOnGpu(args, head);
    return args.env().Undefined();
  }
  for (const TensorRef& tensor : {head.logits, head.loss, head.dHidden, head.dWeight}) {
    if (tensor) args.checkSameType(head.hidden, tensor);
  }
  args.checkOnCpu();
  if (head.hidden.dtype == DType::f32) requireGemm();
  ThreadPool& pool = stream.context().pool();
  dispatchFloat(args, head.hidden.dtype, [&](auto zero) {
    using T = decltype(zero);
    args.enqueue([=, &pool] { computeHead<T>(pool, head); });
  });
  return args.env().Undefined();
}

Napi::Value bindCrossEntropyBackward(Args& args) {
  Stream& stream = args.stream();
  const TensorRef seed = args.tensor("seed");
  const TensorRef unit = args.tensor("unit");
  const TensorRef target = args.tensor("target");
  const bool accumulate = args.flag("accumulate");
  args.check(seed.numElements == 1 && unit.numElements == target.numElements,
             "seed or target has the wrong size");
  if (args.onGpu()) {
    crossEntropyBackwardOnGpu(args, seed, unit, target, accumulate);
    return args.env().Undefined();
  }
  args.checkSameType(seed, unit);
  args.checkSameType(unit, target);
  ThreadPool& pool = stream.context().pool();
  dispatchFloat(args, unit.dtype, [&](auto zero) {
    using T = decltype(zero);
    args.enqueue([=, &pool] {
      const T factor = *seed.as<T>();
      if (factor == T(1) && unit.data == target.data && !accumulate) return;  // the usual case: nothing to do
      parallelFor(pool, unit.numElements, 1, [&](int64_t begin, int64_t end) {
        scaleInto(factor, unit.as<T>(), target.as<T>(), accumulate, begin, end);
      });
    });
  });
  return args.env().Undefined();
}

}  // namespace

void register_cross_entropy(Registry& registry) {
  registry.add("crossEntropyForward", 10, bindCrossEntropyForward);
  registry.add("crossEntropyBackward", 5, bindCrossEntropyBackward);
}

}  // namespace longscan
