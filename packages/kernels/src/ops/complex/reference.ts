import type { ComplexFunctionName } from './index.js';

type Complex = readonly [number, number];

const times = ([a, b]: Complex, [c, d]: Complex): Complex => [a * c - b * d, a * d + b * c];
const over = (a: Complex, [c, d]: Complex): Complex => {
  const [re, im] = times(a, [c, -d]);
  return [re / (c * c + d * d), im / (c * c + d * d)];
};

/** The definitions, each a function of one complex number z != 0. */
const functions: Readonly<Record<ComplexFunctionName, (z: Complex) => Complex>> = {
  'hold-ratio': (z) => {
    const radius = Math.exp(z[0]);
    return over([radius * Math.cos(z[1]) - 1, radius * Math.sin(z[1])], z);
  },
  'bilinear-ratio': ([re, im]) => over([1, 0], [1 - re / 2, -im / 2]),
  'bilinear-log': ([re, im]) => {
    const [x, y] = over([1 + re / 2, im / 2], [1 - re / 2, -im / 2]);
    return [Math.log(Math.hypot(x, y)), Math.atan2(y, x)];
  },
};

function mapPairs(values: Float64Array, f: (z: Complex, index: number) => Complex): Float64Array {
  const result = new Float64Array(values.length);
  for (let i = 0; i < values.length; i += 2) result.set(f([values[i]!, values[i + 1]!], i), i);
  return result;
}

export function complexFunctionReference(name: ComplexFunctionName, z: Float64Array): Float64Array {
  return mapPairs(z, functions[name]);
}

export function complexMulReference(a: Float64Array, b: Float64Array): Float64Array {
  return mapPairs(a, (z, i) => times(z, [b[i]!, b[i + 1]!]));
}
