import { zeros } from '@longscan/kernels';
import { Optimizer } from '../optim/optimizer.js';
import { shardOfRank } from '../optim/shard.js';
import type { Plan } from '../protocol/plan.js';
import type { PlannedUnits } from '../training/assemble-training.js';
import { numberedEntries, wholeStep } from './numbered-entries.js';
import { RecordedRank } from './recorded-rank.js';
import { type ScanPart, ScanParts } from './scan-parts.js';
import type { ExchangeEntry, Schedule, ScheduleEntry } from './schedule.js';

/** Of a step: what ranks have in common but for who their neighbours are, or a place where they differ. */
type Part =
  | { readonly kind: 'same'; readonly entries: readonly ScheduleEntry[] }
  | ScanPart
  | { readonly kind: 'update' };

/** The scope of an update's events, which nothing else waits for. */
const ofUpdate = -1;

/**
 * A step of one rank of a sequence that stands for others, who differ from it in scans, where a strategy gives each another
 * part, and in the update of a sharded optimizer: those are run for every one of them, by the same code on the same shapes.
 */
export class RankTemplate {
  private readonly recorded: RecordedRank;
  private parts: Part[] = [];
  private before: readonly ScheduleEntry[] = [];
  /** By rank of the job. */
  private readonly updates = new Map<number, readonly ScheduleEntry[]>();

  /** `spRanks`: those that `spRank`, one of them, stands for. */
  private constructor(
    private readonly plan: Plan,
    units: PlannedUnits,
    private readonly spRank: number,
    spRanks: readonly number[],
    documents: boolean,
  ) {
    const add = (before: readonly ScheduleEntry[], part: Part) =>
      this.parts.push({ kind: 'same', entries: before }, part);
    const recorder = () => this.recorded.recorder;
    const scans = new ScanParts(recorder, spRanks, add);
    this.recorded = new RecordedRank(
      plan,
      { ...units, scans: units.scans.map((scan) => ({ ...scan, strategy: scans.watch(scan.strategy) })) },
      spRank,
      documents,
    );
    const { optimizer } = this.recorded.training;
    if (optimizer.shard.count === 1) return;
    const step = optimizer.step.bind(optimizer);
    optimizer.step = (...args) => {
      const before = recorder().take();
      step(...args);
      recorder().take();
      add(before, { kind: 'update' });
    };
  }

  static async record(
    plan: Plan,
    units: PlannedUnits,
    spRank: number,
    spRanks: readonly number[],
    documents: boolean,
  ): Promise<RankTemplate> {
    const template = new RankTemplate(plan, units, spRank, spRanks, documents);
    for (let step = 0; step < template.recorded.numStepsToSettle; step++) await template.step();
    template.before = template.parts.flatMap((part) => (part.kind === 'same' ? part.entries : []));
    await template.step();
    return template;
  }

  /** The entries are put together anew at each look: those of thousands of ranks are more than memory holds. */
  scheduleOf(rank: number): Schedule {
    const { streams } = this.recorded.recorder;
    const entriesOf = () => this.entriesOf(rank);
    return {
      streams,
      get entries() {
        return entriesOf();
      },
    };
  }

  private async step(): Promise<void> {
    this.parts = [];
    this.recorded.recorder.take();
    await this.recorded.enqueueStep();
    this.parts.push({ kind: 'same', entries: this.recorded.recorder.take() });
  }

  private entriesOf(rank: number): ScheduleEntry[] {
    const spRank = rank % this.plan.mesh.sp;
    const shift = spRank - this.spRank;
    const entriesAt = (part: Part): readonly ScheduleEntry[] => {
      if (part.kind === 'scan') return part.byRank.get(spRank)![part.phase];
      if (part.kind === 'update') return this.updateOf(rank);
      return shift === 0 ? part.entries : part.entries.map((one) => moved(one, shift));
    };
    const pieces = this.parts.map((part) => ({
      entries: entriesAt(part),
      scope: part.kind === 'scan' ? part.scan : part.kind === 'update' ? ofUpdate : wholeStep,
    }));
    return numberedEntries(pieces, this.before);
  }

  /** What the update of a rank's shard enqueues. */
  private updateOf(rank: number): readonly ScheduleEntry[] {
    const known = this.updates.get(rank);
    if (known !== undefined) return known;
    const { recorder, training } = this.recorded;
    const { optimizer: spec, parallel } = this.plan.jobSpec;
    const { device, parameters } = training;
    const entries = device.scope(() => {
      const optimizer = new Optimizer(parameters, spec, { shard: shardOfRank(parallel, rank) });
      const clip = zeros(device, [3], 'f64');
      recorder.take();
      optimizer.step(1, 1, clip);
      return recorder.take();
    });
    this.updates.set(rank, entries);
    return entries;
  }
}

function moved(entry: ScheduleEntry, shift: number): ScheduleEntry {
  if (entry.kind !== 'exchange') return entry;
  const move = (messages: ExchangeEntry['sends']) =>
    messages.map(({ peer, bytes }) => ({ peer: peer + shift, bytes }));
  return { ...entry, sends: move(entry.sends), recvs: move(entry.recvs) };
}
