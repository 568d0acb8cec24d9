import { copy, type Device, empty, openCpuDevice, type Tensor } from '@longscan/kernels';
import { withFakeGpu } from '@longscan/kernels/testing';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import type { Batch } from '../data/index.js';
import { Parameters } from '../model/parameters.js';
import { openPassGraphs, PassGraphs } from './pass-graphs.js';
import type { Passes } from './pass-tensors.js';
import type { Training } from './training.js';

const numTokens = 4;

/** A batch of one sequence whose first token is this one. */
function batchOf(token: number, { packed = false } = {}): Batch {
  const tokens = Int32Array.of(token, 0, 0, 0);
  const resets = packed ? new Int32Array(numTokens) : null;
  const openTokens = packed ? new Int32Array(1) : null;
  const sizes = { numSequences: 1, sliceLength: numTokens, numValidTokens: numTokens };
  return { ...sizes, tokens, labels: tokens, resets, openTokens };
}

/** Steps whose passes copy the tokens: what is read back is what ran. */
class Steps {
  readonly lines: string[] = [];
  readonly graphs: PassGraphs;
  private readonly seen: Tensor;

  constructor(private readonly device: Device) {
    const parameters = new Parameters(device, []);
    this.graphs = new PassGraphs({ device, parameters }, (line) => this.lines.push(line));
    this.seen = empty(device, [1, numTokens], 'i32');
  }

  /** The first token that the graph's passes saw; null: there was no graph. */
  async launch(batches: readonly Batch[], more: Passes = () => undefined): Promise<number | null> {
    const passes: Passes = (uploaded, tensors) => {
      for (const { tokens } of uploaded) copy(tokens, this.seen);
      more(uploaded, tensors);
    };
    const sent = this.device.scope(() => this.graphs.launch(batches, passes));
    sent?.release();
    return sent === null ? null : (await this.seen.read())[0]!;
  }
}

test('the second step of a form is a graph, and it and those behind it see their own tokens', () =>
  withFakeGpu({}, async (device) => {
    const steps = new Steps(device);
    const seen: (number | null)[] = [];
    for (const token of [1, 2, 3, 4]) seen.push(await steps.launch([batchOf(token)]));
    assert.equal(seen, [null, 2, 3, 4]);
    for (const token of [5, 6, 7]) seen.push(await steps.launch([batchOf(0), batchOf(token)]));
    for (const token of [8, 9, 10]) seen.push(await steps.launch([batchOf(token, { packed: true })]));
    assert.equal(seen.slice(4), [null, 6, 7, null, 9, 10]);
    assert.is(await steps.launch([batchOf(11)]), 11);
    assert.equal(steps.lines, []);
    steps.graphs.release();
  }));

test('a step of which every op is timed is no graph', () =>
  withFakeGpu({}, async (device) => {
    const steps = new Steps(device);
    for (const token of [1, 2, 3]) await steps.launch([batchOf(token)]);
    const end = device.compute.profile();
    assert.is(await steps.launch([batchOf(4)]), null);
    await end();
    assert.is(await steps.launch([batchOf(5)]), 5);
    steps.graphs.release();
  }));

test('batches that vary are told once, and those that had graphs keep them', () =>
  withFakeGpu({}, async (device) => {
    const steps = new Steps(device);
    for (const token of [1, 2, 3]) await steps.launch([batchOf(token)]);
    for (let n = 2; n < 9; n++) {
      const batches = Array.from({ length: n }, () => batchOf(0));
      assert.is(await steps.launch(batches), null);
    }
    assert.is(steps.lines.length, 1);
    assert.match(steps.lines[0]!, /no more CUDA graphs .*vary/);
    assert.is(await steps.launch([batchOf(4)]), 4);
    steps.graphs.release();
  }));

test('passes in which the host takes part go on as before', () =>
  withFakeGpu({}, async (device) => {
    const steps = new Steps(device);
    const write: Passes = ([batch]) => batch!.labels.write(new Int32Array(numTokens));
    for (const token of [1, 2, 3, 4]) assert.is(await steps.launch([batchOf(token)], write), null);
    assert.is(steps.lines.length, 1);
    assert.match(steps.lines[0]!, /a copy from the host/);
    await device.compute.sync();
  }));

test('when memory is short, steps go on without graphs', () =>
  withFakeGpu({ fake: 'bytes=1000000' }, async (device) => {
    const steps = new Steps(device);
    const { inUseBytes } = device.memory();
    const much: Passes = () => void holdMemory(device);
    for (const token of [1, 2, 3]) await steps.launch([batchOf(token)], much);
    assert.is(await steps.launch([batchOf(4)], much), 4);
    empty(device, [180_000]).release();
    assert.is(await steps.launch([batchOf(5)], much), null);
    assert.is(steps.lines.length, 1);
    assert.match(steps.lines[0]!, /wanted elsewhere/);
    assert.is(device.memory().inUseBytes, inUseBytes);
  }));

test('when memory ends before a graph is begun, the step goes on without and what was taken is given back', () =>
  withFakeGpu({ fake: 'bytes=1000000' }, async (device) => {
    const steps = new Steps(device);
    const held: Tensor[] = [];
    assert.is(await steps.launch([batchOf(1)]), null);
    for (let size = 1 << 17; size >= 16; size /= 2) {
      try {
        for (;;) held.push(empty(device, [size]));
      } catch {
        // Smaller ones fill the rest.
      }
    }
    // Room for the tokens, not for the labels.
    held.pop()!.release();
    const { inUseBytes } = device.memory();
    assert.is(await steps.launch([batchOf(2)]), null);
    assert.is(device.memory().inUseBytes, inUseBytes);
    assert.match(steps.lines.join(), /no more CUDA graphs .*out of memory/);
    for (const tensor of held) tensor.release();
    assert.is(await steps.launch([batchOf(3)]), null);
  }));

test('jobs that cannot have graphs say why', () =>
  withFakeGpu({}, async (device) => {
    const open = (parts: object, wanted = true) => {
      const lines: string[] = [];
      const training = { device, carry: null, model: { timeSlice: 0 }, ...parts };
      const graphs = openPassGraphs(training as Training, { graphs: wanted }, (line) => lines.push(line));
      return [graphs !== null, ...lines];
    };
    assert.equal(open({}), [true]);
    assert.equal(open({}, false), [false]);
    assert.match(open({ carry: {} }).join(), /^false,no CUDA graphs: .*data\.carry/);
    assert.match(open({ model: { timeSlice: 64 } }).join(), /^false,no CUDA graphs: .*model\.timeSlice/);
    const older = { kind: 'cuda', gpu: () => ({ driverVersion: 12_030 }) };
    assert.match(
      open({ device: older }).join(),
      /^false,no CUDA graphs: the driver is of CUDA 12\.3, needed is 12\.4/,
    );
    const cpu = openCpuDevice();
    assert.equal(open({ device: cpu }), [false]);
    cpu.close();
  }));

/** Memory that a graph keeps. */
function holdMemory(device: Device): void {
  const made = empty(device, [150_000], 'i32');
  copy(made, made);
}

test.run();
