import type { OpCheck } from '../../testing/check-op.js';
import { randomNormal } from '../../testing/index.js';
import { gatedMlp } from './gated-mlp.js';
import { swigluReference } from './reference.js';

/** [rows, numIn] times the transpose of [numOut, numIn]. */
function product(x: Float64Array, weight: Float64Array, numIn: number): Float64Array {
  const numOut = weight.length / numIn;
  return Float64Array.from({ length: (x.length / numIn) * numOut }, (_, i) => {
    const [row, column] = [Math.floor(i / numOut), i % numOut];
    let sum = 0;
    for (let k = 0; k < numIn; k++) sum += x[row * numIn + k]! * weight[column * numIn + k]!;
    return sum;
  });
}

/** Random inputs of the MLP and its definition. */
export function gatedMlpCheck(
  sizes: readonly [rows: number, numIn: number, hidden: number, numOut: number],
): OpCheck<'x' | 'gate' | 'up' | 'down'> {
  const [rows, numIn, hidden, numOut] = sizes;
  const weight = (seed: number, numOut: number, numIn: number) => ({
    values: randomNormal(numOut * numIn, seed, numIn ** -0.5),
    shape: [numOut, numIn],
  });
  return {
    name: `gated mlp ${sizes.join(' x ')}`,
    inputs: {
      x: { values: randomNormal(rows * numIn, 1), shape: [rows, numIn] },
      gate: weight(2, hidden, numIn),
      up: weight(3, hidden, numIn),
      down: weight(4, numOut, hidden),
    },
    op: (tensors) => [gatedMlp(tensors)],
    reference: ({ x, gate, up, down }) => {
      const [inner] = swigluReference({ gate: product(x, gate, numIn), up: product(x, up, numIn) });
      return [product(inner!, down, hidden)];
    },
  };
}
