import { type JobSpec, LongscanError, type Plan } from '@longscan/worker/protocol';
import { suggest } from '../spec/edit-distance.js';
import type { Fabric } from './fabric.js';
import { describeMachine, isSameMachine, type Machine, thisMachine } from './machine.js';
import { isPreset, presetNames, presets } from './presets.js';
import { readFabricFile } from './read-fabric-file.js';

/** True for links given as a file rather than by the name of a preset. */
export function isFabricPath(fabric: string): boolean {
  return /[/\\.]/.test(fabric);
}

/**
 * The links of a preset or a fabric file. What they are not (this machine's, measured) stands in `notes`.
 * @throws LongscanError E-REG for a preset that is none, and what `readFabricFile` throws; all with exit code 2
 */
export function loadFabric(nameOrPath: string, here: Machine = thisMachine()): Fabric {
  if (isFabricPath(nameOrPath)) {
    const { name, link, nodes, chains, measured } = readFabricFile(nameOrPath);
    const notes = originNotes(name, measured && { ...measured.machine, date: measured.date }, here);
    return { name, ...link, ...(nodes && { nodes }), ...(chains && { chains }), notes };
  }
  if (!isPreset(nameOrPath)) throw unknownPreset(nameOrPath);
  const { name, link, measuredOn, ...rest } = presets[nameOrPath];
  return { name, ...link, ...rest, notes: originNotes(name, measuredOn ?? undefined, here) };
}

/** What `parallel.fabric` may say beside a preset and a path. */
export const fabricWords: readonly string[] = ['auto', 'probe'];

type LinkedJob = Pick<JobSpec, 'parallel' | 'device'>;

/** Whether a job's links are to be measured before it is planned: one rank has none. */
export function isProbed({ parallel }: Pick<JobSpec, 'parallel'>): boolean {
  return parallel.fabric === 'probe' && parallel.sp * parallel.dp > 1;
}

/**
 * The links that `parallel.fabric` of a job names; its path is absolute by now.
 * @throws LongscanError E-FABRIC-PROBE (exit code 2) for links that are to be measured, and what `loadFabric` throws
 */
export function fabricOf(job: LinkedJob): Fabric {
  if (isProbed(job)) throw notProbed();
  return assumedFabric(job);
}

/** Where no rank is started, however many a job has. @throws LongscanError E-FABRIC-PROBE (exit code 2) */
export function refuseProbe({ parallel }: Pick<JobSpec, 'parallel'>): void {
  if (parallel.fabric === 'probe') throw notProbed();
}

/** The same with what stands for links that nobody has measured yet. */
export function assumedFabric({ parallel, device }: LinkedJob): Fabric {
  const preset = device.engine === 'nccl' ? 'h200' : 'loopback-tcp';
  if (parallel.fabric === 'auto') return loadFabric(preset);
  if (parallel.fabric !== 'probe') return loadFabric(parallel.fabric);
  // Which ranks share a node is what the job says, not what a preset assumes.
  const { nodes: _, ...links } = loadFabric(preset);
  return links;
}

/** The links that a plan was made for. */
export function linksOf({ fabric, jobSpec }: Pick<Plan, 'fabric' | 'jobSpec'>): Fabric {
  return fabric ?? fabricOf(jobSpec);
}

const remedy =
  'measure yours with "longscan bench collectives --save fabric.json" and set parallel.fabric = "fabric.json"';

function originNotes(
  name: string,
  measuredOn: (Machine & { readonly date?: string }) | undefined,
  here: Machine,
): string[] {
  if (measuredOn === undefined)
    return [`the links of "${name}" are assumptions, not measurements; ${remedy}`];
  if (isSameMachine(measuredOn, here)) return [];
  const date = measuredOn.date === undefined ? '' : ` on ${measuredOn.date.slice(0, 10)}`;
  return [
    `the links of "${name}" were measured on another machine (${describeMachine(measuredOn)})${date}, not on this one (${describeMachine(here)}); ${remedy}`,
  ];
}

function unknownPreset(name: string): LongscanError {
  const names = [...fabricWords, ...presetNames];
  return new LongscanError({
    code: 'E-REG',
    where: 'fabric',
    found: `unknown fabric ${JSON.stringify(name)}`,
    expected: `one of ${names.join(', ')}, or the path of a fabric file (with a "/" or a ".")`,
    fix: suggest(name, names),
    exitCode: 2,
  });
}

function notProbed(): LongscanError {
  return new LongscanError({
    code: 'E-FABRIC-PROBE',
    where: 'parallel.fabric',
    found: '"probe", where no rank is started that could measure links',
    expected: 'links that are known',
    fix: 'name a preset, or a file of "longscan bench collectives --save fabric.json", with --fabric or parallel.fabric',
    exitCode: 2,
  });
}
