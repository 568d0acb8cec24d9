#include "bind_cuda.h"

#include <algorithm>
#include <vector>

#include "../../addon/gpu_args.h"
#include "cuda.h"

namespace longscan {

namespace {

/// Something to launch; returns a cudaError_t.
using Step = std::function<int(CUstream_st*)>;

Step stepOf(std::function<void()> product) {
  return [product = std::move(product)](CUstream_st*) {
    product();
    return 0;
  };
}

/// Rows of a matrix from `first` on.
CudaMatrix rowsOf(const TensorRef& matrix, int64_t first) {
  const int64_t cols = matrix.dim(-1);
  const size_t offset = static_cast<size_t>(first * cols) * dtypeBytes(matrix.dtype);
  return {matrix.as<char>() + offset, matrix.dtype, cols};
}

/// Loss and gradients of `rows` tokens, whose gradients with respect to the logits take the logits' place.
void addChunk(Args& args, const Head& head, int64_t first, int64_t rows, double* rowLoss,
              std::vector<Step>& steps) {
  const int64_t vocab = head.weight.dim(0), D = head.weight.dim(1);
  const CudaMatrix hidden = rowsOf(head.hidden, first), weight = rowsOf(head.weight, 0);
  const CudaMatrix logits = rowsOf(head.logits, 0);
  steps.push_back(stepOf(args.prepareGemm({false, true, rows, vocab, D, hidden, weight, logits})));

  LongscanSoftmaxLoss call{};
  call.rows = rows;
  call.vocab = vocab;
  call.gradient = head.dHidden || head.dWeight;
  call.gradientIsBf16 = head.hidden.dtype == DType::bf16;
  call.scale = head.scale.as<double>();
  call.logits = head.logits.as<float>();
  call.labels = head.labels.as<int32_t>() + first;
  call.rowLoss = rowLoss + first;
  const auto kernel = LONGSCAN_CUDA_FUNCTION(args, longscanSoftmaxLoss);
  steps.push_back([=](CUstream_st* stream) { return kernel(&call, stream); });

  const CudaMatrix dLogits{logits.data, head.hidden.dtype, call.gradientIsBf16 ? 2 * vocab : vocab};
  if (head.dHidden) {
    steps.push_back(stepOf(
        args.prepareGemm({false, false, rows, D, vocab, dLogits, weight, rowsOf(head.dHidden, first)})));
  }
  if (head.dWeight) {
    const bool accumulate = head.accumulate || first > 0;
    steps.push_back(stepOf(args.prepareGemm(
        {true, false, vocab, D, rows, dLogits, hidden, rowsOf(head.dWeight, 0), accumulate})));
  }
}

}  // namespace

void crossEntropyForwardOnGpu(Args& args, const Head& head) {
  for (const TensorRef& tensor : {head.logits, head.loss, head.dWeight}) {
    args.check(!tensor || tensor.dtype == DType::f32, "logits, loss or dWeight is not f32");
  }
  if (head.dHidden) args.checkSameType(head.hidden, head.dHidden);
  isBf16(args, head.hidden);
  checkAligned(args, head.logits);
  const int64_t numTokens = head.labels.numElements, chunkRows = head.logits.dim(0);
  auto* rowLoss = static_cast<double*>(
      args.workspace(sizeof(double) * static_cast<size_t>(std::max<int64_t>(numTokens, 1))));
  std::vector<Step> steps;
  // At least one round, so that no tokens give gradients of 0.
  for (int64_t first = 0; first == 0 || first < numTokens; first += chunkRows) {
    addChunk(args, head, first, std::min(chunkRows, numTokens - first), rowLoss, steps);
  }
  const auto sum = LONGSCAN_CUDA_FUNCTION(args, longscanSumLoss);
  steps.push_back([=, scale = head.scale.as<double>(), loss = head.loss.as<float>()](CUstream_st* stream) {
    return sum(rowLoss, numTokens, scale, loss, stream);
  });
  args.enqueueLaunch([steps = std::move(steps)](CUstream_st* stream) {
    for (const Step& step : steps) {
      if (const int status = step(stream); status != 0) return status;
    }
    return 0;
  });
}

void crossEntropyBackwardOnGpu(Args& args, const TensorRef& seed, const TensorRef& unit,
                               const TensorRef& target, bool accumulate) {
  args.check(seed.dtype == DType::f32, "seed is not f32");
  LongscanScaleBySeed call{};
  call.count = unit.numElements;
  call.unitIsBf16 = isBf16(args, unit);
  call.targetIsBf16 = isBf16(args, target);
  call.accumulate = accumulate;
  call.seed = seed.as<float>();
  call.unit = unit.data;
  call.target = target.data;
  const auto kernel = LONGSCAN_CUDA_FUNCTION(args, longscanScaleBySeed);
  args.enqueueLaunch([=](CUstream_st* stream) { return kernel(&call, stream); });
}

}  // namespace longscan
