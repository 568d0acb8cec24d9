import { LongscanError, type Plan } from '@longscan/worker/protocol';
import type { LayerCode } from '../layer-code/layer-code.js';
import { shortageOf } from '../plan/check-memory.js';
import { memoryLimit } from '../plan/memory-limit.js';
import { isOfEveryPoint } from '../scaling/is-of-every-point.js';
import { curvePoints, type Mode } from '../scaling/modes.js';
import { type JobInput, loadJob } from '../spec/index.js';
import { ProblemList } from '../spec/problems.js';
import type { StepCosts } from './simulate-step.js';

export interface CurveRequest {
  readonly job: string | JobInput;
  readonly mode: Mode;
  /** Rising. */
  readonly sps: readonly number[];
  /** Names, or `auto`; one curve each. */
  readonly strategies: readonly string[];
  /** A point at which a strategy cannot run is left out and told instead of refused. */
  readonly skipsUnable: boolean;
  /** As from `--set`. */
  readonly overrides: readonly string[];
  readonly code: LayerCode;
}

/** What is done next of a curve's points: each is planned, then each is simulated. */
export interface CurveStage {
  readonly stage: 'planning' | 'simulating';
  /** From 1. */
  readonly point: number;
  readonly numPoints: number;
  readonly sp: number;
  readonly strategy: string;
}

/** One point of a modelled curve. */
export interface SimulatedRow {
  readonly modelled: true;
  readonly mode: Mode;
  readonly sp: number;
  readonly numRanks: number;
  readonly strategy: string;
  readonly sequenceLength: number;
  readonly batchSize: number;
  /** Real ones of all sequences of a step. */
  readonly tokens: number;
  readonly stepSeconds: number;
  readonly tokensPerSecond: number;
  readonly tokensPerSecondPerRank: number;
  /** Throughput per rank over that at the strategy's smallest sp. */
  readonly efficiency: number;
  /** Of the step: the compute stream stood still for states; mean over ranks. */
  readonly exposedShare: number;
  /** The same for gradients and other sums over all ranks. */
  readonly exposedGradientShare: number;
  /** By the rank that sends most. */
  readonly bytesSent: number;
  /** Of tensors, as the plan says. */
  readonly peakBytes: number;
  /** Why the ranks could not run it: they need more memory than they may have. Null: they do not, or nobody knows what that is. */
  readonly shortage: string | null;
  readonly fabric: string;
  readonly compute: string;
}

interface PlannedPoint {
  readonly strategy: string;
  readonly sp: number;
  readonly plan: Plan;
}

export interface SimulatedCurve {
  readonly rows: readonly SimulatedRow[];
  /** Worth telling the user, one sentence each. */
  readonly notes: readonly string[];
}

/**
 * Plans all points, then simulates each. `onStage` is told of each before it begins.
 *
 * @throws E-RUN-KILLED when it was interrupted; LongscanError or JobErrors with what is wrong at any point, each named by it
 */
export async function simulateCurve(
  request: CurveRequest,
  costs: StepCosts,
  onStage: (stage: CurveStage) => void = () => {},
): Promise<SimulatedCurve> {
  const { points, notes } = await planPoints(request, onStage);
  const rows: SimulatedRow[] = [];
  const ofSteps = new Set<string>();
  const firstOf = new Map<string, number>();
  for (const [i, { plan, sp, strategy }] of points.entries()) {
    onStage({ stage: 'simulating', point: i + 1, numPoints: points.length, sp, strategy });
    const step = await request.code.compute('simulateStep', plan, costs);
    const { seconds, exposedS, exposedGradientS, ranks } = step;
    for (const note of step.notes) ofSteps.add(note);
    const { sequenceLength, batchSize } = plan.jobSpec.data;
    const { numRanks } = plan.mesh;
    const tokens = sequenceLength * batchSize;
    const perRank = tokens / seconds / numRanks;
    const first = firstOf.get(strategy) ?? perRank;
    firstOf.set(strategy, first);
    rows.push({
      ...{ modelled: true, mode: request.mode, sp, numRanks, strategy: nameOf(strategy, plan) },
      ...{ sequenceLength, batchSize, tokens, stepSeconds: seconds },
      ...{ tokensPerSecond: tokens / seconds, tokensPerSecondPerRank: perRank, efficiency: perRank / first },
      ...{ exposedShare: exposedS / seconds, exposedGradientShare: exposedGradientS / seconds },
      bytesSent: Math.max(...ranks.map(({ bytesSent }) => bytesSent)),
      ...{ peakBytes: plan.perRank.peakBytes, shortage: describeShortage(plan) },
      ...{ fabric: costs.fabric.name, compute: costs.compute.name },
    });
  }
  return { rows, notes: [...notes, ...ofSteps] };
}

/** What this host has available says nothing of the hosts that a job is simulated on. */
function describeShortage(plan: Plan): string | null {
  const shortage = shortageOf(plan, (jobSpec) => memoryLimit(jobSpec, () => Number.POSITIVE_INFINITY));
  return shortage && `${shortage.found}, which may have ${shortage.expected}`;
}

/** `auto` with what it chose. */
function nameOf(asked: string, plan: Plan): string {
  return asked === 'auto' ? `auto: ${plan.strategy}` : asked;
}

async function planPoints(
  request: CurveRequest,
  onStage: (stage: CurveStage) => void,
): Promise<{ points: PlannedPoint[]; notes: string[] }> {
  const { job, mode, sps, strategies, skipsUnable, overrides, code } = request;
  const { jobSpec } = await loadJob(job, { overrides: [...overrides, 'parallel.sp=1'], readsText: false });
  const { sequenceLength, batchSize } = jobSpec.data;
  const problems = new ProblemList();
  const points: PlannedPoint[] = [];
  const notes: string[] = [];
  const numPoints = sps.length * strategies.length;
  let numBegun = 0;
  for (const point of curvePoints(mode, sps, [sequenceLength], batchSize)) {
    const { sp } = point;
    for (const strategy of strategies) {
      onStage({ stage: 'planning', point: ++numBegun, numPoints, sp, strategy });
      try {
        const { jobSpec: own } = await loadJob(job, {
          overrides: [
            ...overrides,
            ...[`parallel.sp=${sp}`, `parallel.strategy=${strategy}`],
            ...[`data.sequenceLength=${point.sequenceLength}`, `data.batchSize=${point.batchSize}`],
          ],
          readsText: false,
        });
        const plan = await code.compute('planJob', own);
        points.push({ strategy, sp, plan });
        if (plan.padTokens > 0 && strategy === strategies[0]) {
          notes.push(`sp = ${sp}: padded by ${plan.padTokens} tokens, which count as no work done`);
        }
      } catch (error) {
        if (!(error instanceof LongscanError) || isOfEveryPoint(error)) throw error;
        if (skipsUnable && error.code === 'E-STRATEGY')
          notes.push(`${strategy} is left out at sp = ${sp}: ${error.parts.found}`);
        else problems.addError(atPoint(sp, point.sequenceLength, error));
      }
    }
  }
  problems.throwIfAny();
  return { points, notes };
}

function atPoint(sp: number, sequenceLength: number, error: LongscanError): LongscanError {
  const where = `sp = ${sp}, ${sequenceLength} tokens: ${error.parts.where}`;
  return new LongscanError({ ...error.parts, where, cause: error });
}
