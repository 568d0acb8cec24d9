import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { type Device, openCpuDevice } from '../device.js';
import { linear } from '../ops/linear/index.js';
import { scale } from '../ops/pointwise/index.js';
import { emptyLike, fromArray, type Tensor } from '../tensor.js';

async function withDevice(body: (device: Device) => Promise<void>): Promise<void> {
  const device = openCpuDevice({ poison: true });
  try {
    await body(device);
  } finally {
    device.close();
  }
}

function parameter(device: Device, values: number[], gradient: number[]): Tensor {
  const tensor = fromArray(device, values, [1, values.length]);
  tensor.requiresGrad = true;
  tensor.gradient = fromArray(device, gradient, [1, values.length]);
  return tensor;
}

const one = (device: Device): Tensor => fromArray(device, [1], [1, 1]);

/** A copy of what a parameter's gradient is at this point of the stream. */
function snapshot({ gradient }: Tensor): Promise<ArrayLike<number>> {
  const copy = emptyLike(gradient!);
  copy.device.native.copy(copy.device.compute.id, gradient!.id, copy.id);
  return copy.read();
}

/** x, with a rule that looks at a weight's gradient, before and after it has flushed what is deferred if `flushes`. */
function watched(x: Tensor, weight: Tensor, flushes: boolean, seen: Promise<ArrayLike<number>>[]): Tensor {
  const output = x.view(x.shape);
  const tape = x.device.tape!;
  tape.record({
    name: 'watched',
    flushes,
    inputs: [x],
    outputs: [output],
    saved: [],
    backward: ([gradient]) => {
      seen.push(snapshot(weight));
      if (flushes) tape.flushDeferred();
      seen.push(snapshot(weight));
      return [gradient!];
    },
  });
  return output;
}

for (const flushes of [true, false]) {
  test(`weight gradients ${flushes ? 'wait for an op that flushes them, and what they read stays alive' : 'do not wait where no op will'}`, () =>
    withDevice(async (device) => {
      const weight = parameter(device, [1, 2], [0, 0]);
      const source = parameter(device, [3, 4], [0, 0]);
      const seen: Promise<ArrayLike<number>>[] = [];
      const { result, tape } = device.record(() =>
        device.scope(() => linear({ x: watched(source, weight, flushes, seen), weight, bias: null })),
      );
      tape.backward([result], [one(device)]);
      const values = (await Promise.all(seen)).map((read) => [...Array.from(read)]);
      assert.equal(values, [flushes ? [0, 0] : [3, 4], [3, 4]]);
      assert.equal([...(await source.gradient!.read())], [1, 2]);
    }));
}

test('a point is told when the backward pass is through what was recorded after it; what follows deferred work waits for that', () =>
  withDevice(async (device) => {
    const weight = parameter(device, [1, 2], [0, 0]);
    const source = parameter(device, [3, 4], [0, 0]);
    const events: string[] = [];
    const seen: Promise<ArrayLike<number>>[] = [];
    const pointAt = (name: string) => {
      const tape = device.tape!;
      tape.notePoint(() => {
        events.push(name);
        tape.afterDeferred(() => {
          events.push(`${name}, with its gradients`);
          seen.push(snapshot(weight));
        });
      });
    };
    const { result, tape } = device.record(() =>
      device.scope(() => {
        pointAt('first');
        const flushing = watched(source, weight, true, []);
        pointAt('second');
        const output = linear({ x: flushing, weight, bias: null });
        pointAt('third');
        return output;
      }),
    );
    tape.backward([result], [one(device)]);
    assert.equal(events, [
      ...['third', 'third, with its gradients'],
      ...['second', 'second, with its gradients'],
      ...['first', 'first, with its gradients'],
    ]);
    const values = (await Promise.all(seen)).map((read) => [...Array.from(read)]);
    assert.equal(values, [
      [0, 0],
      [3, 4],
      [3, 4],
    ]);
  }));

test('a stale gradient is written over once, deferred or not, by whatever op comes first', () =>
  withDevice(async (device) => {
    const x = fromArray(device, [3, 4], [1, 2]);
    const stale = [Number.NaN, 7];
    const byRule = parameter(device, [1, 2], stale);
    const byTape = parameter(device, [5, 6], stale);
    for (const weight of [byRule, byTape]) weight.isGradientStale = true;
    for (let pass = 1; pass <= 2; pass++) {
      const { result, tape } = device.record(() =>
        device.scope(() => {
          // `scale` returns its gradient, `linear` writes it.
          const both = [
            linear({ x, weight: byRule, bias: null }),
            linear({ x, weight: scale(byTape, 2), bias: null }),
          ];
          return [...both, linear({ x, weight: byRule, bias: null })];
        }),
      );
      tape.backward(
        result,
        result.map(() => one(device)),
      );
      assert.equal([...(await byRule.gradient!.read())], [2 * 3 * pass, 2 * 4 * pass]);
      assert.equal([...(await byTape.gradient!.read())], [2 * 3 * pass, 2 * 4 * pass]);
    }
  }));

test.run();
