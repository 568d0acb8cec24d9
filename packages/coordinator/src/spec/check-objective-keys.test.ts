import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { checkToml, messageOf } from './testing.js';

const good = '[data]\npath = "text.txt"\n';
const errorsOf = (set: readonly string[]) => messageOf(() => checkToml(good, set));

test('objective ~> causal unless the job says so', async () => {
  const { jobSpec } = await checkToml(good);
  assert.is(jobSpec.model.objective, 'causal');
  const masked = await checkToml(good, ['model.objective=masked', 'data.maskRate=0.3']);
  assert.equal([masked.jobSpec.model.objective, masked.jobSpec.data.maskRate], ['masked', 0.3]);
  const [message] = await errorsOf(['model.objective=maskd']);
  assert.match(message!, /E-CFG-VALUE.*model\.objective.*did you mean "masked"/);
});

test('objective ~> what cannot be had with it is refused, and a mask rate that hides nothing', async () => {
  const masked = 'model.objective=masked';
  const [carry] = await errorsOf([masked, 'data.carry=true']);
  assert.match(carry!, /E-CFG-VALUE\] --set data\.carry: true with model\.objective = "masked"/);
  const [deterministic] = await errorsOf([masked, 'job.deterministic=true']);
  assert.match(
    deterministic!,
    /E-CFG-VALUE\] --set job\.deterministic: true with model\.objective = "masked"/,
  );
  const [attention] = await errorsOf([masked, 'parallel.attentionStrategy=ring-attention']);
  assert.match(
    attention!,
    /E-CFG-VALUE\] --set parallel\.attentionStrategy: "ring-attention" with .*"auto" or "kv-all-gather"/,
  );
  const [rate] = await errorsOf(['data.maskRate=0.3']);
  assert.match(rate!, /E-CFG-VALUE\] --set data\.maskRate: 0\.3 with model\.objective = "causal"/);
  const [range] = await errorsOf([masked, 'data.maskRate=1.5']);
  assert.match(range!, /E-CFG-RANGE\] --set data\.maskRate: 1\.5/);
});

test.run();
