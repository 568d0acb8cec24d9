import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { textOf } from '../testing/documents.js';
import { maskedBatch } from './masked-batch.js';
import { Masking } from './masking.js';
import { numLabels, type Window } from './window.js';

const [maskToken, T] = [40, 96];
const text = textOf([1, 13, 30, 1, 20, 31, 64]);
const masking = new Masking(3, 0.3);
const whole = masking.hide({ start: 0, numTokens: T }, 5, 2);

interface Cut {
  readonly lengths: readonly number[];
  readonly packing?: boolean;
  readonly paddedLength?: number;
}

/** What the ranks that a sequence is cut over get of it, put together. */
function assemble(window: Window, { lengths, packing = false, paddedLength = T }: Cut) {
  let start = 0;
  const batches = lengths.map((length) => {
    const slice = { start, length, numTokens: length };
    start += length;
    const options = { text, windows: [window], slice, vocabSize: maskToken, packing, paddedLength };
    return maskedBatch({ ...options, numValidTokens: numLabels(text, window) });
  });
  const join = (of: (batch: (typeof batches)[number]) => Int32Array | null | undefined) =>
    batches.flatMap((batch) => [...(of(batch) ?? [])]);
  return {
    tokens: join(({ tokens }) => tokens),
    labels: join(({ labels }) => labels),
    resets: join(({ resets }) => resets),
    ends: join(({ ends }) => ends),
    openTokens: batches.map(({ openTokens }) => openTokens?.[0] ?? null),
    laterTokens: batches.map(({ laterTokens }) => laterTokens?.[0] ?? null),
    numValidTokens: batches[0]!.numValidTokens,
  };
}

test('masking ~> a hidden token is the mask and its own label, others have none', () => {
  const { tokens, labels, resets, numValidTokens } = assemble(whole, { lengths: [T] });
  const plain = [...text.read(0, T)];
  for (const [t, label] of labels.entries()) {
    if (label === -1) assert.is(tokens[t], plain[t]);
    else assert.equal([tokens[t], label], [maskToken, plain[t]]);
  }
  assert.is(numValidTokens, labels.filter((label) => label !== -1).length);
  assert.equal(resets, [], 'one document without padding has no boundaries');
});

test('masking ~> every cut of the ranks hides the same tokens, and sees the same boundaries', () => {
  for (const packing of [false, true]) {
    const expected = assemble(whole, { lengths: [T], packing });
    for (const lengths of [[48, 48], [32, 32, 32], new Array<number>(T).fill(1)]) {
      const found = assemble(whole, { lengths, packing });
      for (const key of ['tokens', 'labels', 'resets', 'ends', 'numValidTokens'] as const) {
        assert.equal(found[key], expected[key], `${key}, slices of ${lengths}`);
      }
    }
  }
});

test('masking ~> another step, sequence or seed hides other tokens; at the rate that was asked for', () => {
  const hidden = (masks: Masking, step: number, sequence: number, numTokens = T): string => {
    const { isHidden } = masks.hide({ start: 0, numTokens }, step, sequence);
    return Array.from({ length: numTokens }, (_, t) => Number(isHidden!(t))).join('');
  };
  const one = hidden(masking, 5, 2);
  assert.is(hidden(new Masking(3, 0.3), 5, 2), one);
  for (const other of [hidden(masking, 6, 2), hidden(masking, 5, 3), hidden(new Masking(4, 0.3), 5, 2)]) {
    const numCommon = [...other].filter((bit, i) => bit === one[i]).length;
    assert.ok(numCommon < 0.8 * T, `${numCommon} of ${T} alike`);
  }
  for (const rate of [0.05, 0.15, 0.9]) {
    const count = [...hidden(new Masking(1, rate), 0, 0, 20_000)].filter((bit) => bit === '1').length;
    // Four standard deviations of a binomial.
    const deviation = Math.sqrt(20_000 * rate * (1 - rate));
    assert.ok(Math.abs(count - 20_000 * rate) < 4 * deviation, `${count} of 20,000 at rate ${rate}`);
  }
});

test('masking ~> documents start and end where the text has them; padding is one more', () => {
  const window = masking.hide({ start: 1, numTokens: 50 }, 0, 0);
  const packed = assemble(window, { lengths: [20, 20, 20, 20, 16], packing: true });
  const places = (flags: readonly number[]) => flags.flatMap((flag, t) => (flag === 1 ? [t] : []));
  assert.equal(places(packed.resets), [0, 13, 43, 44, 50]);
  assert.equal(places(packed.ends), [12, 42, 43, 49]);
  assert.equal(packed.openTokens, [0, 7, 27, 10, 30]);
  assert.equal(packed.laterTokens, [23, 3, 36, 16, 0]);
  assert.ok(packed.labels.slice(50).every((label) => label === -1));
  const single = assemble(window, { lengths: [48, 48] });
  assert.equal([places(single.resets), places(single.ends)], [[50], [49]]);
  assert.equal(
    [single.openTokens, single.laterTokens],
    [
      [0, 48],
      [2, 0],
    ],
  );
});

test.run();
