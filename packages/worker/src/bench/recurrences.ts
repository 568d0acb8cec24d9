import {
  type Communicator,
  fromArray,
  LongscanError,
  type RecurrenceOp,
  type Tensor,
} from '@longscan/kernels';
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

type BenchTask = Extract<Task, { kind: 'bench-recurrences' }>;

/**
 * The `bench-recurrences` task: recurrences over sequences whose slices lie on the ranks, under each strategy, beside the same
 * slices as sequences of their own. The difference is what the scan over ranks costs: summaries, messages, combining, waiting.
 */
export async function runBenchRecurrences(context: RankContext): Promise<void> {
  const { task } = context.assignment;
  if (task.kind !== 'bench-recurrences') throw new TypeError(`not a bench-recurrences task: ${task.kind}`);
  await reportOnGroup(context, (group) => measureRecurrences(group, task, context.log));
}

/**
 * This rank's times: every rank of the group calls this with the same task.
 * @throws LongscanError E-MEMORY, and what the communicator throws
 */
export async function measureRecurrences(
  group: Communicator,
  task: Omit<BenchTask, 'kind'>,
  log: (line: string) => void = () => {},
): Promise<(RecurrenceTimes | MissingRecurrence)[]> {
  const strategies = await (task.strategies === undefined
    ? installedStrategies()
    : Promise.all(task.strategies.map(loadStrategy)));
  const rows: (RecurrenceTimes | MissingRecurrence)[] = [];
  for (const shape of task.shapes) {
    for (const op of task.ops) {
      log(`${op} ${JSON.stringify(shape)}`);
      rows.push(...(await measureRecurrence(group, op, shape, task, strategies)));
    }
  }
  return rows;
}

async function measureRecurrence(
  group: Communicator,
  name: BenchRecurrence,
  shape: BenchShape,
  { dtype, numRounds }: Pick<BenchTask, 'dtype' | 'numRounds'>,
  strategies: readonly Strategy[],
): Promise<(RecurrenceTimes | MissingRecurrence)[]> {
  const { device } = group.stream;
  const which = { op: name, ...shape, dtype };
  const length = shape.T / group.size;
  let made: Tensor[] = [];
  try {
    const tried = await tryOnAll(group, () => {
      const problem = device.scope(() => recurrenceCases[name](device, { ...shape, T: length }, dtype));
      made = tensorsOf(problem);
      runOf(group, problem, 'both', alone).enqueue();
      return problem;
    });
    if ('missing' in tried) return [{ ...which, strategy: null, ...tried }];
    const problem = tried.result;
    const ways = waysOf(group, problem, length, strategies);
    const rows: (RecurrenceTimes | MissingRecurrence)[] = [];
    for (const pass of passes) {
      const runs = ways.map((way) => runOf(group, problem, pass, way));
      for (const times of await timesOf(group, runs, numRounds)) rows.push({ ...which, pass, ...times });
    }
    const { transition } = problem.op;
    const refused = strategies.filter((strategy) => !supportsTransition(strategy, transition));
    for (const { name: strategy } of refused)
      rows.push({ ...which, strategy, missing: refuseTransition(strategy, transition, name).message });
    return rows;
  } catch (error) {
    // What was tried needs no summary: a rank without room for that ends the task, and the others with it.
    if (!(error instanceof LongscanError) || error.code !== 'E-MEMORY') throw error;
    throw new LongscanError({ ...error.parts, fix: shorter });
  } finally {
    for (const tensor of made) tensor.release();
  }
}

/** What helps a recurrence that has no room. */
const shorter = 'a smaller T in --shape, or more ranks';

/** Why a recurrence may be left out of the others. */
const reasons: readonly string[] = ['E-CUDA-KERNEL', 'E-MEMORY'];

/**
 * Runs what needs no other rank, then asks them: what one rank cannot do none goes on with, as they would wait for it. Gives the
 * result, or on every rank why it has none: null where it could have had one.
 */
export async function tryOnAll<T>(
  group: Communicator,
  run: () => T,
): Promise<{ result: T } | { missing: string | null }> {
  const { stream } = group;
  const { compute } = stream.device;
  let tried: { result: T } | { missing: string | null };
  try {
    tried = { result: run() };
  } catch (error) {
    if (!(error instanceof LongscanError) || !reasons.includes(error.code)) throw error;
    const { message } =
      error.code === 'E-MEMORY' ? new LongscanError({ ...error.parts, fix: shorter }) : error;
    tried = { missing: message };
  }
  const numMissing = fromArray(stream.device, ['missing' in tried ? 1 : 0], [1]);
  stream.wait(compute.record());
  group.allReduce(numMissing);
  compute.wait(stream.record());
  const [count] = await numMissing.readNumbers();
  numMissing.release();
  return count === 0 || 'missing' in tried ? tried : { missing: null };
}

/** How states cross the ranks, if they do. */
interface Way {
  readonly what: Pick<RecurrenceTimes, 'strategy' | 'blocks' | 'ranksPerNode'>;
  readonly group: SequenceGroup | null;
}

/** They do not. */
const alone: Way = { what: { strategy: null, blocks: null, ranksPerNode: null }, group: null };

/** That first, then each strategy that the recurrence can have, in each way to run it that differs. */
function waysOf(
  communicator: Communicator,
  { op, inputs }: RecurrenceCase<RecurrenceOp>,
  length: number,
  strategies: readonly Strategy[],
): Way[] {
  const rows = op.stateShape(inputs)[2] ?? 1;
  const slices = slicesOf(Array.from({ length: communicator.size }, () => length));
  const crossing = strategies
    .filter((strategy) => supportsTransition(strategy, op.transition))
    .flatMap((strategy) =>
      optionsFor(strategy, communicator, rows).map((options) => ({
        what: { strategy: strategy.name, ...options },
        group: { communicator, slices, strategy, options },
      })),
    );
  return [alone, ...crossing];
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
