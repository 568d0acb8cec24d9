import { runGpuRank } from '@longscan/kernels/testing';
import type { Strategy } from '../../strategy.js';
import { type Check, runChecks } from '../check.js';
import { blockedHostChecks, numRanks } from '../strategy/asynchrony.js';
import { exactnessChecks } from '../strategy/exactness.js';
import { importUnits } from '../unit-files.js';

// One rank on a GPU that runs the scans of every strategy; started by strategies.cuda.test.ts.

runGpuRank(async (comm) => {
  const strategies = await importUnits<Strategy>(new URL('../../sp/', import.meta.url));
  // The other ranks run the same in their processes, on the same group.
  const engine = async () => ({ communicators: [comm], close: () => {} });
  const checksOf = (make: (strategy: Strategy) => Check[]): Check[] =>
    [...strategies].flatMap(([name, strategy]) =>
      make(strategy).map((check) => ({ ...check, name: `${name} ~> ${check.name}` })),
    );
  // Segments on GPUs are f32.
  const options = { engine, dtypes: ['f32'], blockCounts: [1, 3] } as const;
  const exactness = checksOf((strategy) => exactnessChecks(strategy, comm.size, options));
  // These keep their tensors, which those above would find.
  const asynchrony = comm.size === numRanks ? checksOf((each) => blockedHostChecks(each, engine)) : [];
  return runChecks([...exactness, ...asynchrony]);
});
