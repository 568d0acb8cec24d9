import { type Device, LongscanError } from '@longscan/kernels';
import type { JobSpec } from '../protocol/job-spec.js';
import type { Plan } from '../protocol/plan.js';
import { withMemory } from '../schedule/step-memory.js';
import { cutSequence } from '../slice-layout.js';
import { describeBytes, describePeak, neededBytes, usablePart } from './memory-needed.js';
import { adviceOf, settingsThatFit } from './settings-that-fit.js';

/**
 * An error to throw on: for E-MEMORY what did not fit, of what it consists by the plan, and the settings with which it would;
 * any other as it is. `modules`: bundled module of each layer file outside the packages.
 */
export async function explainShortage(
  error: unknown,
  plan: Plan,
  device: Device,
  modules: Readonly<Record<string, string>>,
): Promise<unknown> {
  if (!(error instanceof LongscanError) || error.code !== 'E-MEMORY') return error;
  // On a CPU, whose memory others have too, what saves anything.
  const limit = device.kind === 'cuda' ? usablePart * device.gpu().totalBytes : neededBytes(plan) - 1;
  const search = {
    neededBytes: neededBytes(plan),
    replan: (jobSpec: JobSpec) => withMemory(relaid(plan, jobSpec), { modules }),
    limitOf: () => limit,
  };
  // A layer that cannot be cut as is tried must not take the place of the error.
  const settings = await settingsThatFit(plan.jobSpec, search).catch(() => []);
  return new LongscanError({
    code: error.code,
    where: 'training',
    found: `${error.parts.found}; by the plan a rank holds up to ${describeBytes(plan.perRank.peakBytes)}: ${describePeak(plan)}`,
    fix: adviceOf(settings),
    exitCode: error.exitCode,
    cause: error,
  });
}

/**
 * Refuses what no GPU of this size holds before anything is allocated, which may take a while to fail; `explainShortage` has
 * the rest to say.
 * @throws LongscanError E-MEMORY
 */
export function requireRoom(plan: Plan, device: Device): void {
  if (device.kind !== 'cuda') return;
  const { name, totalBytes } = device.gpu();
  if (neededBytes(plan) <= totalBytes) return;
  throw new LongscanError({
    code: 'E-MEMORY',
    where: 'training',
    found: `${describeBytes(totalBytes)} in all on ${name}`,
    exitCode: 3,
  });
}

/**
 * The plan with a job changed, as far as memory goes.
 * @throws LongscanError E-SHAPE where some rank would hold padding only
 */
function relaid(plan: Plan, jobSpec: JobSpec): Plan {
  const { sp, dp } = jobSpec.parallel;
  const { job, data, model } = jobSpec;
  const pieces = job.deterministic ? job.canonicalSegments : sp;
  const slices = cutSequence({ sequenceLength: data.sequenceLength, sp, chunk: model.chunk, pieces });
  if (slices === null) {
    throw new LongscanError({
      code: 'E-SHAPE',
      where: 'parallel.sp',
      found: `${data.sequenceLength} tokens on ${sp} ranks`,
      expected: 'at least one token on every rank',
      exitCode: 2,
      fix: 'lower parallel.sp, or raise data.sequenceLength',
    });
  }
  const paddedLength = sp * slices[0]!.length;
  return {
    ...plan,
    jobSpec,
    mesh: { sp, dp, numRanks: sp * dp },
    ...{ slices, paddedLength, padTokens: paddedLength - data.sequenceLength },
    sequencesPerRank: data.batchSize / dp,
    scans: scansOver(plan, sp),
    ranksPerNode: plan.ranksPerNode === plan.mesh.sp ? sp : plan.ranksPerNode,
  };
}

/** A plan's scans over so many ranks; where it has none: what the job asks for, else what every layer can run. */
function scansOver({ jobSpec, mesh, scans }: Plan, sp: number): Plan['scans'] {
  if (sp === 1) return [];
  if (mesh.sp === 1) {
    const asked = jobSpec.parallel.strategy;
    const strategy = asked === 'auto' ? 'ring' : asked;
    return jobSpec.model.layers.map(() => ({ strategy, blocks: 1, ranksPerNode: sp }));
  }
  return scans.map((scan) => ({
    ...scan,
    ranksPerNode: scan.ranksPerNode === mesh.sp ? sp : scan.ranksPerNode,
  }));
}
