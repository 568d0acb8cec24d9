import { LongscanError, type Plan } from '@longscan/worker/protocol';
import { measureGroup } from '../collectives/measure-group.js';
import { fabricFileOf } from '../collectives/measured.js';
import { timeoutsOf } from '../control/timeouts-of.js';
import type { FabricFile } from '../fabric/fabric-file.js';

/** A machine that was busy with something else for a moment is not at the third time. */
const maxTries = 3;

/**
 * Starts the ranks of a plan, has them send each other messages for a second or two, and fits their links to that; again where
 * that tells no links. No process is left, whatever happens.
 *
 * @param layerModules Bundled module of each layer file outside the packages.
 * @param signal Ends it.
 * @throws LongscanError of a rank or of its process's end, E-RUN-KILLED (exit code 130) when it was ended, E-PROBE-FIT (exit code
 *   3) where the times tell no links
 */
export async function probeLinks(
  plan: Plan,
  layerModules: Readonly<Record<string, string>>,
  signal?: AbortSignal,
  measure = measureGroup,
): Promise<FabricFile> {
  const timeouts = timeoutsOf(plan.jobSpec);
  for (let tries = 0; tries < maxTries; tries++) {
    const measured = await measure({ kind: 'probe-links' }, plan, layerModules, { signal, timeouts });
    if (measured.fit === null) continue;
    const { engine, numRanks } = measured;
    return { ...fabricFileOf(measured), name: `${engine} between ${numRanks} ranks, as probed` };
  }
  throw noFit();
}

function noFit(): LongscanError {
  return new LongscanError({
    code: 'E-PROBE-FIT',
    where: 'parallel.fabric',
    found: `${maxTries} probes whose times of messages tell no latency, gap and bandwidth above zero`,
    expected: 'a machine that does little else for two seconds',
    fix: 'start again, or name links: parallel.fabric = "fabric.json" of "longscan bench collectives --save fabric.json"',
    exitCode: 3,
  });
}
