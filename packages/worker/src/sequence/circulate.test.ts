import { Device, empty, openShapeDevice, type Tensor } from '@longscan/kernels';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import ringAttention from '../attention-strategies/ring-attention.js';
import { slicesOf } from './slice-group.js';

/** What is enqueued on rank 1 of 3 in the two passes of ring attention over a window, in order. */
function journalOf(): { forward: readonly string[]; backward: readonly string[] } {
  const journal: string[] = [];
  const native = new Proxy(openShapeDevice().native, {
    get(target, name) {
      const original = Reflect.get(target, name) as (...args: unknown[]) => unknown;
      return (...args: unknown[]) => {
        if (/^attention|^streamWait$/.test(String(name))) journal.push(String(name));
        return original(...args);
      };
    },
  });
  const device = new Device('shape', native, native.contextCreate(1, false, false, false));
  const communicator = {
    rank: 1,
    stream: device.createStream('sp'),
    exchange: () => journal.push('exchange'),
  };
  const leaf = (heads: number): Tensor => {
    const tensor = empty(device, [1, 4, heads, 8]);
    tensor.requiresGrad = true;
    tensor.gradient = empty(device, tensor.shape);
    return tensor;
  };
  const inputs = { q: leaf(2), k: leaf(2), v: leaf(2) };
  const group = { communicator, slices: slicesOf([4, 4, 4]) };
  const { result, tape } = device.record(() =>
    device.scope(() => ringAttention.attend(inputs, { window: 3 }, { group, positions: null })),
  );
  const forward = journal.splice(0);
  tape.backward([result], [empty(device, result.shape)]);
  return { forward, backward: journal };
}

test('blocks are under way while the block before is attended', () => {
  const { forward } = journalOf();
  // The own block leaves when it is there; compute waits for the next one only after its own.
  assert.equal(forward, ['streamWait', 'exchange', 'attentionForward', 'streamWait', 'attentionForward']);
});

test('gradients of a block are under way while those of the next are computed', () => {
  const { backward } = journalOf();
  const [first, second] = backward.flatMap((call, i) => (call === 'attentionBackward' ? [i] : []));
  const between = backward.slice(first! + 1, second);
  assert.equal(backward.slice(0, first), ['streamWait', 'exchange']);
  // Communication waits for the gradients; compute waits for the next block alone.
  assert.equal(between, ['streamWait', 'exchange', 'streamWait']);
});

test.run();
