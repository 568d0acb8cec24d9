import { type BackwardCall, defineOp, type OpInputs } from '../../autograd/define-op.js';
import { takeStale } from '../../autograd/tape.js';
import { expectShape, type Tensor } from '../../tensor.js';
import './native.js';

interface LinearJoinedInputs extends Record<string, Tensor | null> {
  /** [..., numIn] */
  readonly x: Tensor;
  /** [.., numIn] all of them; all parameters, or none */
  readonly first: Tensor;
  readonly second: Tensor;
  readonly third: Tensor | null;
}

/**
 * `x firstᵀ`, `x secondᵀ` and, unless it is null, `x thirdᵀ` side by side in rows: [..., numIn] to [..., Σ numOut]. On a
 * GPU only, without units. Weights that follow each other in memory, as parameters declared one after the other do, are
 * multiplied as one matrix: there are fewer launches, and the gradient of x is one sum instead of several that are added.
 */
export const linearJoined: (inputs: LinearJoinedInputs) => Tensor = (inputs) => linearJoinedOp(inputs, {});

/** Whether weights can be the inputs of `linearJoined`: they are differentiated alike. */
export function areJoinable([first, ...others]: readonly Tensor[]): boolean {
  return others.every(
    ({ shape, dtype, requiresGrad, gradient }) =>
      shape[1] === first!.shape[1] &&
      dtype === first!.dtype &&
      requiresGrad === first!.requiresGrad &&
      (gradient === null) === (first!.gradient === null),
  );
}

const linearJoinedOp = defineOp<LinearJoinedInputs>({
  name: 'linear-joined',
  late: ['x'],
  forward(call, { x, first, second, third }) {
    let numOut = 0;
    for (const [name, weight] of Object.entries({ first, second, third })) {
      if (weight === null) continue;
      expectShape('linear-joined', name, weight, [-1, x.dim(-1)]);
      numOut += weight.dim(0);
    }
    const output = call.empty([...x.shape.slice(0, -1), numOut], x.dtype);
    call.native.linearJoinedForward(call.stream, x.id, first.id, second.id, third?.id ?? null, output.id);
    call.device.flops += 2 * x.size * numOut;
    return { output, save: { x, first, second, third } };
  },
  backward(call, saved, dy) {
    const weights = [saved.first!, saved.second!, saved.third ?? null] as const;
    const { x, weights: gradients } = joinedGradients(call, { x: saved.x!, weights, dy });
    const [first, second, third] = gradients;
    return { x, first, second, third };
  },
});

/** Up to three weights of one x, or their gradients. */
type Joined = readonly [Tensor | null, Tensor | null, Tensor | null];

/**
 * The gradients of x and of weights that are joined, null where there is none to hand on, for the backward rule of an op with
 * an input `x`: from dy [..., Σ numOut], of outputs side by side.
 */
export function joinedGradients<I extends OpInputs & { readonly x: Tensor | null }>(
  call: BackwardCall<I>,
  { x, weights, dy }: { x: Tensor; weights: readonly [Tensor, Tensor, Tensor | null]; dy: Tensor },
): { x: Tensor | null; weights: Joined } {
  const { needs, native, stream } = call;
  const [first, second, third] = weights;
  const numIn = first.dim(1);
  let dx: Tensor | null = null;
  if (needs.x) {
    dx = call.inputGradient('x', [...dy.shape.slice(0, -1), numIn], (target, accumulate) => {
      const ids = [first.id, second.id, third?.id ?? null] as const;
      native.linearJoinedInputGradient(stream, dy.id, ...ids, target.id, accumulate);
    });
    call.device.flops += 2 * dy.size * numIn;
  }
  // They are differentiated alike.
  if (!first.requiresGrad) return { x: dx, weights: [null, null, null] };
  call.device.flops += 2 * dy.size * numIn;
  const freshFor = (weight: Tensor | null) =>
    weight === null || weight.gradient !== null ? null : call.empty(weight.shape, weight.dtype);
  const [dSecond, dThird] = [freshFor(second), freshFor(third)];
  const dFirst = call.weightGradient(first, [dy, x], (target, accumulate) => {
    const targets = [target, dSecond ?? second.gradient!, dThird ?? third?.gradient ?? null] as const;
    const addsTo = (weight: Tensor | null, fresh: Tensor | null) =>
      weight !== null && fresh === null && !takeStale(weight);
    native.linearJoinedWeightGradient(
      ...([stream, dy.id, x.id, targets[0].id, targets[1].id, targets[2]?.id ?? null] as const),
      ...([accumulate, addsTo(second, dSecond), addsTo(third, dThird)] as const),
    );
  });
  return { x: dx, weights: [dFirst, dSecond, dThird] };
}
