import { type Device, LongscanError } from '@longscan/kernels';
import { traceModel } from '../model/trace.js';
import type { JobSpec } from '../protocol/job-spec.js';
import type { ModelTrace, Plan } from '../protocol/plan.js';

/** Part of a GPU's memory that tensors can have: the rest is CUDA's, the libraries' and the kernels'. */
const usablePart = 0.92;
/** A sequence is cut into at most so many times as many slices, or shortened to so small a part, in search of one that fits. */
const mostCuts = 1024;

/** A setting and what a rank would then hold at most. */
interface Setting {
  readonly text: string;
  readonly peakBytes: number;
}

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
  const { perRank } = plan;
  const parts = [
    ['parameters', perRank.parameterBytes],
    ['their bf16 copies', perRank.workingBytes],
    ['gradients', perRank.gradientBytes],
    ['optimizer', perRank.optimizerBytes],
    ['activations', perRank.activationBytes],
  ] as const;
  const breakdown = parts.filter(([, bytes]) => bytes > 0).map(([name, bytes]) => `${name} ${gib(bytes)}`);
  const found = error.parts.found.replace(/\. Fix: .*$/s, '');
  return new LongscanError({
    code: error.code,
    where: 'training',
    found: `${found}; by the plan a rank holds up to ${gib(perRank.peakBytes)}: ${breakdown.join(', ')}`,
    // A layer that cannot be cut as is tried must not take the place of the error.
    fix: adviceOf(await settingsThatFit(plan, device, modules).catch(() => [])),
    exitCode: error.exitCode,
    cause: error,
  });
}

function adviceOf(settings: readonly Setting[]): string {
  if (settings.length > 0)
    return settings.map(({ text, peakBytes }) => `${text} (${gib(peakBytes)})`).join(', or ');
  return 'a smaller model, or parallel.zero = 1 over more ranks: neither shorter slices, of ranks or in time, nor model.recompute are enough';
}

/** The mildest change of each kind that fits; on a CPU, whose memory others have too, those that save anything. */
async function settingsThatFit(
  plan: Plan,
  device: Device,
  modules: Readonly<Record<string, string>>,
): Promise<Setting[]> {
  const limit = device.kind === 'cuda' ? usablePart * device.gpu().totalBytes : plan.perRank.peakBytes - 1;
  const { jobSpec } = plan;
  const { sequenceLength } = jobSpec.data;
  const sliceLengthOf = (cuts: number) => Math.max(1, Math.ceil(plan.paddedLength / plan.mesh.sp / cuts));
  const traceOf = (spec: JobSpec, cuts: number) => {
    const numSequences = plan.sequencesPerRank / jobSpec.data.accumulate;
    return traceModel(spec, { numSequences, sliceLength: sliceLengthOf(cuts), modules });
  };
  const settings: Setting[] = [];
  const { recompute } = jobSpec.model;
  const hasCheap = recompute === false && !jobSpec.job.deterministic;
  const milder = hasCheap ? (['cheap', true] as const) : ([true] as const);
  for (const wanted of recompute === true ? [] : milder) {
    const { peakBytes } = await traceOf({ ...jobSpec, model: { ...jobSpec.model, recompute: wanted } }, 1);
    if (peakBytes > limit) continue;
    settings.push({ text: `model.recompute = ${JSON.stringify(wanted)}`, peakBytes });
    break;
  }
  for (let cuts = 2; canSliceTime(plan) && cuts <= Math.min(mostCuts, sequenceLength); cuts *= 2) {
    const timeSlice = sliceLengthOf(cuts);
    const trace = await traceOf({ ...jobSpec, model: { ...jobSpec.model, timeSlice } }, 1).catch(() => null);
    if (trace === null) break; // a layer that cannot be cut in time, or not so small
    if (trace.peakBytes > limit || !fitsLayers(trace, timeSlice)) continue;
    settings.push({ text: `model.timeSlice = ${timeSlice}`, peakBytes: trace.peakBytes });
    break;
  }
  for (let cuts = 2; cuts <= Math.min(mostCuts, sequenceLength); cuts *= 2) {
    const trace = await traceOf(jobSpec, cuts).catch(() => null);
    if (trace === null) break; // a layer that cannot be cut so small
    const { peakBytes } = trace;
    if (peakBytes > limit || !fitsLayers(trace, sliceLengthOf(cuts))) continue;
    settings.push({ text: `parallel.sp = ${cuts * plan.mesh.sp}`, peakBytes });
    settings.push({ text: `data.sequenceLength = ${Math.floor(sequenceLength / cuts)}`, peakBytes });
    break;
  }
  return settings;
}

/** Whether a job may have time slices, and has none so far. */
function canSliceTime({ jobSpec: { job, model, data }, mesh }: Plan): boolean {
  const isWhole = model.timeSlice === 0 && model.recompute !== true && mesh.sp === 1;
  return isWhole && model.objective === 'causal' && !job.deterministic && !data.carry;
}

function fitsLayers({ layers }: Pick<ModelTrace, 'layers'>, sliceLength: number): boolean {
  return layers.every(({ sliceMultiple }) => sliceLength % sliceMultiple === 0);
}

function gib(bytes: number): string {
  return bytes < 2 ** 30 ? `${(bytes / 2 ** 20).toFixed(1)} MiB` : `${(bytes / 2 ** 30).toFixed(1)} GiB`;
}
