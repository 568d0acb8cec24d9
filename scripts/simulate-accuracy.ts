import { execFileSync } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';

/**
 * How well `longscan simulate` foretells training steps on this machine, one thread a rank: shapes of examples/moby-dick that
 * the compute file was not fitted to, on 1 to 8 ranks under several strategies, measured by `longscan bench step`.
 *
 *     longscan bench step examples/moby-dick/job.toml --save compute.json
 *     longscan bench collectives --save fabric.json        # or the name of a preset
 *     node scripts/dist/simulate-accuracy.js compute.json ./fabric.json results.json [SECONDS]
 *
 * What stands in results.json is not measured again, so that a run can go on where SECONDS ended the last one. Prints a Markdown
 * table and the mean error with its 95 % interval.
 */
const root = path.resolve(path.dirname(fileURLToPath(import.meta.url)), '../..');
const job = path.join(root, 'examples/moby-dick/job.toml');
const [compute, fabric, file, seconds = '120'] = process.argv.slice(2);
if (compute === undefined || fabric === undefined || file === undefined)
  throw new Error('usage: simulate-accuracy.js COMPUTE FABRIC RESULTS [SECONDS]');

/** Steps in front of those that are timed, and those. */
const [numWarmUps, numSteps] = [3, 9];

/** One training that is measured and foretold. */
interface Shape {
  readonly sp: number;
  readonly strategy: string;
  readonly dModel: number;
  readonly numLayers: number;
  readonly length: number;
}

interface Result extends Shape {
  readonly measuredS: number;
  readonly modelledS: number;
}

const shapes: readonly Shape[] = [
  ...shapesOn(1, ['ring']),
  ...shapesOn(2, ['all-scan', 'all-gather']),
  ...shapesOn(4, ['all-scan', 'doubling-scan']),
  ...shapesOn(8, ['ring', 'all-gather']),
];

/** Widths, depths and lengths between and beside those of a compute file of the job. */
function shapesOn(sp: number, strategies: readonly string[]): Shape[] {
  const sizes = [
    { dModel: 96, numLayers: 2, length: 6144 },
    { dModel: 160, numLayers: 2, length: 5120 },
    { dModel: 128, numLayers: 6, length: 3072 },
  ];
  return sizes.flatMap((size, i) => ({ sp, strategy: strategies[i % strategies.length]!, ...size }));
}

function longscan(args: readonly string[]): Record<string, unknown>[] {
  const text = execFileSync(path.join(root, 'longscan'), [...args, '--json'], {
    encoding: 'utf8',
    timeout: 120_000,
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  return text
    .trim()
    .split('\n')
    .flatMap((line) => JSON.parse(line));
}

function settings({ dModel, numLayers, length }: Shape): string[] {
  const values = {
    'model.dModel': dModel,
    'model.numLayers': numLayers,
    'data.sequenceLength': length,
    'device.threads': 1,
  };
  return Object.entries(values).flatMap(([key, value]) => ['--set', `${key}=${value}`]);
}

function measure(shape: Shape): Result {
  const own = settings(shape);
  const [row] = longscan([
    ...['bench', 'step', job, ...own],
    ...['--set', `parallel.sp=${shape.sp}`, '--set', `parallel.strategy=${shape.strategy}`],
    ...['--warmup', String(numWarmUps), '--steps', String(numSteps)],
  ]);
  const [modelled] = longscan([
    ...['simulate', job, ...own, '--sp', String(shape.sp), '--strategy', shape.strategy],
    ...['--compute', path.resolve(compute!), '--fabric', fabric!],
  ]);
  return {
    ...shape,
    measuredS: Number(row!.medianMs) / 1e3,
    modelledS: Number(modelled!.stepSeconds),
  };
}

function readResults(): Result[] {
  try {
    return JSON.parse(readFileSync(file!, 'utf8')) as Result[];
  } catch {
    return [];
  }
}

const keyOf = ({ sp, strategy, dModel, numLayers, length }: Shape) =>
  [sp, strategy, dModel, numLayers, length].join(' ');

const results = readResults();
const known = new Set(results.map(keyOf));
const end = performance.now() + 1000 * Number(seconds);
for (const shape of shapes) {
  if (known.has(keyOf(shape)) || performance.now() > end) continue;
  results.push(measure(shape));
  writeFileSync(file, `${JSON.stringify(results, null, 2)}\n`);
}

const ms = (value: number) => (1e3 * value).toPrecision(4);
const errors = results.map(({ measuredS, modelledS }) => modelledS / measuredS - 1);
console.log('| ranks | strategy | width | layers | tokens | measured, ms | modelled, ms | off |');
console.log('| ---: | --- | ---: | ---: | ---: | ---: | ---: | ---: |');
for (const [i, { sp, strategy, dModel, numLayers, length, measuredS, modelledS }] of results.entries()) {
  const off = `${errors[i]! < 0 ? '' : '+'}${(100 * errors[i]!).toFixed(1)} %`;
  console.log(
    `| ${[sp, strategy, dModel, numLayers, length, ms(measuredS), ms(modelledS), off].join(' | ')} |`,
  );
}
const sizes = errors.map(Math.abs);
const mean = sizes.reduce((sum, size) => sum + size, 0) / sizes.length;
const variance = sizes.reduce((sum, size) => sum + (size - mean) ** 2, 0) / Math.max(1, sizes.length - 1);
// Student's t for 95 %, by Cornish and Fisher's expansion.
const degrees = Math.max(1, sizes.length - 1);
const t = 1.96 + (1.96 ** 3 + 1.96) / (4 * degrees);
const half = t * Math.sqrt(variance / sizes.length);
const percent = (value: number) => (100 * value).toFixed(1);
console.log(
  `\nn = ${sizes.length} of ${shapes.length}, mean |off| ${percent(mean)} %, 95 % interval ${percent(mean - half)} to ${percent(mean + half)} %, largest ${percent(Math.max(...sizes))} %`,
);
