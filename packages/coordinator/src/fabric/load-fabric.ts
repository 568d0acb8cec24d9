import { type JobSpec, LongscanError } from '@longscan/worker/protocol';
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
    const { name, link, nodes, measured } = readFabricFile(nameOrPath);
    const notes = originNotes(name, measured && { ...measured.machine, date: measured.date }, here);
    return { name, ...link, ...(nodes && { nodes }), notes };
  }
  if (!isPreset(nameOrPath)) throw unknownPreset(nameOrPath);
  const { name, link, measuredOn, ...rest } = presets[nameOrPath];
  return { name, ...link, ...rest, notes: originNotes(name, measuredOn ?? undefined, here) };
}

/** The links that `parallel.fabric` of a job names; its path is absolute by now. */
export function fabricOf({ parallel, device }: Pick<JobSpec, 'parallel' | 'device'>): Fabric {
  const preset = device.engine === 'nccl' ? 'h200' : 'loopback-tcp';
  return loadFabric(parallel.fabric === 'auto' ? preset : parallel.fabric);
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
  return new LongscanError({
    code: 'E-REG',
    where: 'fabric',
    found: `unknown fabric ${JSON.stringify(name)}`,
    expected: `one of ${presetNames.join(', ')}, or the path of a fabric file (with a "/" or a ".")`,
    fix: suggest(name, presetNames),
    exitCode: 2,
  });
}
