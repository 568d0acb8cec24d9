import { type Communicator, LongscanError, type RecurrenceOp, type Tensor } from '@longscan/kernels';
import { installedStrategies, loadStrategy } from '../load-strategy.js';
import type { Task } from '../protocol/assignment.js';
import type { BenchRecurrence, BenchShape } from '../protocol/bench.js';
import type { MissingRecurrence, RecurrenceTimes } from '../protocol/recurrences.js';
import type { RankContext } from '../rank-context.js';
import { recurrence } from '../sequence/recurrence.js';
import type { SequenceGroup } from '../sequence/sequence-group.js';
import { slicesOf } from '../sequence/slice-group.js';
import type { Strategy } from '../strategy.js';
import { refuseTransition, supportsTransition } from '../strategy-support.js';
import { behindBarrier } from './behind-barrier.js';
import { optionsFor } from './collectives/scans.js';
import { reportOnGroup } from './on-group.js';
import { type Pass, passes, runPass, tensorsOf } from './passes.js';
import { type RecurrenceCase, recurrenceCases } from './recurrence-cases.js';
import { noRoom, tryOnAll } from './try-on-all.js';
import { withoutMessages } from './without-messages.js';

type BenchTask = Extract<Task, { kind: 'bench-recurrences' }>;

/**
 * The `bench-recurrences` task: recurrences over sequences whose slices lie on the ranks, under each strategy, beside the same
 * slices as sequences of their own. The difference is what the scan over ranks costs: summaries, messages, combining, waiting.
 */
export async function runBenchRecurrences(context: RankContext): Promise<void> {
  const { task } = context.assignment;
  if (task.kind !== 'bench-recurrences') throw new TypeError(`not a bench-recurrences task: ${task.kind}`);
  const strategies = task.strategies && (await Promise.all(task.strategies.map(loadStrategy)));
  await reportOnGroup(context, (group) =>
    measureRecurrences(group, {
      ...{ ...task, strategies },
      onProgress(progress) {
        context.log(`${progress.done + 1} of ${progress.total}: ${progress.next}`);
        if (context.env.rank === 0) context.control.report({ type: 'progress', ...progress });
      },
    }),
  );
}

export interface MeasureOptions extends Omit<BenchTask, 'kind' | 'strategies'> {
  /** Default: those of the sp folder. */
  readonly strategies?: readonly Strategy[];
  /** Called before each recurrence of each shape. */
  readonly onProgress?: (progress: { done: number; total: number; next: string }) => void;
}

type Row = RecurrenceTimes | MissingRecurrence;

/**
 * This rank's times: every rank of the group calls this with the same options.
 * @throws LongscanError E-MEMORY where others have taken what the trials found free, and what the communicator throws
 */
export async function measureRecurrences(group: Communicator, options: MeasureOptions): Promise<Row[]> {
  const { ops, shapes, onProgress } = options;
  const strategies = options.strategies ?? (await installedStrategies());
  const cases = shapes.flatMap((shape) => ops.map((op) => ({ op, shape })));
  const rows: Row[] = [];
  for (const [done, { op, shape }] of cases.entries()) {
    onProgress?.({ done, total: cases.length, next: `${op}, T = ${shape.T}` });
    rows.push(...(await measureRecurrence(group, op, shape, options, strategies)));
  }
  return rows;
}

async function measureRecurrence(
  group: Communicator,
  name: BenchRecurrence,
  shape: BenchShape,
  { dtype, numRounds }: Pick<BenchTask, 'dtype' | 'numRounds'>,
  strategies: readonly Strategy[],
): Promise<Row[]> {
  const { device } = group.stream;
  const which = { op: name, ...shape, dtype };
  const length = shape.T / group.size;
  let made: Tensor[] = [];
  try {
    const tried = await tryOnAll(group, () => {
      const problem = device.scope(() => recurrenceCases[name](device, { ...shape, T: length }, dtype));
      made = tensorsOf(problem);
      return tryWay(group, problem, alone).then(() => problem);
    });
    if ('missing' in tried) return [{ ...which, ...alone.what, ...tried }];
    const problem = tried.result;
    const { ways, missing } = await waysThatFit(group, problem, waysOf(group, problem, length, strategies));
    const rows: Row[] = [];
    for (const pass of passes) {
      const runs = [alone, ...ways].map((way) => runOf(group, problem, pass, way));
      for (const times of await timesOf(group, runs, numRounds)) rows.push({ ...which, pass, ...times });
    }
    for (const what of [...missing, ...refusedFor(problem, name, strategies)])
      rows.push({ ...which, ...what });
    return rows;
  } catch (error) {
    // Others have taken since what the trials found free.
    throw error instanceof LongscanError && error.code === 'E-MEMORY' ? noRoom(error) : error;
  } finally {
    for (const tensor of made) tensor.release();
  }
}

