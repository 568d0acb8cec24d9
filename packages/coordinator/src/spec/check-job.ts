import { resolve } from 'node:path';
import { openText } from '@longscan/worker/data';
import { type JobFile, type JobSpec, LongscanError, type Texts } from '@longscan/worker/protocol';
import { canonicalSegments, unitProblems } from '../plan/canonical-units.js';
import { layOut } from '../plan/layout.js';
import { engineOf } from './check-device-keys.js';
import { checkSchema } from './check-schema.js';
import { checkValues } from './check-values.js';
import type { JobDocument } from './document.js';
import type { InstalledUnits } from './installed-units.js';
import { type MergedJob, mergeJob } from './merge.js';
import type { Origin } from './origin.js';
import type { Override } from './overrides.js';
import { ProblemList } from './problems.js';
import { resolveFabric } from './resolve-fabric.js';
import { resolveLayers } from './resolve-layers.js';
import { checkSupported } from './unsupported.js';

/** A valid job and where each of its values came from. */
export interface LoadedJob {
  readonly jobSpec: JobSpec;
  /** As they were when they were checked; null where no text will be read. */
  readonly texts: Texts | null;
  /** By `section.key`. */
  originOf(key: string): Origin;
}

/**
 * Lays `overrides` over the document, checks everything and resolves it; `baseDir` is what paths count from. `readsText`: the
 * text must be there.
 */
export async function checkJob(
  document: JobDocument,
  overrides: readonly Override[],
  baseDir: string,
  installed: InstalledUnits,
  readsText = true,
): Promise<LoadedJob> {
  const problems = new ProblemList();
  const merged = mergeJob(document, overrides, problems);
  const checked = checkSchema(merged, problems);
  const { job } = checked;
  checkSupported(job, merged, problems);
  checkValues(checked, merged, installed, problems);
  const layers = await resolveLayers(checked, merged, baseDir, installed.layers, problems);
  const data = absolutePaths(job.data, baseDir);
  const fabric = resolveFabric(job.parallel.fabric, merged, baseDir, problems);
  const textKeys = ['path', 'validation', 'sequenceLength', 'format', 'separator', 'packing'];
  const canCheckText = readsText && checked.isSound(...textKeys.map((key) => `data.${key}`));
  const texts = canCheckText ? checkText(data, problems) : null;
  const layoutKeys = [
    'parallel.sp',
    'parallel.dp',
    'data.sequenceLength',
    'job.canonicalSegments',
    'data.batchSize',
    'data.accumulate',
    'model.chunk',
  ];
  if (checked.isSound(...layoutKeys)) checkLayout(job, merged, problems);
  problems.throwIfAny();

  const { layer: _defaults, ...model } = job.model;
  const isMlpDerived = model.mlp === 'auto';
  const areSegmentsDerived = job.job.deterministic && job.job.canonicalSegments === 0;
  const mlp = model.mlp === 'auto' ? swigluWidth(model.dModel) : model.mlp;
  return {
    jobSpec: {
      ...job,
      job: { ...job.job, canonicalSegments: canonicalSegments(job) ?? 0 },
      device: { ...job.device, engine: engineOf(job.device) },
      model: { ...model, mlp, layers },
      parallel: { ...job.parallel, fabric },
      data,
    },
    texts,
    originOf(key) {
      if (key === 'model.mlp' && isMlpDerived) return { kind: 'derived', from: 'model.dModel' };
      if (key === 'device.engine' && job.device.engine === 'auto') {
        return { kind: 'derived', from: 'device.kind' };
      }
      if (key === 'job.canonicalSegments' && areSegmentsDerived) {
        return { kind: 'derived', from: 'data.sequenceLength' };
      }
      return merged.originOf(key) ?? { kind: 'default' };
    },
  };
}

/** 8/3 of the model's width keeps three SwiGLU matrices at the size of two plain ones; 64 suits every kernel. */
function swigluWidth(dModel: number): number {
  return Math.ceil((8 * dModel) / 3 / 64) * 64;
}

function absolutePaths(data: JobSpec['data'], baseDir: string): JobSpec['data'] {
  const { path, validation } = data;
  return {
    ...data,
    path: resolve(baseDir, path),
    validation: typeof validation === 'string' ? resolve(baseDir, validation) : validation,
  };
}

/** Whether every rank gets something to do is known before anything is launched too. */
function checkLayout(job: JobFile, merged: MergedJob, problems: ProblemList): void {
  const add = ({ parts }: LongscanError) =>
    problems.add({ ...parts, where: merged.placeOf(parts.where.split('.')) });
  const ofUnits = unitProblems(job);
  for (const problem of ofUnits) add(problem);
  if (ofUnits.length > 0) return;
  try {
    layOut(job);
  } catch (error) {
    if (!(error instanceof LongscanError)) throw error;
    add(error);
  }
}

/** Opens the text as a rank would, so that a missing or too short one is known before anything is launched. */
function checkText(data: JobSpec['data'], problems: ProblemList): Texts | null {
  try {
    const { texts, close } = openText(data);
    close();
    return texts;
  } catch (error) {
    if (!(error instanceof LongscanError)) throw error;
    problems.addError(error);
    return null;
  }
}
