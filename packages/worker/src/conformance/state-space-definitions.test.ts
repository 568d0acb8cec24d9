import { fromArray, openCpuDevice } from '@longscan/kernels';
import { expectClose, randomNormal, tolerances } from '@longscan/kernels/testing';
import { test } from 'uvu';
import type { Layer, LayerConfig } from '../layer.js';
import mamba from '../layers/mamba.js';
import mamba2 from '../layers/mamba2.js';
import s5 from '../layers/s5.js';
import { sliceContexts } from '../model/layer-context.js';
import { buildLayer } from './layer/build-layer.js';
import { ownName } from './layer/variant.js';

// The layers as their papers write them, token by token: the suite holds every layer against itself in other forms, and
// these against their definitions.

const [T, D] = [9, 8];

type Vector = Float64Array;
type Parameters = (name: string) => Vector;

const sigmoid = (x: number) => 1 / (1 + Math.exp(-x));
const silu = (x: number) => x * sigmoid(x);
const softplus = (x: number) => Math.log1p(Math.exp(x));

/** Rows of x [T, in] through weight [out, in]. */
function project(x: Vector, weight: Vector, input: number): Vector {
  const out = weight.length / input;
  return Float64Array.from({ length: (x.length / input) * out }, (_, i) => {
    const row = x.subarray(Math.floor(i / out) * input);
    return weight
      .subarray((i % out) * input, ((i % out) + 1) * input)
      .reduce((sum, w, j) => sum + w * row[j]!, 0);
  });
}

/** Columns [begin, end) of x [T, width]. */
function columns(x: Vector, width: number, begin: number, end: number): Vector {
  return x.filter((_, i) => i % width >= begin && i % width < end);
}

/** silu of a causal convolution of each column of x [T, width]. */
function convolve(x: Vector, width: number, weight: Vector, bias: Vector): Vector {
  const taps = weight.length / width;
  return x.map((_, i) => {
    let sum = bias[i % width]!;
    for (let lag = 0; lag < taps && i - lag * width >= 0; lag++) {
      sum += weight[(i % width) * taps + taps - 1 - lag]! * x[i - lag * width]!;
    }
    return silu(sum);
  });
}

async function check<C extends LayerConfig>(
  layer: Layer<C>,
  config: Partial<C>,
  expected: (x: Vector, p: Parameters) => Vector,
): Promise<void> {
  const device = openCpuDevice({ poison: true });
  try {
    const changed = { ...layer.config, ...config };
    const variant = { layer: layer as unknown as Layer, label: '', config: changed, dModel: D };
    const built = buildLayer(device, variant, { index: 1, count: 3 }, 'f64');
    const x = randomNormal(T * D, 5);
    const context = sliceContexts(null, null, null).forLayer(1);
    const output = await built.apply(fromArray(device, x, [1, T, D], 'f64'), context).readNumbers();
    const values = new Map<string, Vector>();
    for (const spec of built.parameters.specs) {
      values.set(ownName(spec), await built.parameters.byName.get(spec.name)!.readNumbers());
    }
    expectClose(
      layer.name,
      output,
      expected(x, (name) => values.get(name)!),
      tolerances.f64,
    );
  } finally {
    device.close();
  }
}

test('mamba ~> is algorithm 2 with equation 2', () => {
  const [C, N, rank] = [2 * D, 3, 2];
  return check(mamba, { stateSize: N, stepRank: rank }, (x, p) => {
    const both = project(x, p('in'), D);
    const u = convolve(columns(both, 2 * C, 0, C), C, p('conv.weight'), p('conv.bias'));
    const z = columns(both, 2 * C, C, 2 * C);
    const width = rank + 2 * N;
    const selected = project(u, p('x'), C);
    const steps = project(columns(selected, width, 0, rank), p('dt'), rank);
    const h = new Float64Array(C * N);
    const y = u.map((input, i) => {
      const [t, c] = [Math.floor(i / C), i % C];
      const step = softplus(steps[i]! + p('dt_bias')[c]!);
      let sum = p('d')[c]! * input;
      for (let n = 0; n < N; n++) {
        const A = -Math.exp(p('a_log')[c * N + n]!);
        const [b, readout] = [selected[t * width + rank + n]!, selected[t * width + rank + N + n]!];
        h[c * N + n] = Math.exp(step * A) * h[c * N + n]! + step * b * input;
        sum += readout * h[c * N + n]!;
      }
      return sum * silu(z[i]!);
    });
    return project(y, p('out'), C);
  });
});

