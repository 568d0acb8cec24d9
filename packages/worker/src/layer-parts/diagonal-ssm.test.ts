import { fromArray, openCpuDevice } from '@longscan/kernels';
import { expectClose, randomNormal, tolerances } from '@longscan/kernels/testing';
import { test } from 'uvu';
import { declarer, ParameterRecorder } from '../model/declared-parameters.js';
import { sliceContexts } from '../model/layer-context.js';
import { Parameters } from '../model/parameters.js';
import { type DiagonalSsmOptions, diagonalSsm } from './diagonal-ssm.js';

type Complex = readonly [number, number];

const times = ([a, b]: Complex, [c, d]: Complex): Complex => [a * c - b * d, a * d + b * c];
const over = (a: Complex, [c, d]: Complex): Complex => {
  const [re, im] = times(a, [c, -d]);
  return [re / (c * c + d * d), im / (c * c + d * d)];
};
const exp = ([re, im]: Complex): Complex => [Math.exp(re) * Math.cos(im), Math.exp(re) * Math.sin(im)];

/** λ and the weight of the input of one mode, as the papers write them. */
function discrete(
  method: DiagonalSsmOptions['discretisation'],
  A: Complex,
  step: number,
): [Complex, Complex] {
  const z: Complex = [A[0] * step, A[1] * step];
  if (method === 'zero-order-hold') {
    const lambda = exp(z);
    return [lambda, over([lambda[0] - 1, lambda[1]], A)];
  }
  const below: Complex = [1 - z[0] / 2, -z[1] / 2];
  return [over([1 + z[0] / 2, z[1] / 2], below), over([step, 0], below)];
}

for (const discretisation of ['zero-order-hold', 'bilinear'] as const) {
  const hasInputWeights = discretisation === 'bilinear';
  test(`diagonal-ssm ~> is the convolution with 2 Re Σ C B̄ λ^t that S4D defines: ${discretisation}`, async () => {
    const [B, T, C, stateSize] = [2, 40, 5, 6];
    const device = openCpuDevice({ poison: true });
    try {
      const options = { stateSize, spectrum: 'legs', discretisation, hasInputWeights } as const;
      const place = { index: 0, count: 1 };
      const recorder = new ParameterRecorder(device);
      diagonalSsm(declarer(recorder, 'x', C, place), options);
      const parameters = new Parameters(device, recorder.specs, { dtype: 'f64' });
      parameters.initialise(3);
      parameters.byName.get('x.kernel.b')?.write(randomNormal(C * stateSize, 4));
      const model = diagonalSsm(declarer(parameters, 'x', C, place), options);
      const u = randomNormal(B * T * C, 5);
      const context = sliceContexts(null, null, null).forLayer(0);
      const y = await model(fromArray(device, u, [B, T, C], 'f64'), context).readNumbers();
      const values = async (name: string) => parameters.byName.get(`x.${name}`)!.readNumbers();
      const [c, logStep, logDecay] = [
        await values('kernel.c'),
        await values('kernel.log_dt'),
        await values('kernel.log_a_real'),
      ];
      const [frequency, skip] = [await values('kernel.a_imag'), await values('d')];
      const b = hasInputWeights ? await values('kernel.b') : null;
      const expected = u.map((value, i) => value * skip[i % C]!);
      for (let mode = 0; mode < frequency.length; mode++) {
        const channel = Math.floor(mode / (stateSize / 2));
        const A: Complex = [-Math.exp(logDecay[mode]!), frequency[mode]!];
        const [lambda, weight] = discrete(discretisation, A, Math.exp(logStep[channel]!));
        let term = times([c[2 * mode]!, c[2 * mode + 1]!], weight);
        if (b !== null) term = times(term, [b[2 * mode]!, b[2 * mode + 1]!]);
        for (let lag = 0; lag < T; lag++) {
          for (let row = lag; row < B * T; row++) {
            if (row % T >= lag) expected[row * C + channel]! += 2 * term[0] * u[(row - lag) * C + channel]!;
          }
          term = times(term, lambda);
        }
      }
      expectClose(discretisation, y, expected, tolerances.f64);
    } finally {
      device.close();
    }
  });
}

test.run();
