#pragma once

#include "../../addon/args.h"

namespace longscan {

/// Tensors of one forward pass; dHidden and dWeight are empty when no gradient is wanted.
struct Head {
  TensorRef hidden;         // [N, D]
  TensorRef weight;         // [vocab, D]
  TensorRef labels;         // [N], i32, -1: ignored
  TensorRef scale;          // [1], f64
  TensorRef logits;         // [chunk, vocab], scratch
  TensorRef loss;           // [1]
  TensorRef dHidden;        // [N, D]
  TensorRef dWeight;        // [vocab, D]
  bool accumulate = false;  // of dWeight: whether it is added to
};

/// hidden and weight f32 or bf16, dHidden of their type; logits, loss and dWeight f32.
void crossEntropyForwardOnGpu(Args& args, const Head& head);
/// seed f32; unit and target f32 or bf16.
void crossEntropyBackwardOnGpu(Args& args, const TensorRef& seed, const TensorRef& unit,
                               const TensorRef& target, bool accumulate);

}  // namespace longscan
