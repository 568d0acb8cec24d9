import { mappedChain, mappedChainSeconds } from '@longscan/worker';
import { burstLength, type CollectiveCase, type CollectivesResult } from '@longscan/worker/protocol';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import type { ComputeCosts } from '../compute/compute-costs.js';
import { fabricFileSchema } from '../fabric/fabric-file.js';
import { chainRunSeconds } from '../fabric/fit-chains.js';
import { messageSeconds } from '../fabric/fit-link.js';
import { loadStrategies } from '../plan/strategies.js';
import { busFactor } from './bandwidth.js';
import { costOf, fitFabric } from './fit-fabric.js';
import { formatCollectives } from './format.js';
import { handOverRow, handOverSeconds } from './hand-over.js';
import { fabricFileOf, measuredRows } from './measured.js';
import { predictionMachine, predictSeconds } from './predict.js';
import { type CollectiveRow, collectiveRows } from './rows.js';

const noScan = {
  ...{ strategy: null, blocks: null, ranksPerNode: null },
  ...{ transition: null, transitionBytes: null, stateRows: null },
} as const;
const message = (op: CollectiveCase['op'], bytes: number, link: CollectiveCase['link'] = 'inside') =>
  ({ op, bytes, link, ...noScan }) as const;
const scan = (strategy: string, bytes: number, blocks = 1, ranksPerNode = 4): CollectiveCase => ({
  ...{ op: 'scan', bytes, link: null, strategy, blocks, ranksPerNode },
  ...{ transition: 'dense', transitionBytes: 64, stateRows: 16 },
});

/** What ranks report: seconds of each sample, null where a rank has none. */
const resultsOf = (cases: readonly [CollectiveCase, ...(number[] | null)[]][]): CollectivesResult[] =>
  cases[0]!.slice(1).map((_, rank) => ({
    cases: cases.map(([what, ...byRank]) => ({
      ...what,
      samplesS: byRank[rank] as number[] | null,
      hostS: [1e-6 * (rank + 1)],
    })),
    machine: { device: 'cpu', level: 'avx2', threads: 1 },
    versions: {},
  }));

test('bandwidths ~> the factors of nccl-tests', () => {
  for (const n of [2, 3, 8]) {
    assert.is(busFactor('all-gather', n), (n - 1) / n);
    assert.is(busFactor('reduce-scatter', n), (n - 1) / n);
    assert.is(busFactor('all-reduce', n), (2 * (n - 1)) / n);
    for (const op of ['send-recv', 'burst', 'scan'] as const) assert.is(busFactor(op, n), 1);
  }
});

test('rows ~> the slowest rank by sample; the time of a message is that of the one rank that has it', () => {
  const gather = { ...message('all-gather', 3000), link: null };
  const [first, second] = collectiveRows(
    resultsOf([
      [gather, [1, 2, 3], [3, 1, 1], [1, 1, 5]],
      [message('burst', 100), null, [4, 2, 3], null],
    ]),
  );
  const { medianS, lowS, highS, algorithmBytesPerS, busBytesPerS, hostS, numRanks, numSamples } = first!;
  assert.equal(
    { medianS, lowS, highS, numRanks, numSamples },
    {
      ...{ medianS: 3, lowS: 2, highS: 5, numRanks: 3, numSamples: 3 },
    },
  );
  assert.is(algorithmBytesPerS, 1000);
  assert.ok(Math.abs(busBytesPerS - 2000 / 3) < 1e-9);
  assert.is(hostS, 2e-6, 'median over the ranks');
  assert.equal([second!.medianS, second!.hostS, second!.busBytesPerS], [3, 2e-6, 100 / 3]);
  assert.is(second!.numErrors, 0);
});

const link = { latencyS: 1e-5, gapS: 5e-6, bandwidthBytesPerS: 1e9 };
const slow = { latencyS: 1e-4, gapS: 2e-5, bandwidthBytesPerS: 1e8 };
const sizes = [8, 1024, 2 ** 20];

/** Exact times of messages over a link, which the first rank has. */
const messagesOver = (kind: 'inside' | 'between', cost: typeof link) =>
  sizes.flatMap((bytes): [CollectiveCase, ...(number[] | null)[]][] => [
    [message('send-recv', bytes, kind), [messageSeconds(cost, bytes)], null, null, null],
    [message('burst', bytes, kind), [messageSeconds(cost, bytes, burstLength)], null, null, null],
  ]);

