import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { benchOps } from '../protocol/bench.js';
import type { Progress } from '../protocol/messages.js';
import type { RankContext } from '../rank-context.js';
import { runBenchKernels } from './kernels.js';

type Row = Readonly<Record<string, number | string | null>>;

interface Result {
  readonly machine: Row;
  readonly ceilings: Row;
  readonly rows: readonly Row[];
}

interface Asked {
  readonly ops: readonly string[];
  readonly shapes: readonly object[];
  readonly device?: string;
  readonly dtype?: string;
}

async function bench(task: Asked): Promise<Result> {
  const reports: (Progress | { readonly type: 'done'; readonly result: Result })[] = [];
  const context = {
    assignment: { task: { kind: 'bench-kernels', device: 'cpu', dtype: 'f32', numRounds: 3, ...task } },
    env: { numThreads: 1 },
    control: { report: (message: (typeof reports)[number]) => reports.push(message) },
    log: () => {},
  } as unknown as RankContext;
  await runBenchKernels(context);
  const total = task.ops.length;
  const told = task.ops.map((op, done) => ({ type: 'progress', done, total, next: `${op}, T = 70` }));
  assert.equal(reports.slice(0, -1), told);
  const last = reports.at(-1)!;
  assert.ok(last.type === 'done');
  return last.result;
}

const shape = { B: 1, T: 70, H: 2, K: 8, V: 16 };

test('bench kernels ~> every recurrence is timed in both passes, beside what its bytes and FLOP would take', async () => {
  const { machine, ceilings, rows } = await bench({ ops: benchOps, shapes: [shape] });
  assert.is(machine.device, 'cpu');
  assert.equal(
    rows.map(({ op, pass }) => `${op} ${pass}`),
    benchOps.flatMap((op) => [`${op} forward`, `${op} both`]),
  );
  for (const row of rows) {
    const number = (key: string) => row[key] as number;
    assert.ok(
      number('lowMs') <= number('medianMs') && number('medianMs') <= number('highMs'),
      JSON.stringify(row),
    );
    assert.ok(number('lowMs') > 0 && number('extraBytes') > 0);
    // A shift moves bytes alone.
    assert.is(number('flops') > 0, row.op !== 'token-shift');
    const floorMs = (1000 * number('bytes')) / (ceilings.bytesPerSecond as number);
    assert.ok(Math.abs(floorMs / number('bytesFloorMs') - 1) < 1e-9);
    assert.ok(Math.abs(number('bytesFraction') * number('medianMs') - floorMs) < 1e-9);
  }
});

test('bench kernels ~> bytes: each input and output once, in either pass', async () => {
  const { rows } = await bench({ ops: ['simple-gla'], shapes: [shape] });
  const { B, T, H, K, V } = shape;
  const [q, v, g] = [4 * B * T * H * K, 4 * B * T * H * V, 4 * B * T * H];
  const inputs = 2 * q + v + g;
  assert.equal(
    rows.map(({ bytes }) => bytes),
    [inputs + v, inputs + v + (inputs + v) + inputs],
  );
});

test('bench kernels ~> a GPU that is not there is an error, not a row', async () => {
  process.env.LONGSCAN_CUDA_DRIVER = '/nowhere/libcuda.so.1';
  const error = await bench({ device: 'cuda', dtype: 'bf16', ops: ['gla'], shapes: [shape] }).then(
    () => assert.unreachable('it was timed'),
    (reason: Error) => reason,
  );
  assert.match((error as Error).message, /E-CUDA-DRIVER/);
});

test.run();
