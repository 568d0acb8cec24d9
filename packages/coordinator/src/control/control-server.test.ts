import { existsSync, readFileSync, statSync } from 'node:fs';
import { dirname } from 'node:path';
import {
  type CoordinatorBody,
  coordinatorFrameSchema,
  decodeFrame,
  encodeFrame,
  type KeyFile,
  type LongscanError,
  protocolVersion,
  type RankBody,
} from '@longscan/worker/protocol';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { Context, curveKeyPair, Dealer } from 'zeromq';
import { ControlServer } from './control-server.js';
import { RankKeys } from './rank-keys.js';

const jobId = 'job';
const epoch = 2;
const worldSize = 3;

/** Everything the server told its owner, in order, and a way to wait for the next of it. */
class Journal {
  readonly entries: string[] = [];
  #wake: () => void = () => {};

  add(entry: string): void {
    this.entries.push(entry);
    this.#wake();
  }

  async until(entry: string): Promise<void> {
    while (!this.entries.includes(entry)) {
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
      });
    }
  }
}

interface Fixture {
  readonly server: ControlServer;
  readonly keys: RankKeys;
  readonly journal: Journal;
  /** Keys as the rank would read them from its file. */
  readonly files: readonly KeyFile[];
  peer(curve: Partial<KeyFile>): Peer;
}

/** A hand-made client, to send what a ControlClient never would. */
class Peer {
  readonly #socket: Dealer;

  constructor(endpoint: string, keys: Partial<KeyFile>) {
    const curve =
      keys.secretKey === undefined
        ? {}
        : {
            curvePublicKey: keys.publicKey!,
            curveSecretKey: keys.secretKey,
            curveServerKey: keys.serverKey!,
          };
    this.#socket = new Dealer({ context: new Context(), linger: 0, ...curve });
    this.#socket.connect(endpoint);
  }

  async raw(...parts: Uint8Array[]): Promise<void> {
    await this.#socket.send(parts);
  }

  async send(rank: number, seq: number, body: RankBody, envelope: object = {}): Promise<void> {
    await this.raw(encodeFrame({ version: protocolVersion, jobId, epoch, rank, seq, body, ...envelope }));
  }

  async hello(rank: number, secret: string, envelope: object = {}): Promise<void> {
    const hello: RankBody = {
      type: 'hello',
      secret,
      pid: process.pid,
      host: 'here',
      nodeVersion: process.version,
    };
    await this.send(rank, 1, hello, envelope);
  }

  async receive(): Promise<CoordinatorBody & { seq: number }> {
    const [frame] = await this.#socket.receive();
    const { seq, body } = decodeFrame(frame!, coordinatorFrameSchema, 'test');
    return { ...body, seq };
  }

  /** True when nothing arrives within a time that is long for loopback. */
  async hearsNothing(): Promise<boolean> {
    this.#socket.receiveTimeout = 300;
    return this.#socket.receive().then(
      () => false,
      () => true,
    );
  }

  close(): void {
    this.#socket.close();
  }
}

async function withServer(body: (fixture: Fixture) => Promise<void>): Promise<void> {
  const keys = new RankKeys(worldSize);
  const files = Array.from({ length: worldSize }, (_, rank) =>
    JSON.parse(readFileSync(keys.path(rank), 'utf8')),
  );
  const journal = new Journal();
  const server = await ControlServer.open(
    { jobId, epoch, worldSize, keys, host: '127.0.0.1' },
    {
      onHello: (rank) => journal.add(`hello ${rank}`),
      onBody: (rank, { type }) => journal.add(`${type} ${rank}`),
      onRankFault: (rank, error: LongscanError) => journal.add(`fault ${rank} ${error.code}`),
      onRefused: (error: LongscanError) => journal.add(`refused ${error.code}`),
    },
  );
  const peers: Peer[] = [];
  const peer = (curve: Partial<KeyFile>): Peer => {
    const made = new Peer(server.endpoint, curve);
    peers.push(made);
    return made;
  };
  try {
    await body({ server, keys, journal, files, peer });
  } finally {
    for (const made of peers) made.close();
    await server.close();
    keys.removeAll();
  }
}

const heartbeat: RankBody = {
  type: 'heartbeat',
  step: 1,
  phase: 'forward',
  collective: 0,
  ack: 0,
  numDropped: 0,
};

test('a rank says hello, is heard and hears', () =>
  withServer(async ({ server, files, journal, peer }) => {
    const rank = peer(files[1]!);
    await rank.hello(1, files[1]!.secret);
    await journal.until('hello 1');
    await rank.send(1, 2, heartbeat);
    await journal.until('heartbeat 1');
    assert.equal(await rank.receive(), { type: 'beat', received: 2, seq: 0 });
    server.command(1, { type: 'stop', save: true });
    assert.equal(await rank.receive(), { type: 'stop', save: true, seq: 1 });
  }));

test('key files are private and gone after the hello', () =>
  withServer(async ({ keys, files, journal, peer }) => {
    assert.is(statSync(keys.path(0)).mode & 0o777, 0o600);
    assert.is(statSync(dirname(keys.path(0))).mode & 0o777, 0o700);
    await peer(files[0]!).hello(0, files[0]!.secret);
    await journal.until('hello 0');
    assert.is(existsSync(keys.path(0)), false);
    assert.is(existsSync(keys.path(1)), true);
    keys.removeAll();
    assert.is(existsSync(dirname(keys.path(0))), false);
  }));

test('an unknown key and a client without CURVE get no further than the handshake', () =>
  withServer(async ({ server, files, journal, peer }) => {
    const stranger = peer({ ...curveKeyPair(), serverKey: files[0]!.serverKey });
    const plain = peer({});
    await stranger.hello(0, files[0]!.secret);
    await plain.hello(0, files[0]!.secret);
    assert.ok(await stranger.hearsNothing());
    assert.ok(await plain.hearsNothing());
    assert.equal(journal.entries, []);
    while (server.counters.deniedConnections === 0) await new Promise((resolve) => setTimeout(resolve, 10));
  }));

