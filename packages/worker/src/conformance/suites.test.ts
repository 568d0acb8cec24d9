import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import type { Layer } from '../layer.js';
import type { Strategy } from '../strategy.js';
import { type Check, runChecks } from './check.js';
import { checkLayer, layerChecks } from './layer-suite.js';
import { asynchronyChecks } from './strategy/asynchrony.js';
import { costChecks } from './strategy/cost.js';
import { exactnessChecks } from './strategy/exactness.js';
import { checkStrategy } from './strategy-suite.js';
import { brokenLayers } from './testing/broken-layers.js';
import { brokenStrategies } from './testing/broken-strategies.js';
import { importUnits } from './unit-files.js';

const strategies = await importUnits<Strategy>(new URL('../sp/', import.meta.url));

async function expectNoticed(checks: readonly Check[], by: RegExp): Promise<void> {
  const asked = checks.filter(({ name }) => by.test(name));
  assert.ok(asked.length > 0, `no check is named ${by}`);
  const results = await runChecks(asked);
  assert.ok(
    results.some(({ passed }) => !passed),
    `nothing noticed by ${asked.map(({ name }) => name).join('; ')}`,
  );
}

for (const { fault, strategy, noticedBy } of brokenStrategies) {
  test(`a strategy is refused ~> ${fault}`, async () => {
    // A failure is wanted, so a deadline that is short for a slow machine does no harm.
    const asynchrony = asynchronyChecks(strategy, 300);
    const checks = [...exactnessChecks(strategy, 3), ...asynchrony, ...costChecks(strategy)];
    await expectNoticed(checks, noticedBy);
  });
}

for (const { fault, layer, noticedBy } of brokenLayers) {
  test(`a layer is refused ~> ${fault}`, async () => {
    const checks = layerChecks(layer, [...strategies.values()]);
    await expectNoticed(checks, noticedBy);
  });
}

/** The modules of this package that a unit dropped into a folder elsewhere imports. */
const kernels = JSON.stringify(import.meta.resolve('@longscan/kernels'));
const worker = JSON.stringify(new URL('../index.js', import.meta.url).href);
const chain = JSON.stringify(new URL('../chain.js', import.meta.url).href);

/** Two recurrences of different kinds in one layer, behind a convolution and a token shift. */
const sampleLayer = `
import { activation, add, gatedLinear, linear, reshape } from ${kernels};
import { defineLayer } from ${worker};
export default defineLayer({
  name: 'sample', paper: 'https://arxiv.org/abs/2312.06635', transition: 'scalar', config: { numHeads: 2 },
  create({ numHeads: H }, param) {
    const D = param.dModel;
    const [wq, wk, wv] = ['q', 'k', 'v'].map((name) => param.projection(name, D, D));
    const wg = param.projection('g', H, D);
    const taps = param.tensor('taps', [D, 4], { normal: 0.5 });
    const bias = param.tensor('taps.bias', [D], { constant: 0 });
    return (input, context) => {
      const [B, T] = input.shape;
      const x = context.causalConv1d(input, taps, { bias, activation: 'silu' });
      const heads = (weight) => reshape(linear({ x, weight, bias: null }), [B, T, H, D / H]);
      const before = context.tokenShift(input);
      const g = activation('log-sigmoid', linear({ x: before, weight: wg, bias: null }));
      const inputs = { q: heads(wq), k: heads(wk), v: heads(wv), g };
      const a = context.recurrence(gatedLinear('scalar'), inputs);
      const b = context.recurrence(gatedLinear('identity'), { ...inputs, g: null });
      return reshape(add({ a, b }), [B, T, D]);
    };
  },
});`;

const sampleStrategy = `
import { chainCost, chainSeconds, startChain } from ${chain};
import { defineStrategy } from ${worker};
export default defineStrategy({
  name: 'sample', paper: 'https://arxiv.org/abs/2404.02882',
  cost: (worldSize, bytes, link) => chainCost(worldSize, bytes, chainSeconds(worldSize, bytes, 2, link)),
  start: (local, group, direction) => startChain(local, group, direction, 2),
});`;

test('a file dropped into a seam folder is picked up, and the suite runs on it', async () => {
  const dist = mkdtempSync(join(tmpdir(), 'longscan-seams-'));
  try {
    const folder = (name: string) => pathToFileURL(`${join(dist, name)}/`);
    for (const name of ['layers', 'sp']) mkdirSync(folder(name));
    for (const noUnit of ['Upper.js', 'sample.d.ts', 'sample.js.map', 'two.words.js']) {
      writeFileSync(new URL(noUnit, folder('layers')), 'throw new Error("imported");');
    }
    writeFileSync(new URL('sample.js', folder('layers')), sampleLayer);
    writeFileSync(new URL('sample.js', folder('sp')), sampleStrategy);
    // Outside of any package, files are CommonJS unless this says otherwise.
    writeFileSync(join(dist, 'package.json'), '{"type":"module"}');

    const layers = await importUnits<Layer>(folder('layers'));
    const dropped = await importUnits<Strategy>(folder('sp'));
    assert.equal([...layers.keys(), ...dropped.keys()], ['sample', 'sample']);
    const results = [
      ...(await checkLayer(layers.get('sample')!)),
      ...(await checkStrategy(dropped.get('sample')!)),
    ];
    assert.equal(
      results.filter(({ passed }) => !passed),
      [],
    );
    assert.ok(results.length > 40, `${results.length} checks`);
  } finally {
    rmSync(dist, { recursive: true, force: true });
  }
});

test.run();
