import { test } from 'uvu';
import * as assert from 'uvu/assert';
import type { Strategy } from '../strategy.js';
import { ScanDefinitions } from './strategy/scan.js';
import { strategyChecks } from './strategy-suite.js';
import { importUnits } from './unit-files.js';

const strategies = await importUnits<Strategy>(new URL('../sp/', import.meta.url));

test('the folder holds the strategies that a job may name', () => {
  for (const name of ['ring', 'all-gather', 'all-scan']) assert.ok(strategies.has(name), name);
});

const definitions = new ScanDefinitions();
for (const [name, strategy] of strategies) {
  test(`${name} ~> is named as its file`, () => assert.is(strategy.name, name));
  for (const check of strategyChecks(strategy, definitions))
    test(`${name} ~> ${check.name}`, () => check.run());
}

test.run();
