import { LongscanError } from '@longscan/worker/protocol';
import { describeMachine, isSameMachine, type Machine, thisMachine } from '../fabric/machine.js';
import { suggest } from '../spec/edit-distance.js';
import { readSettingsFile } from '../spec/read-settings-file.js';
import type { ComputeCosts } from './compute-costs.js';
import { computeFileSchema } from './compute-file.js';
import type { CostsWithOrigin } from './costs-with-origin.js';
import { isPreset, presetNames, presets } from './presets.js';

/**
 * What ops cost, by a preset or a compute file (counted from the working directory). What the numbers are not (this
 * machine's, measured) stands in `notes`.
 * @throws LongscanError E-REG for a preset that is none, E-COMPUTE and what else `readSettingsFile` throws; all with exit
 *   code 2
 */
export function loadCompute(nameOrPath: string, here: Machine = thisMachine()): ComputeCosts {
  if (/[/\\.]/.test(nameOrPath)) {
    const file = readSettingsFile(nameOrPath, {
      ...{ schema: computeFileSchema, kind: 'a compute file', code: 'E-COMPUTE' },
    });
    return { ...costsOf(file, here), isSaved: true };
  }
  if (isPreset(nameOrPath)) return costsOf(presets[nameOrPath], here);
  throw new LongscanError({
    code: 'E-REG',
    where: '--compute',
    found: `unknown compute costs ${JSON.stringify(nameOrPath)}`,
    expected: `one of ${presetNames.join(', ')}, or the path of a compute file (with a "/" or a ".")`,
    fix: suggest(nameOrPath, presetNames),
    exitCode: 2,
  });
}

export const remedy = 'measure yours with "longscan bench step JOB --save compute.json"';

function costsOf({ measured, assumptions, ...costs }: CostsWithOrigin, here: Machine): ComputeCosts {
  const { name, ops, other, ranksAtOnce, slowdown, enqueueS } = costs;
  const notes = originNotes(name, measured, assumptions, here);
  return { name, ops, other, ranksAtOnce, slowdown, enqueueS, notes };
}

function originNotes(
  name: string,
  measured: CostsWithOrigin['measured'],
  assumptions: string | undefined,
  here: Machine,
): string[] {
  if (measured === undefined) {
    return [`what ops cost on "${name}" is assumed${assumptions ? `: ${assumptions}` : ''}; ${remedy}`];
  }
  const { machine, date } = measured;
  if (isSameMachine(machine, here)) return [];
  return [
    `what ops cost on "${name}" was measured on another machine (${describeMachine(machine)}) on ${date.slice(0, 10)}, not on this one (${describeMachine(here)}); ${remedy}`,
  ];
}