test('fit of a group ~> links inside and between nodes; the file that is written is one that is read', async () => {
  const results = resultsOf([...messagesOver('inside', link), ...messagesOver('between', slow)]);
  const plan = {
    ranksPerNode: 2,
    jobSpec: { device: { kind: 'cpu', engine: 'tcp' }, parallel: {} },
  } as Parameters<typeof measuredRows>[1];
  const measured = await measuredRows(results, plan);
  const near = (found: typeof link, expected: typeof link) => {
    for (const key of ['latencyS', 'gapS', 'bandwidthBytesPerS'] as const)
      assert.ok(Math.abs(found[key] / expected[key] - 1) < 1e-9, key);
  };
  near(measured.fit!.inside.link, link);
  near(measured.fit!.between!.link, slow);
  for (const { predictedS, medianS } of measured.rows) assert.ok(Math.abs(predictedS! / medianS - 1) < 1e-9);
  const file = fabricFileSchema.parse(JSON.parse(JSON.stringify(fabricFileOf(measured))));
  assert.is(file.nodes?.ranksPerNode, 2);
  assert.is(file.measured?.fit.between?.residuals.length, 6);
  assert.is(file.measured?.points.length, 12);
  assert.is(file.measured?.machine.device, 'cpu');

  const alike = await measuredRows(resultsOf(messagesOver('inside', link)), { ...plan, ranksPerNode: 4 });
  assert.is(alike.fit?.between, null);
  assert.is(fabricFileOf(alike).nodes, undefined);
  const small = await measuredRows(resultsOf(messagesOver('inside', link).slice(0, 2)), plan);
  assert.is(small.fit, null);
  assert.ok(small.rows.every(({ predictedS }) => predictedS === null));
  assert.throws(() => fabricFileOf(small), /error\[E-BENCH-FIT\] --save: .*more --rounds$/);
});

/** Ops that take no time, on devices of their own or on cores that ranks share. */
const costs = (ranksAtOnce: number | null): ComputeCosts => ({
  ...{ name: 'idle', ops: {}, other: { launchS: 0, secondsPerByte: 0, secondsPerFlop: 0 } },
  ...{ ranksAtOnce, slowdown: [1] },
});

async function predictor(ranksAtOnce: number | null) {
  const strategies = await loadStrategies();
  const fabric = costOf(fitFabric(collectiveRows(resultsOf(messagesOver('inside', link))), 4)!);
  const machine = predictionMachine(fabric, 'tcp', costs(ranksAtOnce));
  const rowOf = (what: CollectiveCase, medianS = 1) => ({ ...what, numRanks: 4, medianS }) as CollectiveRow;
  const predict = (what: CollectiveCase, handOverS: number | null = null) =>
    predictSeconds(rowOf(what), machine, strategies, handOverS)!;
  return { strategies, machine, rowOf, predict };
}

const near = (found: number, expected: number, relative = 1e-9) =>
  assert.ok(Math.abs(found / expected - 1) < relative, `${found} is not ${expected}`);

const collective = (op: 'all-gather' | 'reduce-scatter' | 'all-reduce', bytes: number) => ({
  ...message(op, bytes),
  link: null,
});

test('predictions ~> what ranks enqueue, simulated on the links', async () => {
  const { predict } = await predictor(null);
  near(predict(message('send-recv', 1000)), 1e-5 + 1e-6);
  // To each of three others, a gap apart.
  for (const op of ['all-gather', 'reduce-scatter'] as const)
    near(predict(collective(op, 4 * 1000)), 2 * 5e-6 + 1e-5 + 1e-6);
  // Two rings of three steps, in pieces that follow each other.
  const twoRings = 6 * (1e-5 + 1e-3);
  assert.ok(predict(collective('all-reduce', 4e6)) <= twoRings);
  assert.ok(predict(collective('all-reduce', 4e6)) > 0.9 * twoRings);
  near(predict(scan('ring', 1e6)), 3 * (1e-5 + 1e-3));
  near(predict(scan('all-scan', 1e6, 4)), 3 * (1e-5 + 0.25e-3) + 3 * 0.25e-3);
  assert.ok(predict(scan('doubling-scan', 1e6)) < predict(scan('ring', 1e6)));
  assert.is(predict(scan('gone', 8)), null);
});

test('predictions ~> ranks that share cores copy messages in turns; M of every class', async () => {
  const [apart, shared] = [await predictor(null), await predictor(2)];
  const gather = collective('all-gather', 4e6);
  assert.ok(shared.predict(gather) > 1.5 * apart.predict(gather));
  for (const [transition, transitionBytes] of [
    ['scalar', 4],
    ['diagonal', 64],
    ['dense', 1024],
  ] as const) {
    const what = { ...scan('doubling-scan', 1024), transition, transitionBytes };
    assert.ok(apart.predict(what) > 2e-5, transition);
  }
});

