import { LongscanError } from '@longscan/worker/protocol';
import type { StepRow } from '../step-row.js';
import type { PlannedPoint } from './plan-curve.js';
import type { Launch, PointRecord, Scaling } from './scaling-file.js';

/** Launches the ranks of a point, times its steps and ends them. */
export type Measure = (point: PlannedPoint) => Promise<StepRow>;

/** Where a curve stands, before each launch and after the last one. */
export interface CurveProgress {
  /** Launches that are over, failed ones too, of those that this command makes. */
  readonly done: number;
  readonly total: number;
  /** What comes next; null: nothing. */
  readonly next: { readonly point: PlannedPoint; readonly launch: number } | null;
}

export interface RunCurveOptions {
  readonly points: readonly PlannedPoint[];
  readonly repeats: number;
  readonly measure: Measure;
  /** Called before the first launch and after each with all that is known. */
  save(scaling: Scaling): void;
  onProgress?(progress: CurveProgress): void;
  onFailure?(point: PlannedPoint, error: LongscanError): void;
}

/**
 * Makes the launches that a curve lacks, one of every point before the next of any, so that a machine that grows slower
 * meanwhile slows all points alike. A point that fails keeps its error and gets no more launches; the others go on.
 *
 * @param scaling What is there already: points that failed before are tried again, others only where launches are missing.
 * @throws LongscanError E-RUN-KILLED when it was interrupted; everything else that is no LongscanError
 */
export async function runCurve(scaling: Scaling, options: RunCurveOptions): Promise<Scaling> {
  const { points, repeats, measure, save, onProgress, onFailure } = options;
  let current = withPoints(scaling, points);
  save(current);
  const recordOf = (point: PlannedPoint) => current.points.find((record) => isPoint(record, point))!;
  const update = (point: PlannedPoint, change: (record: PointRecord) => PointRecord) => {
    const changed = current.points.map((record) => (isPoint(record, point) ? change(record) : record));
    current = { ...current, points: changed };
    save(current);
  };
  const total = points.reduce(
    (sum, point) => sum + Math.max(0, repeats - recordOf(point).launches.length),
    0,
  );
  let done = 0;
  for (let launch = 1; launch <= repeats; launch++) {
    for (const point of points) {
      const { launches, error } = recordOf(point);
      if (launches.length >= launch) continue;
      if (error !== null) {
        done++;
        continue;
      }
      onProgress?.({ done, total, next: { point, launch } });
      try {
        const result = launchOf(await measure(point));
        update(point, (record) => ({ ...record, launches: [...record.launches, result] }));
      } catch (failure) {
        if (!(failure instanceof LongscanError) || failure.code === 'E-RUN-KILLED') throw failure;
        const { code, message, exitCode } = failure;
        update(point, (record) => ({ ...record, error: { code, message, exitCode } }));
        onFailure?.(point, failure);
      }
      done++;
    }
  }
  onProgress?.({ done, total, next: null });
  return current;
}

/**
 * The curve with a record for each of `points`: an old error is forgotten, since the point is tried again, and so is an old
 * prediction where there is a new one.
 */
function withPoints(scaling: Scaling, points: readonly PlannedPoint[]): Scaling {
  const others = scaling.points.filter((record) => !points.some((point) => isPoint(record, point)));
  const asked = points.map((point) => {
    const known = scaling.points.find((record) => isPoint(record, point));
    const planned = newRecord(point);
    if (known === undefined) return planned;
    const step = planned.modelled.step ?? known.modelled.step;
    return { ...known, modelled: { ...planned.modelled, step }, error: null };
  });
  return { ...scaling, points: [...others, ...asked] };
}

function isPoint(record: PointRecord, { length, sp }: PlannedPoint): boolean {
  return record.length === length && record.sp === sp;
}

function newRecord({ plan, simulated, length, sp, sequenceLength, batchSize }: PlannedPoint): PointRecord {
  return {
    ...{ length, sp, dp: plan.mesh.dp, sequenceLength, batchSize },
    strategy: plan.strategy,
    modelled: { peakBytes: plan.perRank.peakBytes, step: simulated },
    ...{ launches: [], error: null },
  };
}

function launchOf(row: StepRow): Launch {
  return {
    endedAt: new Date().toISOString(),
    laps: [...row.laps],
    spExposedMs: [...row.spExposedMs],
    spBytesSent: row.spBytesSent,
    peakBytesByRank: [...row.peakBytesByRank],
    loss: row.loss,
    device: { ...row.machine },
  };
}
