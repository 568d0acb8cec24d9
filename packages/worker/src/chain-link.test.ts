import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { chainSeconds, messageChainSeconds } from './chain.js';
import { mappedChain, mappedChainSeconds, mappedOn } from './chain-link.js';
import type { ScannedState } from './schedule/record-scan.js';
import { recordStrategyScan } from './schedule/record-scan.js';
import ring from './sp/ring.js';

const MiB = 2 ** 20;
/** Of heads of 128 x 128. */
const state = (bytes: number) => ({ state: bytes, rows: bytes / 512 });
const link = { launchS: 1000, latencyS: 100, bandwidthBytesPerS: MiB / 4 };
const near = (found: number, expected: number) =>
  assert.ok(Math.abs(found / expected - 1) < 1e-12, `${found} is not ${expected}`);

test('time ~> all launch at once, the first blocks cross every link, the others follow by their bytes', () => {
  const seconds = (bytes: number, worldSize: number) =>
    mappedChainSeconds(worldSize, mappedChain(state(bytes))!, link);
  assert.is(seconds(MiB, 1), 0);
  near(seconds(MiB, 2), 1000 + (100 + 2) + 2);
  near(seconds(MiB, 5), 1000 + 4 * (100 + 2) + 2);
  near(seconds(4 * MiB, 2), 1000 + (100 + 4) + 3 * 4);
  near(seconds(512, 3), 1000 + 2 * (100 + 512 / (MiB / 4)));
});

test('time ~> a dense M is applied by ranks that neither begin nor end a chain', () => {
  const chain = mappedChain({ ...state(MiB), kind: 'dense' })!;
  assert.equal(chain.blocks, [MiB], '32 lanes');
  assert.is(MiB * chain.flopsPerByte, 2 * (MiB / 4) * 128);
  const dense = { ...link, denseFlopsPerS: (MiB * chain.flopsPerByte) / 50 };
  near(mappedChainSeconds(2, chain, dense), 1000 + (100 + 4));
  near(mappedChainSeconds(4, chain, dense), 1000 + 3 * (100 + 4) + 2 * 50);
  near(mappedChainSeconds(4, chain, link), 1000 + 3 * (100 + 4));
  assert.is(mappedChain(state(MiB))!.flopsPerByte, 0);
});

test('blocks ~> of all lanes together, what is left in the last one; a larger state takes no less', () => {
  assert.equal(mappedChain(state(MiB + 512))!.blocks, [MiB / 2, MiB / 2, 512]);
  assert.equal(mappedChain({ state: 4 * 50 * 5000, rows: 50 })!.blocks, [320_000, 320_000, 320_000, 40_000]);
  for (const kind of ['identity', 'dense'] as const) {
    let before = 0;
    for (let rows = 1; rows < 9000; rows += 7) {
      const chain = mappedChain({ state: 512 * rows, rows, kind })!;
      assert.is(
        chain.blocks.reduce((sum, bytes) => sum + bytes, 0),
        512 * rows,
      );
      assert.ok(chain.blocks.every((bytes) => bytes > 0));
      const seconds = mappedChainSeconds(8, chain, { ...link, denseFlopsPerS: 1e9 });
      assert.ok(seconds >= before, `${rows} rows, ${kind}: ${seconds} after ${before}`);
      before = seconds;
    }
  }
});

test('carrier ~> messages without a link, unit by unit, and for rows that are longer than a block', () => {
  const fabric = { latencyS: 1, gapS: 1, bandwidthBytesPerS: MiB };
  const mapped = { ...fabric, chains: link };
  const long = { state: 4 * 3 * 8193, rows: 3 };
  assert.is(mappedOn(state(MiB), fabric), null);
  assert.is(mappedOn({ ...state(MiB), units: 2 }, mapped), null);
  assert.is(mappedOn(long, mapped), null);
  assert.is(mappedOn({ ...state(MiB), units: 1 }, mapped)?.link, link);
  const bytes = { ...long, transition: 0 };
  assert.is(chainSeconds(3, bytes, 2, mapped), messageChainSeconds(3, long.state, 2, mapped));
  assert.is(
    chainSeconds(3, { ...state(MiB), transition: 0 }, 2, mapped),
    mappedChainSeconds(3, mappedChain(state(MiB))!, link),
  );
});

test('ring ~> what ranks enqueue is what the carrier says', () => {
  const kinds = (scanned: ScannedState, options: object) =>
    recordStrategyScan(ring, scanned, 3, { blocks: 1 }, options).map(({ entries }) =>
      entries.flatMap(({ kind }) => (kind === 'chain' || kind === 'exchange' ? [kind] : [])),
    );
  const square: ScannedState = { kind: 'identity', stateBytes: MiB, stateRows: 2048, transitionBytes: 0 };
  const long: ScannedState = { ...square, stateBytes: 4 * 3 * 8193, stateRows: 3 };
  const isMapped = true;
  assert.equal(kinds(square, { isMapped }), [['chain'], ['chain'], ['chain']]);
  for (const messages of [
    kinds(square, {}),
    kinds(long, { isMapped }),
    kinds(square, { isMapped, units: 2 }),
  ])
    assert.equal(messages, [['exchange'], ['exchange', 'exchange'], ['exchange']]);
});

test('ring ~> a chain is noted with what it is cut by, up and down the ranks', () => {
  const dense: ScannedState = { kind: 'dense', stateBytes: MiB, stateRows: 2048, transitionBytes: MiB };
  for (const [direction, step] of [
    ['forward', 1],
    ['reverse', -1],
  ] as const) {
    for (const { streams, entries } of recordStrategyScan(
      ring,
      dense,
      2,
      { blocks: 1 },
      { direction, isMapped: true },
    )) {
      const chain = entries.find(({ kind }) => kind === 'chain');
      assert.equal(chain, {
        ...{ kind: 'chain', stream: streams.indexOf('sp'), group: 'sp', step },
        ...{ bytes: MiB, rows: 2048, isDense: true },
      });
    }
  }
});

test.run();
