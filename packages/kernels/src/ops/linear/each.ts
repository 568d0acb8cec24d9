import { defineOpOfSeveral } from '../../autograd/define-op.js';
import { expectShape, type Tensor } from '../../tensor.js';
import { linear } from './index.js';
import './native.js';

/**
 * `x Wᵀ` for each of the weights [numOut, numIn]: [..., numIn] to as many [..., numOut], in their order. On a GPU weights of
 * one shape that follow each other here are multiplied in one launch, up to three; outputs lie apart all the same.
 */
export function linearEach(x: Tensor, weights: readonly Tensor[]): Tensor[] {
  return alikeInRow(x, weights).flatMap(([first, second, third = null]) =>
    second === undefined
      ? linear({ x, weight: first!, bias: null })
      : linearBatch({ x, first: first!, second, third }, {}),
  );
}

const mostAtOnce = 3;

/** The weights in groups that one launch can take. */
function alikeInRow({ device }: Tensor, weights: readonly Tensor[]): Tensor[][] {
  const groups: Tensor[][] = [];
  for (const weight of weights) {
    const last = groups.at(-1);
    const like = last?.[0];
    const isAlike = like?.dtype === weight.dtype && like.shape.join() === weight.shape.join();
    if (device.isGpu && device.units === null && isAlike && last!.length < mostAtOnce) last!.push(weight);
    else groups.push([weight]);
  }
  return groups;
}

interface LinearBatchInputs extends Record<string, Tensor | null> {
  /** [..., numIn] */
  readonly x: Tensor;
  /** [numOut, numIn], all of them */
  readonly first: Tensor;
  readonly second: Tensor;
  readonly third: Tensor | null;
}

const linearBatch = defineOpOfSeveral<LinearBatchInputs>({
  name: 'linear-batch',
  forward(call, { x, first, second, third }) {
    const weights = third === null ? [first, second] : [first, second, third];
    for (const weight of weights) expectShape('linear-batch', 'weight', weight, [first.dim(0), x.dim(-1)]);
    const shape = [...x.shape.slice(0, -1), first.dim(0)];
    const outputs = call.empty([weights.length, ...shape], x.dtype);
    call.native.linearBatchForward(call.stream, x.id, first.id, second.id, third?.id ?? null, outputs.id);
    call.device.flops += 2 * x.size * first.dim(0) * weights.length;
    const size = outputs.size / weights.length;
    return {
      outputs: weights.map((_, i) => outputs.view(shape, i * size)),
      save: { x, first, second, third },
    };
  },
  backward(call, saved, gradients) {
    const { needs, native, stream } = call;
    const [x, first] = [saved.x!, saved.first!];
    const names = ['first', 'second', 'third'] as const;
    const reached = names.flatMap((name, i) => {
      const dy = gradients[i] ?? null;
      return dy === null ? [] : [{ name, weight: saved[name]!, dy }];
    });
    let dx: Tensor | null = null;
    if (needs.x) {
      dx = call.inputGradient('x', x.shape, (target, accumulate) => {
        reached.forEach(({ weight, dy }, i) => {
          native.linearInputGradient(stream, dy.id, weight.id, target.id, accumulate || i > 0);
        });
      });
    }
    const dWeights: Partial<Record<(typeof names)[number], Tensor | null>> = {};
    for (const { name, weight, dy } of reached) {
      if (!needs[name]) continue;
      dWeights[name] = call.weightGradient(weight, [dy, x], (target, accumulate) => {
        native.linearWeightGradient(stream, dy.id, x.id, target.id, accumulate);
      });
    }
    const numProducts = Number(needs.x) * reached.length + reached.filter(({ name }) => needs[name]).length;
    call.device.flops += 2 * x.size * first.dim(0) * numProducts;
    return { x: dx, ...dWeights };
  },
});
