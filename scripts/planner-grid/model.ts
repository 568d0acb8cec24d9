import {
  countingOverheads,
  fitLink,
  loadStrategies,
  nonNegativeFit,
  planScans,
  timeBySimulation,
} from '@longscan/coordinator/planner';
import type { OpEntry } from '@longscan/worker';
import { bytesPerHead, type Candidate, type Cell, headSize } from './cells.js';
import { type MeasuredMessages, runLength } from './measure.js';
import { type GridRow, median } from './row.js';

/** Cores that all ranks of the grid share. */
const numCores = 2;

/** The planner's view of a cell: a candidate with its modelled time of one scan. */
export interface ModelledCandidate extends Candidate {
  readonly seconds: number;
}

/** Chooses for each cell by links and combines that were measured in the same set-up; the best first. */
export async function modelOf(rows: readonly GridRow[]): Promise<(cell: Cell) => ModelledCandidate[]> {
  const strategies = await loadStrategies();
  const secondsOf = combineSeconds(rows);
  return (cell) => {
    const messages = rows.find(({ links }) => links !== undefined && isLinked(links, cell))?.messages;
    if (messages === undefined) throw new Error(`no messages were measured for ${JSON.stringify(cell)}`);
    const link = linkOf(messages);
    const { numRanks: sp } = cell;
    const fabric = { name: 'the grid', ...link };
    const parallel = { sp, strategy: 'auto', blocks: 'auto', ranksPerNode: 'auto' } as const;
    const numHeads = cell.stateBytes / bytesPerHead;
    const perHead = cell.transition === 'dense' ? headSize * headSize : headSize;
    const recurrence = {
      ...{ layer: 0, kind: cell.transition, stateBytes: cell.stateBytes, stateRows: headSize * numHeads },
      ...{ numHeads, transitionBytes: 4 * perHead * numHeads },
    };
    const machine = {
      ...countingOverheads({
        ...{ fabric, ranksAtOnce: numCores, slowdown: [1] },
        coresPerMessage: coresPerMessage(messages, link, sp),
      }),
      ...({ engine: 'tcp', secondsOf } as const),
    };
    const { tables } = planScans({
      job: { parallel } as Parameters<typeof planScans>[0]['job'],
      trace: { recurrences: [recurrence], layers: [{ name: 'any', sliceMultiple: 1 }] },
      ...{ strategies, fabric, units: 1, ranksPerNode: sp, timeScans: timeBySimulation(sp, machine) },
    });
    return tables[0]!.candidates.map(({ strategy, blocks, ranksPerNode, seconds }) => ({
      ...{ strategy, options: { blocks, ranksPerNode } },
      seconds: seconds / 2,
    }));
  };
}

function isLinked(a: Cell, b: Cell): boolean {
  return a.numRanks === b.numRanks && a.mbitPerS === b.mbitPerS && a.delayMs === b.delayMs;
}

/** The link that lone messages and runs of the smallest ones tell. @throws Error if they tell none */
function linkOf(messages: readonly MeasuredMessages[]) {
  const of = (kind: MeasuredMessages['kind']) =>
    messages
      .filter((row) => row.kind === kind)
      .map(({ bytes, samples }) => ({ bytes, seconds: median(samples) }));
  const [run] = of('one after the other').sort((a, b) => a.bytes - b.bytes);
  const fitted = fitLink(of('there and back'), [run!], runLength);
  if (fitted === null) throw new Error(`no link explains ${JSON.stringify(messages)}`);
  return fitted.link;
}

/** From how much slower the largest messages are when every rank sends and receives one at once. */
function coresPerMessage(
  messages: readonly MeasuredMessages[],
  link: { latencyS: number; bandwidthBytesPerS: number },
  numRanks: number,
): number {
  const largest = Math.max(...messages.map(({ bytes }) => bytes));
  const together = messages.find(({ kind, bytes }) => kind === 'both ways' && bytes === largest)!;
  const slower = (median(together.samples) - link.latencyS) / (largest / link.bandwidthBytesPerS);
  return (Math.max(1, slower) * numCores) / numRanks;
}

/** Launch, bytes and FLOPs of the ops that scans run, fitted to what combining takes one rank alone. */
function combineSeconds(rows: readonly GridRow[]): (op: OpEntry) => number {
  const measured = rows.flatMap(({ segments, combine }) =>
    segments && combine ? [{ segments, combine }] : [],
  );
  const points = measured.map(({ segments: { stateBytes, transition }, combine }) => {
    const alone = combine.find(({ numRanks }) => numRanks === 1)!;
    const numRows = stateBytes / 4 / headSize;
    const factorBytes = transition === 'dense' ? stateBytes : stateBytes / headSize;
    const inner = transition === 'dense' ? headSize : 1;
    const apply = median(alone.apply);
    return {
      apply: { seconds: apply, bytes: 3 * stateBytes + factorBytes, flops: 2 * numRows * headSize * inner },
      compose: {
        seconds: Math.max(1e-7, median(alone.compose) - apply),
        ...{ bytes: 3 * factorBytes, flops: (2 * factorBytes * inner) / 4 },
      },
    };
  });
  const fitOf = (name: 'apply' | 'compose') =>
    nonNegativeFit(
      points.map(({ [name]: { seconds, bytes, flops } }) => [1 / seconds, bytes / seconds, flops / seconds]),
      points.map(() => 1),
    );
  const costs: Readonly<Record<string, number[]>> = {
    transitionApply: fitOf('apply'),
    transitionCompose: fitOf('compose'),
  };
  return ({ name, bytes, flops }) => {
    // Copies move bytes as an application does, without its arithmetic.
    const [launchS, perByte, perFlop] = costs[name] ?? [
      costs.transitionApply![0]!,
      costs.transitionApply![1]!,
      0,
    ];
    return launchS! + bytes * perByte! + flops * perFlop!;
  };
}
