import { decode } from 'msgpack-lite';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { z } from 'zod';
import { decodeFrame, encodeFrame } from './codec.js';
import { frameLimits, scanFrame } from './frame-scanner.js';
import { coordinatorFrameSchema, protocolVersion, rankFrameSchema } from './messages.js';

const anything = z.unknown();

/** Mulberry32: the same frames at every run. */
function generator(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let t = Math.imul(state ^ (state >>> 15), 1 | state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return (t ^ (t >>> 14)) >>> 0;
  };
}

const heartbeat = {
  version: protocolVersion,
  jobId: 'job',
  epoch: 1,
  rank: 3,
  seq: 7,
  body: { type: 'heartbeat', step: 12, phase: 'forward', collective: 96, ack: 1, numDropped: 0 },
};

test('what is encoded comes back', () => {
  const values = [
    null,
    true,
    0,
    -1,
    2 ** 31,
    -(2 ** 31) - 1,
    Number.MAX_SAFE_INTEGER,
    Number.MIN_SAFE_INTEGER,
    0.1,
    1e300,
    '',
    'é',
    [[], {}],
    { a: [1, { b: null }] },
  ];
  for (const value of values) assert.equal(decodeFrame(encodeFrame(value), anything, 'test'), value);
});

test('a message passes its schema', () => {
  assert.equal(decodeFrame(encodeFrame(heartbeat), rankFrameSchema, 'test'), heartbeat);
});

test('unknown fields, types, versions and a missing field are refused by the schema', () => {
  const wrong = [
    { ...heartbeat, extra: 1 },
    { ...heartbeat, version: protocolVersion + 1 },
    { ...heartbeat, rank: -1 },
    { ...heartbeat, rank: 0.5 },
    { ...heartbeat, body: { ...heartbeat.body, run: 'rm' } },
    { ...heartbeat, body: { ...heartbeat.body, type: 'shell' } },
    { ...heartbeat, body: { ...heartbeat.body, phase: undefined } },
    [heartbeat],
    null,
  ].map((message) => encodeFrame(JSON.parse(JSON.stringify(message))));
  for (const frame of wrong) {
    assert.throws(() => decodeFrame(frame, rankFrameSchema, 'rank 3'), /error\[E-WIRE-SCHEMA\] rank 3: /);
  }
});

test('values that the wire cannot hold are refused at the sender', () => {
  const wrong = [Number.NaN, Number.POSITIVE_INFINITY, undefined, 1n, new Date(), Symbol('s'), () => 0];
  for (const value of wrong) assert.throws(() => encodeFrame({ value }), /E-WIRE-ENCODE.*message\.value/);
  assert.throws(() => encodeFrame('x'.repeat(frameLimits.maxStringBytes + 1)), /E-WIRE-STRING/);
  assert.throws(() => encodeFrame(Array.from({ length: 20 }, () => 'x'.repeat(65_000))), /E-WIRE-SIZE/);
});

test('a scanned frame is decoded without touching a prototype', () => {
  const decoded = decodeFrame(encodeFrame({ toString: 1, hasOwnProperty: 2 }), anything, 'test') as object;
  assert.is(Object.getPrototypeOf(decoded), Object.prototype);
  assert.equal(Object.keys(decoded), ['toString', 'hasOwnProperty']);
});

test('random bytes: refused or decoded, never anything else', () => {
  const random = generator(1);
  let numSound = 0;
  for (let i = 0; i < 20_000; i++) {
    const bytes = Buffer.from(Array.from({ length: random() % 24 }, () => random() & 0xff));
    if (scanFrame(bytes) !== null) continue;
    numSound++;
    decode(bytes);
    assert.throws(() => decodeFrame(bytes, rankFrameSchema, 'fuzz'), /E-WIRE-SCHEMA/);
  }
  assert.ok(numSound > 100, `only ${numSound} frames reached the decoder`);
});

test('mutated messages: refused with a code, or a message of the schema', () => {
  const random = generator(2);
  const frame = encodeFrame(heartbeat);
  let numRefused = 0;
  for (let i = 0; i < 20_000; i++) {
    const mutant = Buffer.from(frame);
    for (let flips = 1 + (random() % 3); flips > 0; flips--)
      mutant[random() % mutant.length] = random() & 0xff;
    const cut = random() % 8 === 0 ? mutant.subarray(0, random() % mutant.length) : mutant;
    try {
      decodeFrame(cut, rankFrameSchema, 'fuzz');
    } catch (error) {
      assert.match((error as Error).message, /^error\[E-WIRE-[A-Z]+\] fuzz: /);
      numRefused++;
    }
  }
  assert.ok(numRefused > 10_000, `only ${numRefused} mutants were refused`);
});

test('bombs allocate nothing to speak of', () => {
  const bombs = [
    'dd01c9c380'.repeat(8),
    'df01c9c380'.repeat(8),
    'dd00989680'.repeat(40),
    '91'.repeat(50_000),
  ];
  const before = process.memoryUsage().rss;
  for (const bomb of bombs) {
    const bytes = Buffer.from(bomb, 'hex');
    for (let i = 0; i < 100; i++) {
      assert.throws(() => decodeFrame(bytes, coordinatorFrameSchema, 'fuzz'), /E-WIRE-(LENGTH|DEPTH)/);
    }
  }
  const grownMiB = (process.memoryUsage().rss - before) / 2 ** 20;
  assert.ok(grownMiB < 64, `grew by ${grownMiB.toFixed(0)} MiB`);
});

test.run();
