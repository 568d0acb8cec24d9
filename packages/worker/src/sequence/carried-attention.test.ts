import { fromArray, openCpuDevice, type Tensor } from '@longscan/kernels';
import { expectClose, randomNormal, tolerances } from '@longscan/kernels/testing';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import type { SequenceAttentionOptions } from './attend-alone.js';
import { sequenceAttention } from './attention.js';
import { carriedAttention, type KeyValueCache } from './carried-attention.js';

const [B, T, H, G, K] = [2, 40, 2, 1, 4];
const pieces = [3, 17, 1, 1, 11, 7];

const cases: readonly (readonly [SequenceAttentionOptions, (numTokens: number) => number])[] = [
  [{}, (numTokens) => numTokens],
  [{ window: 6 }, (numTokens) => Math.min(5, numTokens)],
  [{ window: 1 }, () => 0],
  [{ chunk: 4 }, (numTokens) => Math.floor(numTokens / 4)],
];

for (const [options, rowsKept] of cases) {
  test(`carried attention ${JSON.stringify(options)} ~> keeps what later tokens can see, and gives the same`, async () => {
    const device = openCpuDevice({ poison: true });
    const widths = { q: H * K, k: G * K, v: G * K };
    const host = Object.fromEntries(
      Object.entries(widths).map(([name, width], i) => [name, randomNormal(B * T * width, i + 1)]),
    );
    /** Tokens [begin, begin + length) of every sequence. */
    const cut = (name: keyof typeof widths, begin: number, length: number): Tensor => {
      const width = widths[name];
      const rows = Array.from({ length: B }, (_, b) =>
        host[name]!.subarray((b * T + begin) * width, (b * T + begin + length) * width),
      );
      return fromArray(
        device,
        rows.flatMap((row) => [...row]),
        [B, length, width / K, K],
        'f64',
      );
    };
    const inputs = (begin: number, length: number) => ({
      q: cut('q', begin, length),
      k: cut('k', begin, length),
      v: cut('v', begin, length),
    });
    const whole = await sequenceAttention(inputs(0, T), options, {
      group: null,
      positions: null,
    }).readNumbers();
    let cache: KeyValueCache | null = null;
    let begin = 0;
    for (const length of pieces) {
      const result: ReturnType<typeof carriedAttention> = carriedAttention(
        inputs(begin, length),
        options,
        begin,
        cache,
      );
      const found = await result.output.readNumbers();
      const row = H * K;
      for (let b = 0; b < B; b++) {
        const expected = whole.subarray((b * T + begin) * row, (b * T + begin + length) * row);
        const label = `tokens ${begin} to ${begin + length - 1} of sequence ${b}`;
        expectClose(
          label,
          found.subarray(b * length * row, (b + 1) * length * row),
          expected,
          tolerances.f64,
        );
      }
      begin += length;
      cache = result.cache;
      assert.is(cache?.k.dim(0) ?? 0, rowsKept(begin), `keys kept after ${begin} tokens`);
    }
    device.close();
  });
}

test.run();