test('a wrong secret, also that of another rank, is refused', () =>
  withServer(async ({ files, journal, peer }) => {
    const guesser = peer(files[0]!);
    await guesser.hello(0, files[1]!.secret);
    const answer = await guesser.receive();
    assert.is(answer.type === 'refused' && answer.code, 'E-AUTH');
    // A second try on the same connection is not even read.
    await guesser.hello(0, files[0]!.secret);
    await peer(files[0]!).hello(0, files[0]!.secret);
    await journal.until('hello 0');
    assert.equal(journal.entries, ['refused E-AUTH', 'hello 0']);
  }));

test('the second claim to a rank is refused and the first is kept', () =>
  withServer(async ({ files, journal, peer }) => {
    const first = peer(files[2]!);
    await first.hello(2, files[2]!.secret);
    await journal.until('hello 2');
    const second = peer(files[2]!);
    await second.hello(2, files[2]!.secret);
    const answer = await second.receive();
    assert.is(answer.type === 'refused' && answer.code, 'E-RANK-DUP');
    await first.send(2, 2, heartbeat);
    await journal.until('heartbeat 2');
    assert.equal(journal.entries, ['hello 2', 'refused E-RANK-DUP', 'heartbeat 2']);
  }));

const badFirstFrames: readonly (readonly [string, (peer: Peer, secret: string) => Promise<void>, string])[] =
  [
    ['a stale epoch', (peer, secret) => peer.hello(0, secret, { epoch: epoch - 1 }), 'E-WIRE-EPOCH'],
    ['another job', (peer, secret) => peer.hello(0, secret, { jobId: 'other' }), 'E-WIRE-JOB'],
    ['another protocol', (peer, secret) => peer.hello(0, secret, { version: 99 }), 'E-WIRE-SCHEMA'],
    ['a rank out of range', (peer, secret) => peer.hello(worldSize, secret), 'E-RANK'],
    ['no hello first', (peer) => peer.send(0, 1, heartbeat), 'E-WIRE-HELLO'],
    ['two parts', (peer) => peer.raw(Buffer.of(0xc0), Buffer.of(0xc0)), 'E-WIRE-PARTS'],
    ['a bomb', (peer) => peer.raw(Buffer.from('dd01c9c380'.repeat(8), 'hex')), 'E-WIRE-LENGTH'],
    ['__proto__', (peer) => peer.raw(Buffer.from('81a95f5f70726f746f5f5fc3', 'hex')), 'E-WIRE-KEY'],
  ];

for (const [name, attack, code] of badFirstFrames) {
  test(`${name} is refused with ${code} and the server lives`, () =>
    withServer(async ({ files, journal, peer }) => {
      await attack(peer(files[0]!), files[0]!.secret);
      await journal.until(`refused ${code}`);
      await peer(files[0]!).hello(0, files[0]!.secret);
      await journal.until('hello 0');
    }));
}

const badLaterFrames: readonly (readonly [string, (peer: Peer, secret: string) => Promise<void>, string])[] =
  [
    ['a frame played again', (peer) => peer.send(0, 1, heartbeat), 'E-WIRE-REPLAY'],
    ["another rank's frame", (peer) => peer.send(1, 2, heartbeat), 'E-WIRE-RANK'],
    ['a second hello', (peer, secret) => peer.send(0, 2, hello(secret)), 'E-WIRE-HELLO'],
    ['garbage', (peer) => peer.raw(Buffer.of(0xc1)), 'E-WIRE-TYPE'],
  ];

function hello(secret: string): RankBody {
  return { type: 'hello', secret, pid: 1, host: 'here', nodeVersion: 'v20' };
}

for (const [name, attack, code] of badLaterFrames) {
  test(`${name} cuts the rank off with ${code}; the others go on`, () =>
    withServer(async ({ files, journal, peer }) => {
      const bad = peer(files[0]!);
      const good = peer(files[1]!);
      await bad.hello(0, files[0]!.secret);
      await good.hello(1, files[1]!.secret);
      await journal.until('hello 0');
      await journal.until('hello 1');
      await attack(bad, files[0]!.secret);
      await journal.until(`fault 0 ${code}`);
      await bad.send(0, 3, heartbeat);
      await good.send(1, 2, heartbeat);
      await journal.until('heartbeat 1');
      assert.not.ok(journal.entries.includes('heartbeat 0'));
    }));
}

test('a frame over the limit never arrives and costs that connection only', () =>
  withServer(async ({ files, journal, peer }) => {
    await peer(files[0]!).raw(Buffer.alloc(2 ** 20 + 1));
    await peer(files[1]!).hello(1, files[1]!.secret);
    await journal.until('hello 1');
    assert.equal(journal.entries, ['hello 1']);
  }));

test('a command that was not acknowledged is sent again', () =>
  withServer(async ({ server, files, journal, peer }) => {
    const rank = peer(files[0]!);
    await rank.hello(0, files[0]!.secret);
    await journal.until('hello 0');
    server.command(0, { type: 'stop', save: false });
    assert.is((await rank.receive()).seq, 1);
    const heard: string[] = [];
    for (let seq = 2; seq < 5; seq++) {
      await rank.send(0, seq, { ...heartbeat, ack: seq === 4 ? 1 : 0 });
      for (;;) {
        const { type } = await rank.receive();
        heard.push(type);
        if (type === 'beat') break;
      }
    }
    assert.equal(heard, ['beat', 'stop', 'beat', 'beat']);
  }));

test.run();