test('mamba2 ~> is the SSD recurrence with groups, a skip and a gated norm per group', () => {
  const [H, G, N, C] = [4, 2, 3, 2 * D];
  const P = C / H;
  return check(mamba2, { numHeads: H, numGroups: G, stateSize: N }, (x, p) => {
    const total = 2 * C + 2 * G * N + H;
    const all = project(x, p('in'), D);
    const width = C + 2 * G * N;
    const convolved = convolve(columns(all, total, C, C + width), width, p('conv.weight'), p('conv.bias'));
    const h = new Float64Array(C * N);
    const gated = Float64Array.from({ length: T * C }, (_, i) => {
      const [t, c] = [Math.floor(i / C), i % C];
      const head = Math.floor(c / P);
      const group = Math.floor(head / (H / G));
      const step = softplus(all[t * total + total - H + head]! + p('dt_bias')[head]!);
      const decay = Math.exp(-step * Math.exp(p('a_log')[head]!));
      const input = convolved[t * width + c]!;
      let sum = p('d')[head]! * input;
      for (let n = 0; n < N; n++) {
        const b = convolved[t * width + C + group * N + n]!;
        const readout = convolved[t * width + C + G * N + group * N + n]!;
        h[c * N + n] = decay * h[c * N + n]! + step * b * input;
        sum += readout * h[c * N + n]!;
      }
      return sum * silu(all[t * total + c]!);
    });
    const normed = gated.map((value, i) => {
      const start = Math.floor(i / (C / G)) * (C / G);
      const squares = gated.subarray(start, start + C / G).reduce((sum, other) => sum + other ** 2, 0);
      return (value / Math.sqrt(squares / (C / G) + 1e-5)) * p('norm')[i % C]!;
    });
    return project(normed, p('out'), C);
  });
});

test('s5 ~> is a zero-order hold of one model with complex B and C, and half a gated linear unit', () => {
  const P = 3;
  return check(s5, { stateSize: 2 * P }, (x, p) => {
    const inputs = project(x, p('b'), D);
    const h = new Float64Array(2 * P);
    const states = Float64Array.from({ length: T * 2 * P }, () => 0);
    for (let t = 0; t < T; t++) {
      for (let n = 0; n < P; n++) {
        const [re, im] = [Math.min(p('lambda_re')[n]!, -1e-4), p('lambda_im')[n]!];
        const step = Math.exp(p('log_step')[n]!);
        const radius = Math.exp(re * step);
        const [a, b] = [radius * Math.cos(im * step), radius * Math.sin(im * step)];
        const size = re * re + im * im;
        const [c, d] = [((a - 1) * re + b * im) / size, (b * re - (a - 1) * im) / size];
        const [u, v] = [inputs[t * 2 * P + n]!, inputs[t * 2 * P + P + n]!];
        const [q, r] = [h[n]!, h[P + n]!];
        h[n] = a * q - b * r + c * u - d * v;
        h[P + n] = a * r + b * q + c * v + d * u;
      }
      states.set(h, t * 2 * P);
    }
    const y = project(states, p('c'), 2 * P).map((value, i) => 2 * value + p('d')[i % D]! * x[i]!);
    const active = y.map((value) => value * (0.5 + 0.5 * erf(value / Math.SQRT2)));
    const gate = project(active, p('gate.weight'), D);
    return active.map((value, i) => value * sigmoid(gate[i]! + p('gate.bias')[i % D]!));
  });
});

/** The error function by its series, for arguments of a few units. */
function erf(x: number): number {
  let [term, sum] = [x, x];
  for (let k = 1; k < 200; k++) {
    term *= (-x * x) / k;
    sum += term / (2 * k + 1);
  }
  return (2 / Math.sqrt(Math.PI)) * sum;
}

test.run();
