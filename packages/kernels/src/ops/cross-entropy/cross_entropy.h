#pragma once

#include <cstdint>

#include "../../core/cpu.h"

// Rows [begin, end) of logits [rows, vocab]: rowLoss = log Σ exp(logits) - logits[label], 0 where the label
// is -1. With `gradient`, logits are overwritten by scale * (softmax - onehot(label)), 0 where the label is
// -1.
LONGSCAN_KERNEL(softmaxLossRows,
                (float* logits, const int32_t* labels, double* rowLoss, int64_t vocab, bool gradient,
                 float scale, int64_t begin, int64_t end),
                (logits, labels, rowLoss, vocab, gradient, scale, begin, end))
LONGSCAN_KERNEL(softmaxLossRows,
                (double* logits, const int32_t* labels, double* rowLoss, int64_t vocab, bool gradient,
                 double scale, int64_t begin, int64_t end),
                (logits, labels, rowLoss, vocab, gradient, scale, begin, end))
// Elements [begin, end): target = factor * x, or target += factor * x. x may be target.
LONGSCAN_KERNEL(scaleInto,
                (float factor, const float* x, float* target, bool accumulate, int64_t begin, int64_t end),
                (factor, x, target, accumulate, begin, end))
LONGSCAN_KERNEL(scaleInto,
                (double factor, const double* x, double* target, bool accumulate, int64_t begin, int64_t end),
                (factor, x, target, accumulate, begin, end))