test('chains of their own ~> fitted, written, and what scans are predicted by; no message hands them over', async () => {
  const cost = { launchS: 2e-5, latencyS: 4e-6, bandwidthBytesPerS: 1e11 };
  const alone = { link: null, strategy: null, blocks: null, ranksPerNode: null } as const;
  const identity = { transition: 'identity', transitionBytes: 0 } as const;
  const rowsOf = (bytes: number) => Math.ceil(bytes / 512);
  const chains = (['chain', 'chain-run'] as const).flatMap((op) =>
    sizes.map((bytes): [CollectiveCase, ...(number[] | null)[]] => {
      const what = { bytes, rows: rowsOf(bytes), isDense: false, numRanks: 4 };
      const seconds = chainRunSeconds({ ...what, runLength: op === 'chain' ? 1 : burstLength }, cost);
      return [{ op, bytes, ...alone, ...identity, stateRows: rowsOf(bytes) }, [seconds], null, null, null];
    }),
  );
  const ring: CollectiveCase = { ...scan('ring', 2 ** 20), ...identity, stateRows: 2048 };
  const results = resultsOf([...messagesOver('inside', link), ...chains, [ring, [1e-3], null, null, null]]);
  const plan = {
    ranksPerNode: 4,
    jobSpec: { device: { kind: 'cuda', engine: 'nccl' }, parallel: {} },
  } as Parameters<typeof measuredRows>[1];
  const measured = await measuredRows(results, plan);
  for (const key of ['launchS', 'latencyS', 'bandwidthBytesPerS'] as const)
    near(measured.fit!.chains!.link[key], cost[key], 1e-6);
  for (const { op, predictedS, medianS, isFitted } of measured.rows) {
    if (op !== 'scan') near(predictedS!, medianS, 1e-6);
    assert.is(isFitted, op !== 'scan');
  }
  // Both ways, by the kernels of all ranks: not a message among them.
  near(
    measured.rows.at(-1)!.predictedS!,
    mappedChainSeconds(4, mappedChain({ state: 2 ** 20, rows: 2048 })!, cost),
    1e-6,
  );
  assert.is(measured.handOverS, null);
  assert.match(
    formatCollectives(measured),
    /\nchains through mapped memory: launch 20\.0 us, hop 4\.00 us, bandwidth 100 GB\/s\n {2}off by /,
  );
  const file = fabricFileSchema.parse(JSON.parse(JSON.stringify(fabricFileOf(measured))));
  assert.equal(file.chains, measured.fit!.chains!.link);
  assert.is(file.measured?.fit.chains?.residuals.length, 6);

  const untold = results.map((result) => ({
    ...result,
    cases: result.cases.filter(({ op, bytes }) => !op.startsWith('chain') || bytes === 8),
  }));
  const without = await measuredRows(
    untold.map((result) => ({
      ...result,
      cases: result.cases.map((one) =>
        one.op === 'chain' ? { ...one, samplesS: one.samplesS && [1e-9] } : one,
      ),
    })),
    plan,
  );
  assert.is(without.fit!.chains, null);
  assert.is(without.rows.at(-1)!.predictedS, null, 'a scan of chains of which nothing is known');
  assert.match(formatCollectives(without), /chains through mapped memory: no fit/);
  assert.is(fabricFileOf(without).chains, undefined);
});

test('hand-over ~> what makes the chain of the smallest state take its time, found again from it alone', async () => {
  for (const ranksAtOnce of [null, 2]) {
    const { predict, rowOf, machine, strategies } = await predictor(ranksAtOnce);
    const rows = [
      rowOf(scan('ring', 2 ** 20), 1),
      rowOf(scan('ring', 8), predict(scan('ring', 8), 3e-5)),
      rowOf(scan('all-gather', 8), 1),
    ];
    assert.is(handOverRow(rows)?.bytes, 8);
    near(handOverSeconds(rows, machine, strategies)!, 3e-5, 1e-6);
    assert.ok(predict(scan('doubling-scan', 8), 3e-5) > predict(scan('doubling-scan', 8)));
    const awake = [rowOf(scan('ring', 8), 1e-9)];
    assert.is(
      handOverSeconds(awake, machine, strategies),
      machine.overheadS ?? 0,
      'faster than the links say',
    );
    assert.is(handOverSeconds([rowOf(message('send-recv', 8))], machine, strategies), null);
  }
});

test.run();
