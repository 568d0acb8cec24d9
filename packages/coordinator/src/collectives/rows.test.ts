import { burstLength, type CollectiveCase, type CollectivesResult } from '@longscan/worker/protocol';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { fabricFileSchema } from '../fabric/fabric-file.js';
import { messageSeconds } from '../fabric/fit-link.js';
import { loadStrategies } from '../plan/strategies.js';
import { busFactor } from './bandwidth.js';
import { costOf, fitFabric } from './fit-fabric.js';
import { fabricFileOf, measuredRows } from './measured.js';
import { predictSeconds } from './predict.js';
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
  const plan = { ranksPerNode: 2, jobSpec: { device: { engine: 'tcp' } } } as Parameters<
    typeof measuredRows
  >[1];
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

test('predictions ~> strategies by their own cost, collectives as the engine does them', async () => {
  const strategies = await loadStrategies();
  const rows = messagesOver('inside', link);
  const fabric = costOf(fitFabric(collectiveRows(resultsOf(rows)), 4)!);
  const predict = (what: CollectiveCase) =>
    predictSeconds({ ...what, numRanks: 4 } as CollectiveRow, fabric, strategies)!;
  const near = (found: number, expected: number) =>
    assert.ok(Math.abs(found / expected - 1) < 1e-9, `${found}`);
  const collective = (op: 'all-gather' | 'reduce-scatter' | 'all-reduce', bytes: number) =>
    predict({ ...message(op, bytes), link: null });
  for (const op of ['all-gather', 'reduce-scatter'] as const) {
    near(collective(op, 4 * 1000), 1e-5 + 3 * 1e-6);
    near(collective(op, 4 * 1e6), 3 * (1e-5 + 1e-3));
  }
  near(collective('all-reduce', 1000), 1e-5 + 3 * 1e-6);
  near(collective('all-reduce', 4e6), 6 * (1e-5 + 1e-3));
  near(predict(scan('ring', 1e6)), 3 * (1e-5 + 1e-3));
  near(predict(scan('all-scan', 1e6, 4)), 3 * (1e-5 + 0.25e-3) + 3 * 0.25e-3);
  near(predict(scan('doubling-scan', 1e6)), 2 * 1e-5 + 2 * 1e-3 + 64e-9);
  assert.is(predict(scan('gone', 8)), null);
});

test.run();
