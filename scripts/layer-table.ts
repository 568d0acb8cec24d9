import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { cpus, tmpdir } from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { launch } from '@longscan/coordinator';
import { isStepRow, type MetricsRow, type ValidationRow } from '@longscan/worker/protocol';

/**
 * Trains each layer in the same small job, examples/any-layer, and prints one row per layer: its class, parameters,
 * validation loss beside the bigram entropy of the text, speed, and the bytes that cross ranks in a step. Status 1 when
 * a layer does not get below that entropy.
 *
 *     node scripts/dist/layer-table.js [LAYER …]
 */
const root = path.resolve(path.dirname(fileURLToPath(import.meta.url)), '../..');
const job = path.join(root, 'examples/any-layer/job.toml');
/** Steps that warm caches up and are not timed. */
const warmUp = 5;

interface Setting {
  /** Of the layer. */
  readonly options?: Readonly<Record<string, unknown>>;
  /** Of training, where it is not the job's own number. */
  readonly steps?: number;
}

const settings: Readonly<Record<string, Setting>> = {
  // Without positions its sum is one over a bag of tokens; nothing in it forgets, and it learns later than the others.
  'linear-attention': { options: { rotary: true }, steps: 600 },
  based: { steps: 600 },
  rebased: { steps: 600 },
  // Its heads come in two groups.
  rat: { options: { numHeads: 4 } },
};

interface TableRow {
  readonly layer: string;
  readonly transition: string;
  readonly strategy: string;
  readonly numParameters: number;
  readonly validationLoss: number;
  readonly bigramEntropy: number;
  readonly tokensPerSecond: number;
  /** Both directions, all ranks. */
  readonly bytesPerStep: number;
}

async function train(layer: string, transition: string): Promise<TableRow> {
  const runDir = mkdtempSync(path.join(tmpdir(), 'longscan-layers-'));
  try {
    // What no segment describes runs slice after slice, which only a plain chain does.
    const strategy = transition === 'opaque' ? 'ring' : 'all-scan';
    const { options, steps } = settings[layer] ?? {};
    const overrides = {
      ...{ 'model.layers': [{ use: layer, ...options }], 'parallel.strategy': strategy, 'device.threads': 1 },
      ...(steps === undefined ? {} : { 'job.steps': steps, 'checkpoint.every': steps }),
    };
    const run = await launch(job, { runDir, overrides });
    await run.done;
    const rows = readMetrics(path.join(runDir, 'metrics.jsonl'));
    const trained = rows.filter(isStepRow);
    const validation = rows.findLast((row): row is ValidationRow => !isStepRow(row));
    return {
      ...{ layer, transition, strategy },
      numParameters: run.plan.perRank.numParameters,
      validationLoss: validation?.validationLoss ?? Number.NaN,
      bigramEntropy: validation?.bigramEntropy ?? Number.NaN,
      tokensPerSecond: median(trained.slice(warmUp).map((row) => row.tokensPerSecond)),
      bytesPerStep: trained.at(-1)!.spBytesSent,
    };
  } finally {
    rmSync(runDir, { recursive: true, force: true });
  }
}

function readMetrics(file: string): MetricsRow[] {
  const lines = readFileSync(file, 'utf8').trim().split('\n');
  return lines.map((line) => JSON.parse(line) as MetricsRow);
}

function median(values: readonly number[]): number {
  return [...values].sort((a, b) => a - b)[Math.floor(values.length / 2)]!;
}

function format(row: TableRow): string {
  const count = (value: number) => Math.round(value).toLocaleString('en-US');
  const { options = {}, steps } = settings[row.layer] ?? {};
  const set = Object.entries({ ...options, ...(steps && { steps }) }).map(
    ([key, value]) => `${key} = ${value}`,
  );
  const cells = [
    `${row.layer}${set.length > 0 ? ` (${set.join(', ')})` : ''}`,
    ...[row.transition, row.strategy, count(row.numParameters), row.validationLoss.toFixed(3)],
    ...[count(row.tokensPerSecond), count(row.bytesPerStep)],
  ];
  return `| ${cells.join(' | ')} |`;
}

const command = [path.join(root, 'packages/coordinator/bin/longscan.js'), 'layers', '--json'];
const listing = execFileSync(process.execPath, command, { encoding: 'utf8' });
const all = JSON.parse(listing) as { name: string; transition: string }[];
const wanted = process.argv.slice(2);
const rows: TableRow[] = [];
console.log(`${cpus()[0]?.model}, ${cpus().length} cores, two ranks of one thread\n`);
console.log('| layer | class | strategy | parameters | validation loss | tokens/s | bytes sent a step |');
console.log('| --- | --- | --- | --- | --- | --- | --- |');
const asked = wanted.length === 0 ? all : all.filter(({ name }) => wanted.includes(name));
for (const { name, transition } of asked) {
  const row = await train(name, transition);
  rows.push(row);
  console.log(format(row));
}
const failed = rows.filter(({ validationLoss, bigramEntropy }) => !(validationLoss < bigramEntropy));
console.log(`\nBigram entropy of the text: ${rows[0]?.bigramEntropy.toFixed(3)} nats per byte.`);
for (const { layer } of failed) console.log(`${layer} is not below it`);
process.exitCode = failed.length > 0 ? 1 : 0;
