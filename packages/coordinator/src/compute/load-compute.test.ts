import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { OpEntry, Schedule } from '@longscan/worker';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import type { Machine } from '../fabric/machine.js';
import type { ComputeFile } from './compute-file.js';
import { loadCompute } from './load-compute.js';
import { opSeconds } from './op-seconds.js';
import { presetNames } from './presets.js';
import { unknownOps } from './unknown-ops.js';

const here: Machine = { host: '0123456789ab', cpu: 'Some CPU', cores: 2 };
const cost = { launchS: 1e-6, secondsPerByte: 1e-10, secondsPerFlop: 0 };
const file: ComputeFile = {
  ...{ schema: 1, name: 'mine', ops: { copy: cost }, other: { ...cost, launchS: 2e-6 } },
  ...{ ranksAtOnce: 2, slowdown: [1, 1.25] },
};
const measured: NonNullable<ComputeFile['measured']> = {
  date: '2026-11-29T10:00:00.000Z',
  machine: { ...here, device: 'cpu' },
  threads: 1,
  precision: 'f32',
  versions: { node: '20.20.2' },
  ...{ meanRelativeError: 0.1, worstRelativeError: 0.1 },
  shapes: [{ B: 1, T: 64, dModel: 32, numLayers: 2, measuredS: 1, fittedS: 1.1, relativeError: 0.1 }],
};

/** What a compute file with this text is loaded as. */
function load(text: string | object, name = 'compute.json') {
  const folder = mkdtempSync(join(tmpdir(), 'longscan-compute-'));
  try {
    writeFileSync(join(folder, name), typeof text === 'string' ? text : JSON.stringify(text, null, 2));
    return loadCompute(join(folder, name), here);
  } finally {
    rmSync(folder, { recursive: true });
  }
}

function refused(body: () => unknown, ...expected: readonly RegExp[]): void {
  try {
    body();
  } catch (error) {
    const { message, exitCode } = error as Error & { exitCode: number };
    assert.is(exitCode, 2, message);
    for (const part of expected) assert.match(message, part);
    return;
  }
  assert.unreachable('it was loaded');
}

test('presets ~> each is loaded, and says what it is not', () => {
  assert.equal([...presetNames], ['cpu', 'h200', 'h100']);
  for (const name of presetNames) {
    const { ops, other, slowdown, ranksAtOnce, notes } = loadCompute(name, here);
    for (const each of [...Object.values(ops), other]) {
      assert.ok(
        Object.values(each).every((value) => value >= 0),
        name,
      );
      assert.ok(
        Object.values(each).some((value) => value > 0),
        name,
      );
    }
    assert.is(slowdown.length, ranksAtOnce ?? 1);
    assert.is(notes?.length, 1, name);
    assert.match(notes![0]!, name === 'cpu' ? /measured on another machine/ : /is assumed: /);
  }
});

test('costs ~> of a call: its own function, or any other', () => {
  const { notes: _, ...costs } = load(file);
  assert.is(opSeconds(costs, { name: 'copy', bytes: 1e6, flops: 1e9 }), 1e-6 + 1e6 * 1e-10);
  assert.is(opSeconds(costs, { name: 'paste', bytes: 0, flops: 0 }), 2e-6);
});

test('compute files ~> of this machine, of another one, of nobody', () => {
  assert.equal(load({ ...file, measured }).notes, []);
  const machine = { ...measured.machine, cpu: 'Other CPU' };
  assert.match(
    load({ ...file, measured: { ...measured, machine } }).notes![0]!,
    /another machine \(Other CPU/,
  );
  assert.match(load(file).notes![0]!, /"mine" is assumed; measure yours/);
  const toml =
    'schema = 1\nname = "t"\nranksAtOnce = 1\nslowdown = [1]\n[ops]\n[other]\nlaunchS = 0\nsecondsPerByte = 1e-9\nsecondsPerFlop = 0\n';
  assert.is(load({ ...file, enqueueS: 3e-6 }).enqueueS, 3e-6);
  assert.is(load(toml, 'compute.toml').other.secondsPerByte, 1e-9);
});

test('compute files ~> what is wrong, with its line and key', () => {
  refused(
    () => load({ ...file, other: { ...cost, launchS: -1 }, ops: { copy: { ...cost, bytes: 1 } } }),
    /E-COMPUTE.*compute\.json:\d+:\d+.*other\.launchS.*-1.*finite number >= 0/,
    /ops\.copy\.bytes.*unknown key/,
  );
  refused(() => load({ ...file, slowdown: [1] }), /slowdown.*as many numbers as ranksAtOnce/);
  refused(() => load({ ...file, slowdown: [1.5, 2] }), /slowdown.*1: a rank alone/);
  refused(() => load({ ...file, slowdown: [1, 0.5] }), /slowdown.*number >= 1/);
  refused(() => load({ ...file, enqueueS: -1e-6 }), /enqueueS.*-0\.000001.*finite number >= 0/);
  refused(() => load({ ...file, schema: 2 }), /schema.*1, which is all/);
  refused(() => load('{"schema": 1,'), /E-CFG-PARSE/);
  refused(() => loadCompute('/nowhere/compute.json', here), /E-CFG-READ.*a compute file/);
});

test('presets ~> a name that is none, with what was meant', () => {
  refused(() => loadCompute('h20', here), /E-REG.*unknown compute costs "h20".*cpu, h200, h100/, /h200|h100/);
});

test('a compute file without costs of an op ~> a note names it', () => {
  const op = (name: string, stream = 0) =>
    ({ ...{ kind: 'op', stream, name }, bytes: 8, flops: 0 }) as OpEntry;
  const entries = [op('copy'), op('swapAxes'), op('addTail'), op('swapAxes'), op('elsewhere', 1)];
  const schedules = [{ streams: ['compute', 'sp'], entries }] as unknown as Schedule[];
  const [note, ...others] = unknownOps(load(file), schedules);
  assert.equal(others, []);
  assert.match(note!, /^"mine" has no costs of addTail, swapAxes: they count as any other op/);
  assert.equal(
    unknownOps(load({ ...file, ops: { copy: cost, swapAxes: cost, addTail: cost } }), schedules),
    [],
  );
  assert.equal(unknownOps(loadCompute('h200', here), schedules), []);
});

test.run();
