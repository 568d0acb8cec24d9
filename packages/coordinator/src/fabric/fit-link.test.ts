import type { LinkCost } from '@longscan/worker';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { fitLink, type TimedMessage } from './fit-link.js';

const sizes = [8, 64, 512, 4096, 32_768, 262_144, 2_097_152, 16_777_216];

/** What a link would take; `noise` changes each time by a factor. */
function timesOf({ latencyS, gapS, bandwidthBytesPerS }: LinkCost, noise: (i: number) => number = () => 1) {
  const time = (seconds: (bytes: number) => number, first: number): TimedMessage[] =>
    sizes.map((bytes, i) => ({ bytes, seconds: seconds(bytes) * noise(first + i) }));
  return [
    time((bytes) => latencyS + bytes / bandwidthBytesPerS, 0),
    time((bytes) => Math.max(gapS, bytes / bandwidthBytesPerS), sizes.length),
  ] as const;
}

function isNear(found: number, expected: number, relative: number): void {
  assert.ok(Math.abs(found / expected - 1) <= relative, `${found} is not ${expected}`);
}

for (const link of [
  { latencyS: 10e-6, gapS: 2e-6, bandwidthBytesPerS: 3e9 },
  { latencyS: 10e-6, gapS: 50e-6, bandwidthBytesPerS: 3e9 },
  { latencyS: 1e-3, gapS: 1e-9, bandwidthBytesPerS: 1e7 },
  { latencyS: 12e-6, gapS: 5e-6, bandwidthBytesPerS: 370e9 },
  // A gap longer than any of these messages takes: the bandwidth comes from lone ones alone.
  { latencyS: 10e-6, gapS: 1, bandwidthBytesPerS: 3e9 },
]) {
  test(`fit ~> exact times give the parameters back: ${JSON.stringify(link)}`, () => {
    const fitted = fitLink(...timesOf(link))!;
    isNear(fitted.link.latencyS, link.latencyS, 1e-9);
    // Where the smallest message already takes longer than the gap, nothing shows more than that.
    isNear(fitted.link.gapS, Math.max(link.gapS, sizes[0]! / link.bandwidthBytesPerS), 1e-9);
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
  const fitted = fitLink(...timesOf(link, (i) => (i % 2 === 0 ? 1.1 : 0.9)))!;
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
  const { link } = fitLink(lone, burst)!;
  const errorOf = ({ latencyS, gapS, bandwidthBytesPerS }: LinkCost) =>
    lone.reduce(
      (sum, { bytes, seconds }) => sum + ((latencyS + bytes / bandwidthBytesPerS) / seconds - 1) ** 2,
      0,
    ) +
    burst.reduce(
      (sum, { bytes, seconds }) => sum + (Math.max(gapS, bytes / bandwidthBytesPerS) / seconds - 1) ** 2,
      0,
    );
  for (const key of ['latencyS', 'gapS', 'bandwidthBytesPerS'] as const) {
    for (const factor of [0.99, 1.01])
      assert.ok(errorOf({ ...link, [key]: link[key] * factor }) > errorOf(link), `${key} x ${factor}`);
  }
});

test('fit ~> no link where nothing tells its parameters', () => {
  const one = [{ bytes: 8, seconds: 1e-5 }];
  assert.is(fitLink(one, one), null, 'one size');
  assert.is(fitLink([], []), null);
  const falling = [
    { bytes: 8, seconds: 2e-5 },
    { bytes: 1e6, seconds: 1e-5 },
  ];
  assert.is(fitLink(falling, one), null, 'large messages that are faster than small ones');
});

test.run();
