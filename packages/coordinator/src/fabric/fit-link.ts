import type { LinkCost } from '@longscan/worker';
import { fitErrorsOf } from '../fit-errors.js';
import type { LinkFit } from './fabric-file.js';
import { leastSquares } from './least-squares.js';

/** Time of one message of a size: alone, or one of a run of messages that follow each other. */
export interface TimedMessage {
  readonly bytes: number;
  readonly seconds: number;
}

export interface FittedLink extends LinkFit {
  readonly link: LinkCost;
}

/**
 * What a message takes under a link, as the planner counts a chain of two ranks: alone `latency + bytes / bandwidth`; of a run
 * of n its n-th part, when n - 1 more messages follow the first one `max(gap, bytes / bandwidth)` apart.
 */
export function messageSeconds(
  { latencyS, gapS, bandwidthBytesPerS }: LinkCost,
  bytes: number,
  numMessages = 1,
): number {
  const transferS = bytes / bandwidthBytesPerS;
  return (latencyS + transferS + (numMessages - 1) * Math.max(gapS, transferS)) / numMessages;
}

/**
 * The link that explains lone messages and runs of `runLength` best, by least squares on relative errors. In which runs the gap
 * counts and in which the bandwidth there are as many possibilities as sizes: each is a linear problem, and the best of all is
 * the optimum. Where runs show no gap at all, since a lone message has to wake its receiver and those behind it do not, the gap
 * is what the smallest of them needs by bandwidth. Null where no link with parameters above zero explains them: too few sizes, or
 * too much noise.
 */
export function fitLink(
  lone: readonly TimedMessage[],
  runs: readonly TimedMessage[],
  runLength: number,
): FittedLink | null {
  const inOrder = [...runs].sort((a, b) => a.bytes - b.bytes);
  const loneRows = lone.map(({ bytes, seconds }) => [1 / seconds, bytes / seconds]);
  const fits: FittedLink[] = [];
  // Of the smallest messages at least it is the gap that counts: otherwise nothing tells it.
  for (let numByGap = 1; numByGap <= inOrder.length; numByGap++) {
    const parameters = leastSquares([
      ...loneRows.map(([first, rest]) => [first!, 0, rest!]),
      ...inOrder.map(({ bytes, seconds }, i) => {
        const [first, rest] = [1 / (runLength * seconds), (runLength - 1) / (runLength * seconds)];
        return i < numByGap ? [first, rest, bytes * first] : [first, 0, bytes / seconds];
      }),
    ]);
    if (parameters === null || parameters.some((value) => !(value > 0))) continue;
    const [latencyS, gapS, secondsPerByte] = parameters as [number, number, number];
    fits.push(
      withResiduals({ latencyS, gapS, bandwidthBytesPerS: 1 / secondsPerByte }, lone, inOrder, runLength),
    );
  }
  if (fits.length === 0 && inOrder.length > 0) {
    const runRows = inOrder.map(({ bytes, seconds }) => [1 / (runLength * seconds), bytes / seconds]);
    const [latencyS = 0, secondsPerByte = 0] = leastSquares([...loneRows, ...runRows]) ?? [];
    if (latencyS > 0 && secondsPerByte > 0 && new Set(lone.map(({ bytes }) => bytes)).size > 1) {
      const link = {
        latencyS,
        gapS: inOrder[0]!.bytes * secondsPerByte,
        bandwidthBytesPerS: 1 / secondsPerByte,
      };
      return withResiduals(link, lone, inOrder, runLength);
    }
  }
  const squares = fits.map(({ residuals }) =>
    residuals.reduce((sum, one) => sum + one.relativeError ** 2, 0),
  );
  return fits[squares.indexOf(Math.min(...squares))] ?? null;
}

function withResiduals(
  link: LinkCost,
  lone: readonly TimedMessage[],
  runs: readonly TimedMessage[],
  runLength: number,
): FittedLink {
  const residual = (kind: 'latency' | 'gap', { bytes, seconds }: TimedMessage, numMessages: number) => {
    const fittedS = messageSeconds(link, bytes, numMessages);
    return { kind, bytes, measuredS: seconds, fittedS, relativeError: fittedS / seconds - 1 };
  };
  const residuals = [
    ...lone.map((one) => residual('latency', one, 1)),
    ...runs.map((one) => residual('gap', one, runLength)),
  ];
  return { link, residuals, ...fitErrorsOf(residuals) };
}
