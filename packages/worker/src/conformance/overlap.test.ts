import {
  Device,
  empty,
  fromArray,
  gatedLinear,
  linear,
  openShapeDevice,
  reshape,
  type Tensor,
  zeros,
} from '@longscan/kernels';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { recurrence } from '../sequence/recurrence.js';
import type { SequenceGroup } from '../sequence/sequence-group.js';
import { defineStrategy } from '../strategy.js';

/** The order in which native functions, and start and wait of a scan, are called. */
type Journal = string[];

function journalingDevice(journal: Journal): Device {
  const native = new Proxy(openShapeDevice().native, {
    get(target, name) {
      const original = Reflect.get(target, name) as (...args: unknown[]) => unknown;
      return (...args: unknown[]) => {
        journal.push(String(name));
        return original(...args);
      };
    },
  });
  return new Device('shape', native, native.contextCreate(1, false, false, false));
}

function journalingGroup(journal: Journal): SequenceGroup {
  const strategy = defineStrategy({
    name: 'journal',
    paper: '',
    cost: () => ({ seconds: 0, bytesSentByRank: [0] }),
    start(_local, _group, direction) {
      journal.push(`start ${direction}`);
      return {
        wait() {
          journal.push(`wait ${direction}`);
          return null;
        },
      };
    },
  });
  // The strategy above is the only one who would use a communicator.
  return { communicator: null as never, strategy, options: { blocks: 1 }, slices: [] };
}

const [B, T, H, K] = [1, 8, 2, 4] as const;
const D = H * K;

function parameter(device: Device, shape: readonly number[]): Tensor {
  const tensor = fromArray(device, new Float32Array(D * D), shape);
  tensor.requiresGrad = true;
  tensor.gradient = zeros(device, shape);
  return tensor;
}

/** The calls between start and wait of the scan in one direction. */
function during(journal: Journal, direction: string): string[] {
  const [start, wait] = [journal.indexOf(`start ${direction}`), journal.indexOf(`wait ${direction}`)];
  assert.ok(start >= 0 && wait > start, journal.join(' '));
  return journal.slice(start + 1, wait);
}

test('while a scan is under way, compute has what does not need its result', () => {
  const journal: Journal = [];
  const device = journalingDevice(journal);
  const group = journalingGroup(journal);
  const [wIn, wGate, wOut] = [
    parameter(device, [D, D]),
    parameter(device, [D, D]),
    parameter(device, [D, D]),
  ];
  const x = empty(device, [B, T, D]);
  const { result, tape } = device.record(() =>
    device.scope(() => {
      const q = reshape(linear({ x, weight: wIn, bias: null }), [B, T, H, K]);
      const meanwhile = () => void linear({ x, weight: wGate, bias: null });
      const inputs = { q, k: q, v: q, g: null };
      const y = recurrence(gatedLinear('identity'), inputs, { group, resets: null, meanwhile });
      return linear({ x: reshape(y, [B, T, D]), weight: wOut, bias: null });
    }),
  );
  tape.backward([result], [empty(device, [B, T, D])]);

  assert.ok(during(journal, 'forward').includes('linearForward'), 'forward: the work given as meanwhile');
  const reverse = during(journal, 'reverse');
  assert.ok(reverse.includes('gatedLinearSweep'), 'backward: the gradient that needs no adjoint');
  assert.ok(reverse.includes('linearWeightGradient'), 'backward: the weight gradients put off until then');
  const before = journal.slice(0, journal.indexOf('start reverse'));
  assert.not(before.includes('linearWeightGradient'), 'a weight gradient holds up the scan');
});

test.run();
