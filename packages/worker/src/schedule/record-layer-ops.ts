import { empty } from '@longscan/kernels';
import type { Plan } from '../protocol/plan.js';
import type { Scan } from '../sequence/sequence-group.js';
import type { Direction, Strategy } from '../strategy.js';
import { loadUnits } from '../training/assemble-training.js';
import { RecordedRank } from './recorded-rank.js';
import type { OpEntry, ScheduleEntry } from './schedule.js';

/** What a rank computes while a scan is under way. */
export interface LayerOps {
  readonly layer: number;
  readonly direction: Direction;
  readonly beside: readonly OpEntry[];
}

export interface StepOps {
  /** One for each scan of a step, in the order in which they start. */
  readonly scans: readonly LayerOps[];
  /** What is computed with no scan under way. */
  readonly alone: readonly OpEntry[];
}

/**
 * What there is to hide scans behind: a training step of a rank in the middle of its sequence, on a shape device, with marks
 * in place of scans, so that nothing depends on how the plan's strategies work. `modules`: as for `recordSchedules`.
 */
export async function recordLayerOps(
  plan: Plan,
  modules: Readonly<Record<string, string>> = {},
): Promise<StepOps> {
  const marks: Pick<LayerOps, 'layer' | 'direction'>[] = [];
  const units = await loadUnits(plan, modules);
  const scans = units.scans.map(
    ({ strategy, options }, layer): Scan => ({
      strategy: marking(strategy, (direction) => marks.push({ layer, direction })),
      options,
    }),
  );
  const rank = Math.floor(plan.mesh.sp / 2);
  const recorded = new RecordedRank(plan, { ...units, scans }, rank, false);
  await recorded.settle();
  marks.length = 0;
  await recorded.enqueueStep();
  return opsBetween(recorded.recorder.take(), marks);
}

/** A strategy whose scans are an exchange of nothing, which no strategy has; it tells `onStart` of each. */
function marking(strategy: Strategy, onStart: (direction: Direction) => void): Strategy {
  return {
    ...strategy,
    keepsUnits: true,
    start({ state }, group, direction) {
      const { device, shape, dtype } = state;
      onStart(direction);
      group.stream.wait(device.compute.record());
      group.exchange([], []);
      const incoming = empty(device, shape, dtype, group.stream);
      const done = group.stream.record();
      return {
        wait() {
          device.compute.wait(done);
          return incoming;
        },
      };
    },
  };
}

function opsBetween(
  entries: readonly ScheduleEntry[],
  marks: readonly Pick<LayerOps, 'layer' | 'direction'>[],
): StepOps {
  const scans = marks.map((mark) => ({ ...mark, beside: [] as OpEntry[] }));
  const alone: OpEntry[] = [];
  /** Scans that are under way, by the event that ends them. */
  const open = new Map<number, OpEntry[]>();
  let numStarted = 0;
  let started: OpEntry[] | null = null;
  for (const entry of entries) {
    if (entry.kind === 'exchange' && entry.sends.length + entry.recvs.length === 0) {
      started = scans[numStarted++]!.beside;
    } else if (entry.kind === 'record' && started !== null && entry.stream !== 0) {
      open.set(entry.event, started);
      started = null;
    } else if (entry.kind === 'wait' && entry.stream === 0) {
      open.delete(entry.event);
    } else if (entry.kind === 'op' && entry.stream === 0) {
      // Of scans that are under way at once, the last one has it.
      ([...open.values()].at(-1) ?? alone).push(entry);
    }
  }
  return { scans, alone };
}
