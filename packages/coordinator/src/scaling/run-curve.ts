import { LongscanError } from '@longscan/worker/protocol';
import type { StepRow } from '../step-row.js';
import type { Launch, PointRecord, Scaling } from './scaling-file.js';
import type { SettledPoint } from './settle-point.js';

/** Launches the ranks of a point, times its steps and ends them. */
export type Measure = (point: SettledPoint) => Promise<StepRow>;

/** Where a curve stands, before each launch and after the last one. */
export interface CurveProgress {
  /** Launches that are over, failed ones too, of those that this command makes. */
  readonly done: number;
  readonly total: number;
  /** What comes next; null: nothing. */
  readonly next: { readonly point: SettledPoint; readonly launch: number } | null;
}

export interface RunCurveOptions {
  readonly points: readonly SettledPoint[];
  readonly repeats: number;
  readonly measure: Measure;
  /** Called before the first launch and after each with all that is known. */
  save(scaling: Scaling): void;
  onProgress?(progress: CurveProgress): void;
  onFailure?(point: SettledPoint, error: LongscanError): void;
}

/**
 * Makes the launches that a curve lacks, one of every point before the next of any, so that a machine that grows slower
 * meanwhile slows all points alike. A point that fails, or that was refused, keeps its error and gets no more launches; the
 * others go on.
 *
 * @param scaling What is there already: points that failed before are tried again, others only where launches are missing.
 * @throws LongscanError E-RUN-KILLED when it was interrupted; everything else that is no LongscanError
 */
export async function runCurve(scaling: Scaling, options: RunCurveOptions): Promise<Scaling> {
  const { points, repeats, measure, save, onProgress, onFailure } = options;
  let current = withPoints(scaling, points);
  save(current);
  for (const point of points) if (point.refused !== null) onFailure?.(point, point.refused);
  const recordOf = (point: SettledPoint) => current.points.find((record) => isPoint(record, point))!;
  const update = (point: SettledPoint, change: (record: PointRecord) => PointRecord) => {
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
        update(point, (record) => ({ ...record, error: failureOf(failure) }));
        onFailure?.(point, failure);
      }
      done++;
    }
  }
  onProgress?.({ done, total, next: null });
  return current;
}

/**
 * The curve with a record for each of `points`: an old error is forgotten, since the point is tried again or refused anew, and
 * so is an old prediction where there is a new one.
 */
function withPoints(scaling: Scaling, points: readonly SettledPoint[]): Scaling {
  const others = scaling.points.filter((record) => !points.some((point) => isPoint(record, point)));
  const asked = points.map((point) => {
    const known = scaling.points.find((record) => isPoint(record, point));
    const planned = newRecord(point);
    if (known === undefined) return planned;
    const step = planned.modelled.step ?? known.modelled.step;
    return { ...known, modelled: { ...planned.modelled, step }, error: planned.error };
  });
  return { ...scaling, points: [...others, ...asked] };
}

function isPoint(record: PointRecord, { length, sp }: SettledPoint): boolean {
  return record.length === length && record.sp === sp;
}

function newRecord(point: SettledPoint): PointRecord {
  const { plan, simulated, refused, length, sp, sequenceLength, batchSize } = point;
  return {
    ...{ length, sp, dp: plan.mesh.dp, sequenceLength, batchSize },
    strategy: plan.strategy,
    modelled: { peakBytes: plan.perRank.peakBytes, step: simulated },
    ...{ launches: [], error: refused && failureOf(refused) },
  };
}

function failureOf({ code, message, exitCode }: LongscanError): NonNullable<PointRecord['error']> {
  return { code, message, exitCode };
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
