import {
  type Device,
  LongscanError,
  openCpuDevice,
  openCudaDevice,
  runRecurrence,
  type Tensor,
} from '@longscan/kernels';
import type { Task } from '../protocol/assignment.js';
import type { BenchOp, BenchShape } from '../protocol/bench.js';
import type { RankContext } from '../rank-context.js';
import { type Ceilings, measureCeilings } from './ceilings.js';
import { lengthThatFits } from './length-that-fits.js';
import { machineOf } from './machine.js';
import { measure, measureGraph, type Times } from './measure.js';
import { likeOutput, type Pass, passes, runPass, tensorsOf } from './passes.js';
import { type RecurrenceCase, recurrenceCases } from './recurrence-cases.js';

type BenchTask = Extract<Task, { kind: 'bench-kernels' }>;

/** One measurement, or why there is none. */
type Row = Readonly<Record<string, unknown>>;

/**
 * The `bench-kernels` task: recurrences forward, and forward and backward, beside what moving their inputs and outputs once,
 * and their arithmetic, would take. What has no kernel on the device gives a row that says so.
 */
export async function runBenchKernels({ assignment, env, control, log }: RankContext): Promise<void> {
  const { task } = assignment;
  if (task.kind !== 'bench-kernels') throw new TypeError(`not a bench-kernels task: ${task.kind}`);
  const device =
    task.device === 'cuda'
      ? openCudaDevice({ poison: false })
      : openCpuDevice({ threads: env.numThreads, poison: false });
  try {
    const ceilings = await measureCeilings(device);
    const cases = task.shapes.flatMap((shape) => task.ops.map((op) => ({ op, shape })));
    const rows: Row[] = [];
    for (const [done, { op, shape }] of cases.entries()) {
      log(`${op} ${JSON.stringify(shape)}`);
      control.report({ type: 'progress', done, total: cases.length, next: `${op}, T = ${shape.T}` });
      rows.push(...(await benchRecurrence(device, op, shape, task, ceilings)));
    }
    control.report({ type: 'done', result: { machine: machineOf(device, env.numThreads), ceilings, rows } });
  } finally {
    device.close();
  }
}

async function benchRecurrence(
  device: Device,
  name: BenchOp,
  shape: BenchShape,
  { dtype, numRounds }: BenchTask,
  ceilings: Ceilings,
): Promise<Row[]> {
  const which = { op: name, ...shape, dtype };
  let made: Tensor[] = [];
  try {
    const problem = device.scope(() => recurrenceCases[name](device, shape, dtype));
    made = tensorsOf(problem);
    const rows: Row[] = [];
    for (const pass of passes) {
      const run = () => runPass(device, pass, problem, () => outputOf(problem));
      const work = workOf(device, problem, pass, run);
      const inUseBefore = device.memory({ resetPeak: true }).inUseBytes;
      const times = await measure(device, numRounds, run);
      const { peakBytes } = device.memory();
      const extraBytes = peakBytes - inUseBefore;
      const isShort = device.kind === 'cuda' && shape.B * shape.T <= graphTokens;
      const graph = isShort ? await measureGraph(device, numRounds, run) : null;
      const graphMs = graph?.medianMs ?? null;
      rows.push({
        ...which,
        pass,
        ...times,
        graphMs,
        ...fractions(times, work, ceilings),
        peakBytes,
        extraBytes,
      });
    }
    return rows;
  } catch (error) {
    if (!(error instanceof LongscanError) || !reasons.includes(error.code)) throw error;
    for (const tensor of made) tensor.release();
    made = [];
    const missing =
      error.code === 'E-MEMORY' ? describeShortage(device, name, shape, dtype, error) : error.message;
    return [{ ...which, pass: null, missing }];
  } finally {
    for (const tensor of made) tensor.release();
  }
}

/** Tokens up to which launching is a good part of the time. */
const graphTokens = 16_384;

/** The error, with a shape that fits in place of the settings of a job, which would help training. */
function describeShortage(
  device: Device,
  name: BenchOp,
  shape: BenchShape,
  dtype: BenchTask['dtype'],
  error: LongscanError,
): string {
  const T = lengthThatFits(device, shape, (short) => {
    const problem = recurrenceCases[name](device, short, dtype);
    for (const pass of passes) runPass(device, pass, problem, () => outputOf(problem));
  });
  if (T === null) return error.message;
  const { B, H, K, V } = shape;
  return new LongscanError({ ...error.parts, fix: `--shape B=${B},T=${T},H=${H},K=${K},V=${V}` }).message;
}

/** Why a measurement may be left out of the others. */
const reasons: readonly string[] = ['E-CUDA-KERNEL', 'E-MEMORY'];

function outputOf({ op, inputs }: RecurrenceCase): Tensor {
  return typeof op === 'function' ? op(inputs) : runRecurrence(op, inputs, { resets: null, h0: null }).output;
}

/** What a run cannot do without. */
interface Work {
  /** Each input read once and each output written once, in either pass. */
  readonly bytes: number;
  /** As the op counts them. */
  readonly flops: number;
}

function workOf(device: Device, problem: RecurrenceCase, pass: Pass, run: () => void): Work {
  const before = device.flops;
  run();
  const inputBytes = Object.values(problem.inputs).reduce((sum, tensor) => sum + (tensor?.bytes ?? 0), 0);
  const forward = inputBytes + likeOutput(problem).bytes;
  return { bytes: pass === 'forward' ? forward : 2 * forward + inputBytes, flops: device.flops - before };
}

function fractions({ medianMs }: Times, { bytes, flops }: Work, ceilings: Ceilings): Row {
  const bytesFloorMs = (1000 * bytes) / ceilings.bytesPerSecond;
  const flopsFloorMs = ceilings.flopsPerSecond && (1000 * flops) / ceilings.flopsPerSecond;
  return {
    ...{ bytes, flops, bytesFloorMs, flopsFloorMs },
    bytesFraction: bytesFloorMs / medianMs,
    flopsFraction: flopsFloorMs && flopsFloorMs / medianMs,
  };
}
