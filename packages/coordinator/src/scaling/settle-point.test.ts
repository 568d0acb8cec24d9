import { LongscanError, type Plan } from '@longscan/worker/protocol';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import type { LayerCode } from '../layer-code/layer-code.js';
import { probedFile } from '../testing/probed-file.js';
import type { PlannedPoint } from './plan-curve.js';
import { settlePoint } from './settle-point.js';

const jobSpec = { parallel: { sp: 2, dp: 1, fabric: 'probe' } };
const point = { sp: 2, plan: { jobSpec } } as unknown as PlannedPoint;
const links = probedFile(2);

/** Code of the user's layers: who computes with it, one after the other. */
function codeOf(compute: (name: string) => unknown) {
  const log: string[] = [];
  const code = {
    compute: async (name: string) => {
      log.push(name);
      return compute(name);
    },
  } as unknown as LayerCode;
  const withCode = async <T>(body: (code: LayerCode) => Promise<T>): Promise<T> => {
    log.push('begin');
    try {
      return await body(code);
    } finally {
      log.push('end');
    }
  };
  return { log, withCode };
}

test("a probed point ~> nothing of the user's runs while its links are measured", async () => {
  const planned = { jobSpec } as unknown as Plan;
  const { log, withCode } = codeOf(() => planned);
  const probe = async () => {
    log.push('probe');
    return links;
  };
  const settled = await settlePoint(point, { withCode, simulate: null, probe });
  assert.is(settled.refused, null);
  assert.equal(log, ['begin', 'checkMemory', 'end', 'probe', 'begin', 'planToRun', 'end']);
});

for (const [code, isOfAll] of [
  ['E-RUN-KILLED', true],
  ['E-ENDED', true],
  ['E-PLAN-MEMORY', false],
] as const) {
  test(`a point ~> ${code} ${isOfAll ? 'ends all of them' : 'is its own'}`, async () => {
    const error = new LongscanError({ code, where: 'here', found: 'that', exitCode: 1 });
    const { withCode } = codeOf(() => {
      throw error;
    });
    const settled = settlePoint(point, { withCode, simulate: null, probe: async () => links });
    const outcome = await settled.then(
      ({ refused }) => ({ refused }),
      (thrown: unknown) => ({ thrown }),
    );
    assert.equal(outcome, isOfAll ? { thrown: error } : { refused: error });
  });
}

test.run();
