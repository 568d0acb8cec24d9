import { resolve } from 'node:path';
import { LongscanError } from '@longscan/worker/protocol';
import { groupSize } from '../collectives/group-size.js';
import { isProbed } from '../fabric/load-fabric.js';
import type { LayerModules } from '../layer-code/computations.js';
import { withLayerCode } from '../layer-code/with-layer-code.js';
import { keepProbe, keptProbe } from '../probe/kept-probe.js';
import { bundleLayers, withBundleFiles } from '../run-folder/bundle-layer.js';
import { acquireRunFolder, ownRecord, releaseRunFolder } from '../run-folder/coordinator-record.js';
import { makeFolders, onDisk } from '../run-folder/on-disk.js';
import { jobHash } from '../spec/index.js';
import { packageVersion } from '../version.js';
import { thisMachine } from './machine.js';
import type { CurvePoint } from './modes.js';
import { type CurveOptions, loadCurveJob, planCurve } from './plan-curve.js';
import { type CurveProgress, type Measure, runCurve } from './run-curve.js';
import {
  mayDifferInCurve,
  readScaling,
  refuseMixing,
  type Scaling,
  scalingVersion,
  writeScaling,
} from './scaling-file.js';
import { type Probe, type SettledPoint, type SettleOptions, settlePoint } from './settle-point.js';
import { writeOutputs } from './write-outputs.js';

export interface ScaleOptions extends CurveOptions {
  /** Job file. */
  readonly job: string;
  /** Folder of the curve; made where it is not there. */
  readonly dir: string;
  readonly numWarmUps: number;
  readonly numSteps: number;
  /** Launches of each point. */
  readonly repeats: number;
  /** Forget what is there of these points. */
  readonly again: boolean;
  /** How a point is measured, given the bundled module of each layer file outside the packages. */
  measureWith(layerModules: LayerModules): Measure;
  /** How links are probed where the job asks for that. */
  probeWith(layerModules: LayerModules): Probe;
  /** Ends the planning. */
  readonly signal: AbortSignal;
  onNote(text: string): void;
  onProgress(progress: CurveProgress): void;
  onFailure(point: SettledPoint, error: LongscanError): void;
}

export interface ScaleResult {
  readonly scaling: Scaling;
  /** Absolute paths of what was written beside `scaling.json`, the report first. */
  readonly files: readonly string[];
}

/**
 * Measures what a folder's curve lacks, and draws it. Everything that planning can find wrong is told before anything starts.
 *
 * @throws LongscanError or JobErrors of the job or of its points, E-SCALE-MIXED and E-SCALE-FILE for what the folder holds, E-LOCK
 *   (exit code 3) while another process measures into it
 */
export async function scale(options: ScaleOptions): Promise<ScaleResult> {
  const { job, numWarmUps, numSteps, repeats, again, onNote, simulate, signal } = options;
  const curveJob = await loadCurveJob(job, options);
  const { jobSpec, text } = curveJob;
  const bundles = await bundleLayers(jobSpec.model.layers);
  return withBundleFiles(bundles, async (modules) => {
    const planning = { name: jobSpec.job.name, signal };
    const { points: planned, notes } = await withLayerCode(modules, planning, (code) =>
      planCurve(job, curveJob, options, code),
    );
    for (const note of notes) onNote(note);
    const empty: Scaling = {
      ...{ schema: scalingVersion, longscan: packageVersion(), createdAt: new Date().toISOString() },
      ...{ mode: options.mode, numWarmUps, numSteps, machine: thisMachine() },
      job: {
        file: job,
        hash: jobHash(jobSpec, mayDifferInCurve),
        ...{ spec: jobSpec, text },
        codeHashes: Object.fromEntries(bundles.map(({ file, sha256 }) => [file, sha256])),
      },
      points: [],
    };
    return inFolder(resolve(options.dir), async (dir) => {
      const before = readScaling(dir);
      if (before !== null) refuseMixing(dir, before, empty);
      const probe = keepingProbes(dir, options, options.probeWith(modules));
      const points: SettledPoint[] = [];
      const settle = async (withCode: SettleOptions['withCode']) => {
        for (const point of planned) points.push(await settlePoint(point, { withCode, simulate, probe }));
      };
      if (planned.some(({ plan }) => isProbed(plan.jobSpec)))
        await settle((body) => withLayerCode(modules, planning, body));
      else await withLayerCode(modules, planning, (code) => settle((body) => body(code)));
      const scaling = await runCurve(again ? without(points, before ?? empty) : (before ?? empty), {
        ...options,
        ...{ points, repeats, measure: options.measureWith(modules) },
        save: (current) => writeScaling(dir, current),
      });
      return { scaling, files: await writeOutputs(dir, scaling, notes) };
    });
  });
}

/** Probes once for each number of ranks; a folder keeps what was found, so that a curve that goes on keeps its plans. */
function keepingProbes(dir: string, { again, onNote }: ScaleOptions, probe: Probe): Probe {
  const probed = new Set<number>();
  return async (plan) => {
    const numRanks = groupSize(plan.jobSpec);
    const kept = again && !probed.has(numRanks) ? null : keptProbe(dir, plan.jobSpec);
    if (kept !== null) return kept;
    onNote(`probing the links between ${numRanks} ranks`);
    const file = await probe(plan);
    keepProbe(dir, file);
    probed.add(numRanks);
    return file;
  };
}

function without(points: readonly CurvePoint[], scaling: Scaling): Scaling {
  const isAsked = ({ length, sp }: { length: number; sp: number }) =>
    points.some((point) => point.length === length && point.sp === sp);
  return { ...scaling, points: scaling.points.filter((record) => !isAsked(record)) };
}

/** Keeps other processes out of a folder while `body` works in it. */
async function inFolder<T>(dir: string, body: (dir: string) => Promise<T>): Promise<T> {
  onDisk(dir, () => makeFolders(dir), '--out');
  const record = ownRecord('scale');
  try {
    onDisk(dir, () => acquireRunFolder(dir, record), '--out');
  } catch (error) {
    if (!(error instanceof LongscanError) || error.code !== 'E-LOCK') throw error;
    const remedy = {
      expected: 'a folder that nobody measures into',
      fix: 'wait for it, or choose another --out',
    };
    throw new LongscanError({ ...error.parts, ...remedy });
  }
  let result: T;
  try {
    result = await body(dir);
  } catch (error) {
    // Why it failed is told, not that the folder could not be released: it is free once this process has ended.
    releaseRunFolder(dir, record);
    throw error;
  }
  const unreleased = releaseRunFolder(dir, record);
  if (unreleased !== null) throw unreleased;
  return result;
}
