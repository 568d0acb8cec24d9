import type { RecurrenceTrace } from '@longscan/worker/protocol';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { ableStrategies, checkLayers } from './check-layers.js';
import type { Layout } from './layout.js';

const strategies = [{ name: 'gather' }, { name: 'chain', serial: () => ({}) as never }];

function layoutOf(sp: number, length: number): Layout {
  const slices = Array.from({ length: sp }, (_, i) => ({ start: i * length, length, numTokens: length }));
  return {
    mesh: { sp, dp: 1, numRanks: sp },
    slices,
    paddedLength: sp * length,
    padTokens: 0,
    sequencesPerRank: 1,
  };
}

function traceOf(kinds: readonly RecurrenceTrace['kind'][], sliceMultiple = 1) {
  return {
    recurrences: kinds.map((kind, layer) => ({
      layer,
      kind,
      stateBytes: 4,
      stateRows: 1,
      numHeads: 1,
      transitionBytes: 0,
    })),
    layers: kinds.map((kind) => ({ name: `a-${kind}-layer`, sliceMultiple })),
  };
}

const jobOf = (strategy: string, timeSlice = 0) =>
  ({ parallel: { strategy }, model: { timeSlice } }) as never;

const check = (strategy: string, kinds: readonly RecurrenceTrace['kind'][], sp = 2) =>
  checkLayers(jobOf(strategy), layoutOf(sp, 64), traceOf(kinds), strategies);

test('a layer that no segment describes is refused under a strategy that needs one, naming both and what works', () => {
  assert.throws(
    () => check('gather', ['dense', 'opaque']),
    (error: Error) =>
      error.message ===
      'error[E-STRATEGY] parallel.strategy: "gather" with layer 1 (a-opaque-layer), whose recurrence is opaque, ' +
        'expected a strategy that can run it. Fix: parallel.strategy = "chain", or parallel.sp = 1',
  );
});

test("it runs under a chain, by the planner's choice, and alone", () => {
  check('chain', ['opaque']);
  check('auto', ['dense', 'opaque']);
  check('gather', ['opaque'], 1);
  check('gather', ['dense', 'log-max']);
  const names = (sp: number) => ableStrategies(sp, traceOf(['opaque']), strategies).map(({ name }) => name);
  assert.equal(names(2), ['chain']);
  assert.equal(names(1), ['gather', 'chain']);
});

test('without any strategy that can run a layer, one rank is what remains', () => {
  assert.throws(
    () => checkLayers(jobOf('auto'), layoutOf(2, 64), traceOf(['opaque']), [{ name: 'gather' }]),
    /whose recurrence is opaque.*Fix: parallel\.sp = 1$/,
  );
});

test('slices that a layer cannot be cut into are refused, unless one rank holds all', () => {
  const at = (sp: number) => () =>
    checkLayers(jobOf('auto'), layoutOf(sp, 64), traceOf(['diagonal'], 48), strategies);
  assert.throws(
    at(2),
    /error\[E-SHAPE\] model\.chunk: slices of 64 tokens on 2 ranks with layer 0 .*Fix: model\.chunk = 48/,
  );
  assert.not.throws(at(1));
});

test('time slices that a layer cannot be cut into are refused on one rank too', () => {
  const at = (timeSlice: number) => () =>
    checkLayers(jobOf('auto', timeSlice), layoutOf(1, 64), traceOf(['diagonal'], 48), strategies);
  assert.throws(
    at(100),
    /error\[E-SHAPE\] model\.timeSlice: 100 with layer 0 .*multiple of 48 tokens.*Fix: model\.timeSlice = 96/,
  );
  assert.throws(at(32), /Fix: model\.timeSlice = 48/);
  assert.not.throws(at(96));
});

test.run();
