import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { rankPids } from '../testing/processes.js';
import { StandingRanks } from '../testing/standing-ranks.js';
import { bytesOf, Workshop } from './small-job.js';

// What other tests rely on that take their ranks from one another's runs.

const [own, shared] = [new Workshop(), new Workshop(new StandingRanks())];
test.after(() => {
  own.remove();
  shared.remove();
});

const job = { 'parallel.sp': 2, 'job.steps': 4 };
/** Leaves nothing as `job` would find it in a new process: other layers, shapes and random numbers. */
const another = {
  ...job,
  'job.seed': 5,
  'model.layers': ['gated-deltanet', 'softmax-attention', 'mamba2'],
  'model.layer.gated-deltanet': { expandK: 1 },
  'data.sequenceLength': 500,
};

type Trained = Awaited<ReturnType<Workshop['train']>>;
const pidsOf = ({ run }: Trained) => rankPids(run.dir, 2).sort();

function expectSameBits(found: Trained, expected: Trained): void {
  const numbersOf = ({ steps }: Trained) => steps.map(({ loss, gradNorm }) => [loss, gradNorm]);
  assert.equal(numbersOf(found), numbersOf(expected));
  assert.is(found.result.validationLoss, expected.result.validationLoss);
  for (const file of ['parameters', 'optimizer'] as const) {
    const [a, b] = [found, expected].map(({ result }) => bytesOf(result.checkpoint!, file));
    assert.ok(a!.equals(b!), file);
  }
}

test('a run in the processes of another ~> the bits of one in processes of its own', async () => {
  const expected = await own.train('own', job);
  const first = await shared.train('first', another);
  const second = await shared.train('second', job);
  assert.equal(pidsOf(second), pidsOf(first));
  expectSameBits(second, expected);
});

test('a run that ends badly ~> its processes end with it, and the next has others', async () => {
  const { error, pids } = await shared.killRank('killed', 1, job);
  assert.equal([error.exitCode, error.rank], [8, 1]);
  const after = await shared.train('after', job);
  assert.not(pidsOf(after).some((pid) => pids.includes(pid)));
});

test.run();
