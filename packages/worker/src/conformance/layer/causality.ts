import type { DType } from '@longscan/kernels';
import { randomNormal } from '@longscan/kernels/testing';
import { type Check, demand } from '../check.js';
import { createProblem } from './problem.js';
import { runAlone } from './run-layer.js';
import type { Variant } from './variant.js';

const T = 70;
/** First, inside, and on both sides of the borders of tiles (16) and chunks (64) of the kernels. */
const tokens = [1, 7, 15, 16, 17, 31, 33, 63, 64, 65, 69];

/** A token's output never depends on what comes after it. */
export function causalityChecks(variant: Variant): Check[] {
  return (['f32', 'f64'] as const).map((dtype) => ({
    name: `changing tokens from t on changes no earlier output, to the bit: ${dtype}`,
    run: () => checkCausality(variant, dtype),
  }));
}

async function checkCausality(variant: Variant, dtype: DType): Promise<void> {
  const problem = createProblem(variant, { B: 1, T, dtype });
  const D = variant.dModel;
  const { output: before } = await runAlone(problem);
  for (const t of tokens) {
    const x = problem.x.slice();
    x.set(randomNormal((T - t) * D, 100 + t, 3), t * D);
    const { output: after } = await runAlone({ ...problem, x });
    const changed = after.findIndex((value, i) => value !== before[i]);
    const token = Math.floor(changed / D);
    demand(
      changed >= t * D || changed < 0,
      `changing tokens from ${t} on changes the output of token ${token}`,
    );
    demand(changed >= 0 && token === t, `changing token ${t} does not change its own output`);
  }
}
