import { type OpEntry, recordStrategyScan, type Schedule, type ScheduleEntry } from '@longscan/worker';
import type { Engine } from '../simulate/engine.js';
import type { Machine } from '../simulate/machine.js';
import { programsOf } from '../simulate/programs-of.js';
import { simulate } from '../simulate/simulate.js';
import type { LayerScans, LayerWork } from './layer-scans.js';
import type { ScanCandidate } from './scan-candidates.js';
import { type TimeScans, timeByFormula } from './scan-time.js';

/** What scans run on. */
export interface ScanMachine extends Machine {
  readonly engine: Engine;
  readonly secondsOf: (op: OpEntry) => number;
}

/** Layers that follow each other: ranks that are ahead in one need not wait in the next. */
const mostLayers = 4;

/**
 * Simulates scans as strategies enqueue them, messages, combines and all, on every rank: the layers forward one after the
 * other, then in reverse, with what each of them computes.
 */
export function timeBySimulation(sp: number, machine: ScanMachine): TimeScans {
  const formula = timeByFormula(sp, { name: 'links', ...machine.fabric });
  const isMapped = machine.fabric.chains !== undefined;
  return (candidate, scans) => {
    // Nothing is known of what a recurrence without a segment does to a state: it has no scan to record.
    if (scans.recurrences.some(({ kind }) => kind === 'opaque')) return formula(candidate, scans);
    const numLayers = Math.min(mostLayers, scans.layers.length);
    const recorded = recordLayer(candidate, scans, sp, isMapped);
    const run = (schedules: readonly Schedule[]) =>
      simulate(programsOf(schedules, optionsOf(sp, machine)), machine).seconds;
    const seconds = run(stepsOf(recorded, 1, null));
    const { forward, reverse } = scans.work;
    const computedS = forward.besideS + forward.aloneS + reverse.besideS + reverse.aloneS;
    if (numLayers === 1 && computedS === 0) return { seconds, exposedS: seconds };
    // Ranks that share cores slow each other down whether there are scans or not.
    const [first] = recorded.forward[0]!;
    const work = { streams: first!.streams, entries: [computation(numLayers * computedS)] };
    const without = run(Array.from({ length: sp }, () => work));
    const withScans = run(stepsOf(recorded, numLayers, scans.work));
    return { seconds, exposedS: Math.max(0, withScans - without) / numLayers };
  };
}

/** By direction and recurrence, what each rank enqueues. */
type RecordedLayer = Readonly<Record<'forward' | 'reverse', readonly (readonly Schedule[])[]>>;

function recordLayer(
  { strategy, options }: ScanCandidate,
  { recurrences, units }: LayerScans,
  sp: number,
  isMapped: boolean,
): RecordedLayer {
  const record = (direction: 'forward' | 'reverse') =>
    recurrences.map((recurrence) =>
      recordStrategyScan(strategy, recurrence, sp, options, { direction, units, isMapped }),
    );
  return { forward: record('forward'), reverse: record('reverse') };
}

/** The schedule of each rank for so many layers; `work`: what they compute, null: nothing. */
function stepsOf(recorded: RecordedLayer, numLayers: number, work: LayerWork | null): Schedule[] {
  const numRanks = recorded.forward[0]!.length;
  return Array.from({ length: numRanks }, (_, rank) => {
    const entries: ScheduleEntry[] = [];
    for (const direction of ['forward', 'reverse'] as const) {
      const recordings = recorded[direction];
      const { besideS = 0, aloneS = 0 } = work?.[direction] ?? {};
      for (let layer = 0; layer < numLayers; layer++) {
        if (aloneS > 0) entries.push(computation(aloneS));
        for (const ranks of recordings) {
          const { entries: own } = ranks[rank]!;
          const first = entries.length;
          entries.push(...own.slice(0, -1));
          if (besideS > 0) entries.push(computation(besideS / recordings.length));
          entries.push(own.at(-1)!);
          renumber(entries, first, entries.length);
        }
      }
    }
    return { streams: recorded.forward[0]![rank]!.streams, entries };
  });
}

/** Events of a scan that is repeated get numbers that no other has: where it begins, and their own. */
function renumber(entries: ScheduleEntry[], begin: number, end: number): void {
  const numbers = new Map<number, number>();
  for (let i = begin; i < end; i++) {
    const entry = entries[i]!;
    if (entry.kind !== 'record' && entry.kind !== 'wait') continue;
    const known = numbers.get(entry.event) ?? i;
    numbers.set(entry.event, known);
    entries[i] = { ...entry, event: known };
  }
}

const workName = 'work beside a scan';

/** Computation of a given time, as an op. */
function computation(seconds: number): OpEntry {
  return { kind: 'op', stream: 0, name: workName, bytes: 0, flops: seconds };
}

function optionsOf(sp: number, { engine, fabric, secondsOf }: ScanMachine) {
  return {
    ...{ mesh: { sp, dp: 1, numRanks: sp }, engine, fabric },
    secondsOf: (op: OpEntry) => (op.name === workName ? op.flops : secondsOf(op)),
  };
}
