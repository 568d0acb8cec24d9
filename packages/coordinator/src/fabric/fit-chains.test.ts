import { type ChainLinkCost, mappedChain, mappedChainSeconds } from '@longscan/worker';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { chainRunSeconds, fitChains, type TimedChain } from './fit-chains.js';

const link: ChainLinkCost = { launchS: 18e-6, latencyS: 4e-6, bandwidthBytesPerS: 174e9 };
const sizes = [512, 64 * 2 ** 10, 2 ** 20, 4 * 2 ** 20];

/** What chains would take, alone and in runs of 16; `noise` changes each by a factor. */
function timesOf(
  cost: ChainLinkCost,
  {
    numRanks = 2,
    isDense = false,
    noise = () => 1,
  }: { numRanks?: number; isDense?: boolean; noise?: (i: number) => number } = {},
): TimedChain[] {
  return [1, 16].flatMap((runLength, run) =>
    sizes.map((bytes, i) => {
      const what = { bytes, rows: bytes / 512, isDense, numRanks, runLength };
      return { ...what, seconds: chainRunSeconds(what, cost) * noise(run * sizes.length + i) };
    }),
  );
}

const near = (found: number, expected: number, relative: number, what = '') =>
  assert.ok(Math.abs(found / expected - 1) <= relative, `${what} ${found} is not ${expected}`);

for (const numRanks of [2, 3, 8]) {
  for (const isDense of [false, true]) {
    test(`fit ~> exact times give the parameters back: ${numRanks} ranks, ${isDense ? 'dense' : 'not dense'}`, () => {
      const cost = { ...link, denseFlopsPerS: 1e12 };
      const fitted = fitChains(timesOf(cost, { numRanks, isDense }))!;
      for (const key of ['launchS', 'latencyS', 'bandwidthBytesPerS'] as const)
        near(fitted.link[key], cost[key], 1e-6, key);
      // Two ranks apply no M.
      const isTold = isDense && numRanks > 2;
      assert.is(fitted.link.denseFlopsPerS !== undefined, isTold);
      if (isTold) near(fitted.link.denseFlopsPerS!, 1e12, 1e-6);
      assert.ok(fitted.worstRelativeError < 1e-6);
      assert.equal(
        fitted.residuals.map(({ kind, bytes }) => [kind, bytes]),
        ['chain', 'chain-run'].flatMap((kind) => sizes.map((bytes) => [kind, bytes])),
      );
    });
  }
}

test('fit ~> noise shows in the residuals, and no parameter is below zero for it', () => {
  for (const sign of [1, -1]) {
    const noise = (i: number) => 1 + sign * (i < sizes.length ? 0.15 : -0.15);
    const fitted = fitChains(timesOf({ ...link, latencyS: 1e-6 }, { noise }))!;
    for (const value of Object.values(fitted.link)) assert.ok(value >= 0, JSON.stringify(fitted.link));
    assert.ok(fitted.worstRelativeError > 0.01 && fitted.worstRelativeError < 0.5);
    assert.ok(fitted.meanRelativeError <= fitted.worstRelativeError);
  }
});

test('fit ~> no link where times tell no bandwidth, or nothing else, and none of nothing', () => {
  assert.is(fitChains([]), null);
  const falling = timesOf(link).map((one, i) => ({ ...one, seconds: (20 - (i % sizes.length)) * 1e-6 }));
  assert.is(fitChains(falling), null, 'large states that are faster than small ones');
  const rising = timesOf(link)
    .filter(({ runLength }) => runLength === 1)
    .map((one) => ({ ...one, seconds: 1e-12 * one.bytes ** 1.2 }));
  assert.is(fitChains(rising), null, 'times that say that a small state takes none');
});

test('a run ~> one chain, and then a launch for each further one, or its bytes where they take longer', () => {
  const chain = mappedChain({ state: 2 ** 20, rows: 2048 })!;
  const what = { bytes: 2 ** 20, rows: 2048, isDense: false, numRanks: 4 };
  near(chainRunSeconds({ ...what, runLength: 1 }, link), mappedChainSeconds(4, chain, link), 1e-12);
  near(
    5 * chainRunSeconds({ ...what, runLength: 5 }, link),
    mappedChainSeconds(4, chain, link) + 4 * 18e-6,
    1e-12,
  );
  const slow = { ...link, bandwidthBytesPerS: 10e9 };
  near(
    5 * chainRunSeconds({ ...what, runLength: 5 }, slow),
    mappedChainSeconds(4, chain, slow) + (4 * 2 ** 20) / 10e9,
    1e-12,
  );
});

test.run();
