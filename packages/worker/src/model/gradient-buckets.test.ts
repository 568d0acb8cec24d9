import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { planBuckets } from './gradient-buckets.js';
import type { ParameterPlace } from './parameter-layout.js';

const beforeAll = -1;

/** Parameters of so many elements each, one after the other; `block` null: it belongs to none. */
function placesOf(...sizes: readonly (readonly [size: number, block: number | null, isShared?: true])[]) {
  let offset = 0;
  return sizes.map(([size, block, isSharedInParts = false], i): ParameterPlace => {
    const place = {
      ...{ name: `p${i}`, shape: [size], init: { constant: 0 }, offset, isSharedInParts },
      ...(block !== null && { block }),
    };
    offset += size;
    return place;
  });
}

const cut = (places: readonly ParameterPlace[], least: number, multiple = 16, total = sizeOf(places)) =>
  planBuckets(places, { total, least, multiple, beforeAll }).map(({ begin, end, finalAfter }) => [
    begin,
    end,
    finalAfter,
  ]);

function sizeOf(places: readonly ParameterPlace[]): number {
  const { offset, shape } = places.at(-1)!;
  return offset + shape[0]!;
}

/** Embedding, three blocks, head. */
const model = placesOf([64, null], [32, 0], [32, 0], [64, 1], [64, 2], [96, 3]);

test('buckets ~> from the end of the buffers, each final with the block where it begins, the last with the whole pass', () => {
  assert.equal(cut(model, 1), [
    [256, 352, 3],
    [192, 256, 2],
    [128, 192, 1],
    [64, 128, 0],
    [0, 64, beforeAll],
  ]);
  assert.equal(cut(model, 100), [
    [192, 352, 2],
    [64, 192, 0],
    [0, 64, beforeAll],
  ]);
});

test('buckets ~> one for all where they are smaller than a bucket has to be', () => {
  for (const least of [353, Number.POSITIVE_INFINITY]) assert.equal(cut(model, least), [[0, 352, beforeAll]]);
});

test('buckets ~> no cut where what comes before is final no later', () => {
  // Under bf16 what is not rounded lies in front of the embedding.
  const rounded = placesOf([16, 0], [16, 1], [16, 2], [64, null], [64, 0], [64, 1]);
  assert.equal(cut(rounded, 1), [
    [176, 240, 1],
    [112, 176, 0],
    [0, 112, beforeAll],
  ]);
});

test('buckets ~> what is also seen in parts is final with the whole pass', () => {
  assert.equal(cut(placesOf([64, 0], [64, 1, true], [64, 2]), 1), [
    [128, 192, 2],
    [0, 128, beforeAll],
  ]);
});

test('buckets ~> each can be cut into the parts of shards, and together they are everything once', () => {
  const multiple = 3 * 16;
  const total = Math.ceil(sizeOf(model) / multiple) * multiple;
  for (const least of [1, 60, 100, 200, 1000]) {
    const buckets = planBuckets(model, { total, least, multiple, beforeAll });
    let end = total;
    for (const bucket of buckets) {
      assert.is(bucket.end, end);
      assert.is((bucket.end - bucket.begin) % multiple, 0);
      assert.ok(bucket.end > bucket.begin);
      end = bucket.begin;
      for (const { block = beforeAll, offset, shape } of model) {
        const isIn = offset < bucket.end && offset + shape[0]! > bucket.begin;
        if (isIn) assert.ok(block >= bucket.finalAfter, 'a parameter of a later block than its bucket says');
      }
    }
    assert.is(end, 0);
  }
});

test.run();
