import { runGpuRank } from '@longscan/kernels/testing';
import type { Strategy } from '../../strategy.js';
import { runChecks } from '../check.js';
import { exactnessChecks } from '../strategy/exactness.js';
import { importUnits } from '../unit-files.js';

// One rank on a GPU that runs the scans of every strategy; started by strategies.cuda.test.ts.

runGpuRank(async (comm) => {
  const strategies = await importUnits<Strategy>(new URL('../../sp/', import.meta.url));
  const checks = [...strategies].flatMap(([name, strategy]) =>
    exactnessChecks(strategy, comm.size, {
      // The other ranks run the same in their processes, on the same group.
      engine: async () => ({ communicators: [comm], close: () => {} }),
      // Segments on GPUs are f32.
      dtypes: ['f32'],
      blockCounts: [1, 3],
    }).map((check) => ({ ...check, name: `${name} ~> ${check.name}` })),
  );
  return runChecks(checks);
});
