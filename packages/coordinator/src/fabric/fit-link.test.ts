import { type LinkCost, messageChainSeconds } from '@longscan/worker';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { fitLink, messageSeconds, type TimedMessage } from './fit-link.js';
import { leastSquares } from './least-squares.js';

const sizes = [8, 64, 512, 4096, 32_768, 262_144, 2_097_152, 16_777_216];

const runLength = 16;

/** What a link would take; `noise` changes each time by a factor. */
function timesOf(link: LinkCost, noise: (i: number) => number = () => 1) {
  const times = (numMessages: number, first: number): TimedMessage[] =>
    sizes.map((bytes, i) => ({
      bytes,
      seconds: messageSeconds(link, bytes, numMessages) * noise(first + i),
    }));
  return [times(1, 0), times(runLength, sizes.length)] as const;
}

function isNear(found: number, expected: number, relative: number): void {
  assert.ok(Math.abs(found / expected - 1) <= relative, `${found} is not ${expected}`);
}

for (const link of [
  { latencyS: 10e-6, gapS: 2e-6, bandwidthBytesPerS: 3e9 },
  { latencyS: 10e-6, gapS: 50e-6, bandwidthBytesPerS: 3e9 },
  { latencyS: 1e-3, gapS: 2e-6, bandwidthBytesPerS: 1e7 },
  { latencyS: 12e-6, gapS: 5e-6, bandwidthBytesPerS: 370e9 },
  // A gap longer than any of these messages takes: the bandwidth comes from lone ones.
  { latencyS: 10e-6, gapS: 1, bandwidthBytesPerS: 3e9 },
]) {
  test(`fit ~> exact times give the parameters back: ${JSON.stringify(link)}`, () => {
    const fitted = fitLink(...timesOf(link), runLength)!;
    isNear(fitted.link.latencyS, link.latencyS, 1e-9);
    isNear(fitted.link.gapS, link.gapS, 1e-9);
    isNear(fitted.link.bandwidthBytesPerS, link.bandwidthBytesPerS, 1e-9);
    assert.ok(fitted.worstRelativeError < 1e-9);
    assert.equal(
      fitted.residuals.map(({ kind, bytes }) => [kind, bytes]),
      [...sizes.map((bytes) => ['latency', bytes]), ...sizes.map((bytes) => ['gap', bytes])],
    );
  });
}

test('fit ~> noise shows in the residuals, and moves the parameters by no more than itself', () => {
  const link = { latencyS: 10e-6, gapS: 4e-6, bandwidthBytesPerS: 3e9 };
  const fitted = fitLink(...timesOf(link, (i) => (i % 2 === 0 ? 1.1 : 0.9)), runLength)!;
  isNear(fitted.link.latencyS, link.latencyS, 0.1);
  isNear(fitted.link.gapS, link.gapS, 0.1);
  isNear(fitted.link.bandwidthBytesPerS, link.bandwidthBytesPerS, 0.1);
  assert.ok(fitted.meanRelativeError > 0.05 && fitted.meanRelativeError <= fitted.worstRelativeError);
  assert.ok(fitted.worstRelativeError < 0.25);
  for (const { measuredS, fittedS, relativeError } of fitted.residuals)
    isNear(fittedS, measuredS * (1 + relativeError), 1e-12);
});

test('fit ~> every part of a second parameter counts: no other link near it explains noisy times better', () => {
  const [lone, burst] = timesOf(
    { latencyS: 10e-6, gapS: 20e-6, bandwidthBytesPerS: 1e9 },
    (i) => 1 + ((7 * i) % 5) / 20,
  );
  const { link } = fitLink(lone, burst, runLength)!;
  const errorOf = (other: LinkCost) =>
    lone.reduce((sum, { bytes, seconds }) => sum + (messageSeconds(other, bytes) / seconds - 1) ** 2, 0) +
    burst.reduce(
      (sum, { bytes, seconds }) => sum + (messageSeconds(other, bytes, runLength) / seconds - 1) ** 2,
      0,
    );
  for (const key of ['latencyS', 'gapS', 'bandwidthBytesPerS'] as const) {
    for (const factor of [0.99, 1.01])
      assert.ok(errorOf({ ...link, [key]: link[key] * factor }) > errorOf(link), `${key} x ${factor}`);
  }
});

test('fit ~> runs that show no gap: lone messages find a thread asleep, those of a run one that is awake', () => {
  const link = { latencyS: 300e-6, gapS: 1e-9, bandwidthBytesPerS: 3e9 };
  const [lone, runs] = timesOf(link);
  // Faster than a sixteenth of a lone message.
  const awake = runs.map(({ bytes, seconds }) => ({ bytes, seconds: bytes < 1e6 ? seconds / 1.5 : seconds }));
  const fitted = fitLink(lone, awake, runLength)!;
  isNear(fitted.link.latencyS, link.latencyS, 0.3);
  isNear(fitted.link.bandwidthBytesPerS, link.bandwidthBytesPerS, 0.2);
  isNear(fitted.link.gapS, 8 / fitted.link.bandwidthBytesPerS, 1e-9);
  assert.is(fitted.residuals.length, 2 * sizes.length);
});

test('fit ~> no link where nothing tells its parameters', () => {
  const one = [{ bytes: 8, seconds: 1e-5 }];
  assert.is(fitLink(one, one, runLength), null, 'one size');
  assert.is(fitLink([], [], runLength), null);
  const falling = [
    { bytes: 8, seconds: 2e-5 },
    { bytes: 1e6, seconds: 1e-5 },
  ];
  assert.is(fitLink(falling, one, runLength), null, 'large messages that are faster than small ones');
});

test('fit ~> a run is a chain of two ranks', () => {
  const link = { latencyS: 10, gapS: 3, bandwidthBytesPerS: 1 };
  assert.is(messageSeconds(link, 2), 12);
  assert.is(5 * messageSeconds(link, 2, 5), 10 + 2 + 4 * 3);
  assert.is(5 * messageSeconds(link, 4, 5), 10 + 4 + 4 * 4);
  for (const bytes of [2, 4])
    assert.is(5 * messageSeconds(link, bytes, 5), messageChainSeconds(2, 5 * bytes, 5, link));
});

test('least squares ~> exact systems, and none where a column is no news', () => {
  const x = [2, 1e-9, 5e4];
  const rows = [
    [1, 2e9, 1e-5],
    [0, 3e8, 4e-6],
    [7, 0, -1e-5],
    [1, 1e9, 0],
  ].map((row) => row.map((value) => value / row.reduce((sum, one, i) => sum + one * x[i]!, 0)));
  for (const [i, value] of leastSquares(rows)!.entries()) isNear(value, x[i]!, 1e-9);
  assert.is(leastSquares(rows.map(([a, b]) => [a!, b!, a! + b!])), null);
  assert.is(leastSquares(rows.map(([a, b]) => [a!, b!, 0])), null);
});

test.run();
