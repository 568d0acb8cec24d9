import type { JobSpec } from '@longscan/worker/protocol';
import { formatPercent, formatSeconds } from '../format.js';
import { codeOfPackages } from '../layer-code/layer-code.js';
import { loadJob } from '../spec/index.js';
import { loadCompute } from './load-compute.js';
import { planStep, timeStep } from './measure-compute.js';
import { computeSeconds } from './op-seconds.js';

// How well compute costs tell the step of one rank at shapes that they were not fitted to:
// `node packages/coordinator/dist/compute/held-out.bench.js PRESET|FILE…`. Prints a Markdown table of the median lap of
// `bench step` beside the sum of its ops' costs, and the mean error.

interface Shape {
  readonly layers: readonly string[];
  readonly dModel: number;
  readonly numLayers: number;
  readonly T: number;
}

const both = ['gla', 'lightning'];
const heldOut: readonly Shape[] = [
  { layers: both, dModel: 128, numLayers: 4, T: 6144 },
  { layers: both, dModel: 128, numLayers: 6, T: 3072 },
  { layers: both, dModel: 192, numLayers: 4, T: 4096 },
  { layers: both, dModel: 256, numLayers: 2, T: 6144 },
  { layers: ['gla'], dModel: 128, numLayers: 2, T: 12288 },
  { layers: ['lightning'], dModel: 256, numLayers: 4, T: 2048 },
  { layers: ['gated-deltanet'], dModel: 192, numLayers: 2, T: 4096 },
  { layers: ['mamba2', 'rwkv7'], dModel: 128, numLayers: 4, T: 3072 },
  { layers: ['gla', 'softmax-attention'], dModel: 192, numLayers: 2, T: 3072 },
];

const names = process.argv.length > 2 ? process.argv.slice(2) : ['cpu'];
const models = names.map((name) => ({ name, costs: loadCompute(name), errors: [] as number[] }));
for (const { costs } of models) for (const note of costs.notes ?? []) console.error(`note: ${note}`);

async function specOf({ layers, dModel, numLayers, T }: Shape): Promise<JobSpec> {
  const model = { ...{ dModel, numLayers, numHeads: 4, chunk: 64 }, layers: [...layers] };
  const job = { model, data: { path: 'unused', sequenceLength: T }, device: { threads: 1 } };
  return (await loadJob(job, { readsText: false })).jobSpec;
}

const options = {
  ...{ modules: {}, numWarmUps: 2, numSteps: 6 },
  signal: new AbortController().signal,
  log: () => undefined,
};
const code = codeOfPackages({ name: 'held out' });
console.log(`| layers | width | tokens | measured (5 – 95 %) | ${names.join(' | ')} |`);
console.log(`| --- | ---: | ---: | ---: |${' ---: |'.repeat(names.length)}`);
for (const shape of heldOut) {
  const { row, schedule } = await timeStep(await planStep(await specOf(shape), code), options);
  const modelled = models.map(({ costs, errors }) => {
    const seconds = computeSeconds(costs, schedule);
    const error = seconds / (row.medianMs / 1000) - 1;
    errors.push(error);
    return `${formatSeconds(seconds)} (${formatPercent(error)})`;
  });
  const [median, low, high] = [row.medianMs, row.lowMs, row.highMs].map((ms) => formatSeconds(ms / 1000));
  const cells = [
    `${shape.numLayers}: ${shape.layers.join(', ')}`,
    ...[String(shape.dModel), String(shape.T), `${median} (${low} – ${high})`, ...modelled],
  ];
  console.log(`| ${cells.join(' | ')} |`);
}
for (const { name, errors } of models) {
  const sizes = errors.map(Math.abs);
  const mean = sizes.reduce((sum, size) => sum + size, 0) / sizes.length;
  console.log(`\n${name}: mean error ${formatPercent(mean)}, worst ${formatPercent(Math.max(...sizes))}`);
}
