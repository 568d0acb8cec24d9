import { LongscanError, type Plan } from '@longscan/worker/protocol';
import { measureGroup } from '../collectives/measure-group.js';
import { fabricFileOf } from '../collectives/measured.js';
import { timeoutsOf } from '../control/timeouts-of.js';
import type { FabricFile } from '../fabric/fabric-file.js';

/**
 * Starts the ranks of a plan once, has them send each other messages for a second or two, and fits their links to that. No
 * process is left, whatever happens. `layerModules`: bundled module of each layer file outside the packages; `signal` ends it.
 * @throws LongscanError of a rank or of its process's end, E-RUN-KILLED (exit code 130) when it was ended, E-PROBE-FIT (exit code
 *   3) where the times tell no links
 */
export async function probeLinks(
  plan: Plan,
  layerModules: Readonly<Record<string, string>>,
  signal?: AbortSignal,
): Promise<FabricFile> {
  const timeouts = timeoutsOf(plan.jobSpec);
  const measured = await measureGroup({ kind: 'probe-links' }, plan, layerModules, { signal, timeouts });
  if (measured.fit === null) throw noFit();
  const { engine, numRanks } = measured;
  return { ...fabricFileOf(measured), name: `${engine} between ${numRanks} ranks, as probed` };
}

function noFit(): LongscanError {
  return new LongscanError({
    code: 'E-PROBE-FIT',
    where: 'parallel.fabric',
    found: 'a probe whose times of messages tell no latency, gap and bandwidth above zero',
    expected: 'a machine that does little else for two seconds',
    fix: 'start again, or name links: parallel.fabric = "fabric.json" of "longscan bench collectives --save fabric.json"',
    exitCode: 3,
  });
}
