import { type JobSpec, jobSpecSchema } from '@longscan/worker/protocol';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { loadFabric } from '../fabric/load-fabric.js';
import { chainCarrier, withCarrier } from './chain-carrier.js';

const [twoGpus, hopper, loopback] = ['h200-vm', 'h200', 'loopback-tcp'].map((name) => loadFabric(name));

function jobOf(parallel: Partial<JobSpec['parallel']>, kind: 'cpu' | 'cuda' = 'cuda'): JobSpec {
  const layers = [{ use: 'gla', options: {}, file: null }];
  const device = kind === 'cuda' ? { kind, engine: 'nccl' } : { kind, engine: 'tcp' };
  return jobSpecSchema.parse({ model: { mlp: 0, layers }, data: { path: '/text' }, device, parallel });
}

test('carrier ~> mapped memory where a sequence is on one host and nothing forbids it', () => {
  for (const word of ['allowed', 'required'] as const) {
    assert.equal(chainCarrier(jobOf({ sp: 2 }), twoGpus!, 1, word), {
      carrier: 'mapped-memory',
      reason: `one host, LONGSCAN_PEER_MEMORY is "${word}"`,
    });
  }
  for (const parallel of [{ sp: 8 }, { sp: 4, dp: 4 }, { sp: 2, dp: 64 }])
    assert.is(chainCarrier(jobOf(parallel), hopper!, 1, 'allowed')?.carrier, 'mapped-memory');
});

test('carrier ~> nothing to choose on one rank and on CPUs, whatever the environment says', () => {
  assert.is(chainCarrier(jobOf({ sp: 1, dp: 4 }), hopper!, 1, 'allowed'), null);
  assert.is(chainCarrier(jobOf({ sp: 4 }, 'cpu'), loopback!, 1, 'required'), null);
});

test('carrier ~> messages, and why', () => {
  const reason = (...args: Parameters<typeof chainCarrier>) => {
    const plan = chainCarrier(...args);
    assert.is(plan?.carrier, 'messages');
    return plan!.reason;
  };
  assert.is(reason(jobOf({ sp: 2 }), twoGpus!, 1, 'off'), 'LONGSCAN_PEER_MEMORY is "off"');
  assert.is(
    reason(jobOf({ sp: 16 }), hopper!, 1, 'allowed'),
    'the 16 ranks of a sequence are on several hosts, 8 on each',
  );
  // Some sequences of this job are on one host; the first that is not decides for the plan of all.
  assert.match(
    reason(jobOf({ sp: 4, dp: 3, ranksPerNode: 6 }), hopper!, 1, 'required'),
    /several hosts, 6 on each$/,
  );
  assert.match(
    reason(jobOf({ sp: 4, ranksPerNode: 2 }), twoGpus!, 1, 'allowed'),
    /several hosts, 2 on each$/,
  );
  assert.is(
    reason(jobOf({ sp: 2 }), twoGpus!, 4, 'allowed'),
    'deterministic mode hands states on unit by unit',
  );
  assert.match(
    reason(jobOf({ sp: 2 }), loopback!, 1, 'allowed'),
    /^counted so, since "tcp over loopback" says nothing of mapped memory; .*--save" measures it$/,
  );
});

test('carrier ~> what the environment says, and an error for what is none of its words', () => {
  const before = process.env.LONGSCAN_PEER_MEMORY;
  try {
    const carrier = (word: string) => {
      process.env.LONGSCAN_PEER_MEMORY = word;
      return chainCarrier(jobOf({ sp: 2 }), twoGpus!)?.carrier;
    };
    assert.equal(
      [carrier(''), carrier('off'), carrier('required')],
      ['mapped-memory', 'messages', 'mapped-memory'],
    );
    assert.throws(
      () => carrier('of'),
      /error\[E-PEER-MEMORY\] LONGSCAN_PEER_MEMORY: "of", expected off, allowed, required/,
    );
  } finally {
    if (before === undefined) delete process.env.LONGSCAN_PEER_MEMORY;
    else process.env.LONGSCAN_PEER_MEMORY = before;
  }
});

test('links ~> only those of mapped chains keep what is known of mapped memory', () => {
  const mapped = { carrier: 'mapped-memory', reason: '' } as const;
  assert.is(withCarrier(twoGpus!, mapped), twoGpus);
  assert.is(withCarrier(loopback!, null), loopback);
  for (const chains of [null, { carrier: 'messages', reason: '' } as const]) {
    const links = withCarrier(twoGpus!, chains);
    assert.is(links.chains, undefined);
    assert.equal({ ...links, chains: twoGpus!.chains }, twoGpus);
  }
});

test.run();