/** How states cross the ranks, if they do. */
interface Way {
  readonly what: Pick<RecurrenceTimes, 'strategy' | 'blocks' | 'ranksPerNode'>;
  readonly group: SequenceGroup | null;
}

/** They do not. */
const alone: Way = { what: { strategy: null, blocks: null, ranksPerNode: null }, group: null };

/** Each strategy that the recurrence can have, in each way to run it that differs. */
function waysOf(
  communicator: Communicator,
  { op, inputs }: RecurrenceCase<RecurrenceOp>,
  length: number,
  strategies: readonly Strategy[],
): Way[] {
  const rows = op.stateShape(inputs)[2] ?? 1;
  const slices = slicesOf(Array.from({ length: communicator.size }, () => length));
  return strategies
    .filter((strategy) => supportsTransition(strategy, op.transition))
    .flatMap((strategy) =>
      optionsFor(strategy, communicator, rows).map((options) => ({
        what: { strategy: strategy.name, ...options },
        group: { communicator, slices, strategy, options },
      })),
    );
}

/** Why a way has no times. */
type Unmeasured = Way['what'] & Pick<MissingRecurrence, 'missing'>;

/** Those that every rank has the memory and the kernels for: one that is in the middle of a scan cannot take it back. */
async function waysThatFit(
  communicator: Communicator,
  problem: RecurrenceCase<RecurrenceOp>,
  ways: readonly Way[],
): Promise<{ ways: Way[]; missing: Unmeasured[] }> {
  const fitting: Way[] = [];
  const missing: Unmeasured[] = [];
  for (const way of ways) {
    const tried = await tryOnAll(communicator, () => tryWay(communicator, problem, way));
    if ('missing' in tried) missing.push({ ...way.what, ...tried });
    else fitting.push(way);
  }
  return { ways: fitting, missing };
}

/** A round of both passes as those that are timed, for its memory: this rank alone. */
async function tryWay(
  communicator: Communicator,
  problem: RecurrenceCase<RecurrenceOp>,
  { what, group }: Way,
): Promise<void> {
  const silent = withoutMessages(communicator);
  const way = { what, group: group && { ...group, communicator: silent } };
  await takeRound(silent, runOf(silent, problem, 'both', way).enqueue);
}

/** Strategies that the recurrence cannot have. */
function refusedFor(
  { op: { transition } }: RecurrenceCase<RecurrenceOp>,
  name: BenchRecurrence,
  strategies: readonly Strategy[],
): Unmeasured[] {
  return strategies
    .filter((strategy) => !supportsTransition(strategy, transition))
    .map((strategy) => ({
      ...{ ...alone.what, strategy: strategy.name },
      missing: refuseTransition(strategy.name, transition, name).message,
    }));
}

/** A pass, with its states crossing in one way. */
interface Run {
  readonly what: Way['what'];
  readonly enqueue: () => void;
}

function runOf(
  { stream }: Communicator,
  { op, ...problem }: RecurrenceCase<RecurrenceOp>,
  pass: Pass,
  { what, group }: Way,
): Run {
  const output = () => recurrence(op, problem.inputs, { group, resets: null });
  return { what, enqueue: () => runPass(stream.device, pass, problem, output) };
}

/** Runs that are not counted: kernels are loaded, connections and memory are taken. */
const numWarmUps = 3;

/** Of each run, in rounds of all of them, so that what else the machine does falls on all alike. */
async function timesOf(group: Communicator, runs: readonly Run[], numRounds: number) {
  const { device } = group.stream;
  const begin = group.bytesSent();
  await takeRound(group, () => {});
  const ofBarrier = group.bytesSent() - begin;
  const times = [];
  for (const { what, enqueue } of runs) {
    for (let i = 0; i < numWarmUps; i++) await takeRound(group, enqueue);
    const { inUseBytes } = device.memory({ resetPeak: true });
    const sentBefore = group.bytesSent() + ofBarrier;
    await takeRound(group, enqueue);
    const bytesSent = group.bytesSent() - sentBefore;
    const extraBytes = device.memory().peakBytes - inUseBytes;
    times.push({ ...what, samplesMs: [] as number[], bytesSent, extraBytes });
  }
  for (let round = 0; round < numRounds; round++) {
    for (const [i, { enqueue }] of runs.entries()) times[i]!.samplesMs.push(await takeRound(group, enqueue));
  }
  return times;
}

/** Milliseconds of a run behind a barrier of the ranks. */
async function takeRound(group: Communicator, enqueue: () => void): Promise<number> {
  const { stream } = group;
  const { compute } = stream.device;
  const time = behindBarrier(group, () => {
    compute.wait(stream.record());
    const stop = compute.stopwatch();
    enqueue();
    return stop();
  });
  const ms = await time;
  // What this rank sends on may be under way still.
  await stream.sync();
  return ms;
}
