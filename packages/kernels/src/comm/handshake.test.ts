import { once } from 'node:events';
import { readdirSync } from 'node:fs';
import net from 'node:net';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { openCpuDevice } from '../device.js';
import type { LongscanError } from '../errors.js';
import { connectTcp, type Listener, openListener, type TcpGroupOptions } from './tcp.js';
import { settle } from './testing/check-group.js';
import { openTcpGroup, testJob } from './testing/groups.js';

type Changes = Partial<Pick<TcpGroupOptions, 'token' | 'epoch' | 'jobId' | 'axis' | 'addresses'>>;

/** For who is to run into it: long enough for what its peer has to have done by then. */
const shortMs = 3000;

/** Connects one rank of a group of two and gives its error, or null. */
async function tryToConnect(
  rank: number,
  listeners: readonly Listener[],
  changes: Changes = {},
  connectTimeoutMs = shortMs,
): Promise<LongscanError | null> {
  const device = openCpuDevice();
  const addresses = listeners.map(({ port }) => ({ host: '127.0.0.1', port }));
  try {
    const options = {
      ...testJob,
      device,
      listener: listeners[rank]!,
      rank,
      addresses,
      connectTimeoutMs,
      ...changes,
    };
    const comm = await connectTcp(options);
    comm.close();
    return null;
  } catch (error) {
    return error as LongscanError;
  } finally {
    device.close();
  }
}

/** Rank 1 comes with something wrong: both sides must say so, and the right rank 1 must still get in. */
async function checkRefusal(
  changes: Changes,
  dialer: { code: string; message: RegExp },
  listener: RegExp,
): Promise<void> {
  const listeners = [openListener('127.0.0.1'), openListener('127.0.0.1')];
  const [waiting, refused] = await Promise.all([
    tryToConnect(0, listeners),
    tryToConnect(1, listeners, changes),
  ]);
  assert.is(refused?.code, dialer.code);
  assert.match(refused!.message, dialer.message);
  assert.is(waiting?.code, 'E-COMM-CONNECT');
  assert.match(waiting!.message, listener);
  const again = [tryToConnect(0, listeners, {}, 20_000), tryToConnect(1, listeners, {}, 20_000)];
  assert.equal(await Promise.all(again), [null, null]);
  for (const each of listeners) each.close();
}

test('wrong token ~> refused before the dialer has shown anything', async () => {
  await checkRefusal(
    { token: 'another token, long enough' },
    {
      code: 'E-AUTH',
      message: /sp rank 1 of 2: rank 0 at 127.0.0.1:\d+ cannot prove that it has this job's token/,
    },
    /sp rank 0 of 2: no connection from rank 1 before the deadline/,
  );
});

test('old epoch ~> refused, and both sides say why', async () => {
  await checkRefusal(
    { epoch: 0 },
    { code: 'E-COMM-CONNECT', message: /rank 0 at .* refused this rank: an epoch that is over/ },
    /no connection from rank 1; refused 1, the last one rank 1 at 127.0.0.1:\d+: an epoch that is over/,
  );
});

test('later epoch ~> tried again until the deadline', async () => {
  await checkRefusal(
    { epoch: 2 },
    { code: 'E-COMM-CONNECT', message: /no connection to rank 0 at .* before the deadline: / },
    /the last one rank 1 at 127.0.0.1:\d+: an epoch that has not begun there/,
  );
});

test('another job ~> refused, and both sides say why', async () => {
  await checkRefusal(
    { jobId: 'another-job' },
    { code: 'E-COMM-CONNECT', message: /refused this rank: another job/ },
    /refused 1, the last one .*: another job/,
  );
});

test('another axis ~> two groups that never meet', async () => {
  await checkRefusal(
    { axis: 'dp' },
    {
      code: 'E-COMM-CONNECT',
      message: /dp rank 1 of 2: no connection to rank 0 .*: connected, but no answer/,
    },
    /no connection from rank 1 before the deadline/,
  );
});

test('a rank that nobody listens for ~> the reason of the last try', async () => {
  const listener = openListener('127.0.0.1');
  const unused = openListener('127.0.0.1');
  const addresses = [unused, listener].map(({ port }) => ({ host: '127.0.0.1', port }));
  unused.close();
  const error = await tryToConnect(1, [unused, listener], { addresses });
  assert.match(
    error!.message,
    /no connection to rank 0 at 127.0.0.1:\d+ before the deadline: Connection refused/,
  );
  listener.close();
});

test('another service at the address ~> said so at once', async () => {
  const web = net.createServer((socket) => {
    socket.on('error', () => {}); // the rank hangs up on it
    socket.end('HTTP/1.1 400 Bad Request\r\n\r\n'.padEnd(200, '.'));
  });
  web.listen(0, '127.0.0.1');
  await once(web, 'listening');
  const listener = openListener('127.0.0.1');
  const ports = [(web.address() as net.AddressInfo).port, listener.port];
  const addresses = ports.map((port) => ({ host: '127.0.0.1', port }));
  const error = await tryToConnect(1, [listener, listener], { addresses }, 20_000);
  assert.match(error!.message, /rank 0 at .* is not a rank: it answers in another protocol/);
  listener.close();
  web.close();
});

/** A Hello as bytes, without knowing the token. */
function helloBytes(version: number): Buffer {
  const hello = Buffer.alloc(160);
  hello.write('lngscan\x1a', 'latin1');
  hello.writeUInt32LE(version, 8);
  hello.writeBigUInt64LE(BigInt(testJob.epoch), 12);
  hello.writeUInt32LE(1, 20); // dialer's rank
  hello.writeUInt32LE(0, 24); // listener's rank
  hello.writeUInt32LE(2, 28); // group size
  hello.write(testJob.jobId, 32);
  hello.write(testJob.axis, 96);
  return hello;
}

test('another protocol version ~> an answer that carries ours', async () => {
  const listener = openListener('127.0.0.1');
  const socket = net.connect(listener.port, '127.0.0.1');
  socket.write(helloBytes(99));
  const [reply] = (await once(socket, 'data')) as [Buffer];
  assert.is(reply.length, 80);
  assert.is(reply.readUInt32LE(8), 1, 'version');
  assert.is(reply.readUInt32LE(12), 1, 'verdict: another protocol version');
  socket.destroy();
  listener.close();
});

test('a wrong proof ~> turned away, and named by the rank that waits', async () => {
  const listener = openListener('127.0.0.1');
  const waiting = tryToConnect(0, [listener, listener]);
  const socket = net.connect(listener.port, '127.0.0.1');
  socket.write(helloBytes(1));
  const [reply] = (await once(socket, 'data')) as [Buffer];
  assert.is(reply.readUInt32LE(12), 0, 'verdict: go on');
  // The listener's own proof is the only one that a stranger can have.
  socket.write(reply.subarray(48, 80));
  const [verdict] = (await once(socket, 'data')) as [Buffer];
  assert.equal([...verdict], [7], 'verdict: wrong job token');
  await once(socket, 'close');
  assert.match((await waiting)!.message, /refused 1, the last one rank 1 at 127.0.0.1:\d+: wrong job token/);
  listener.close();
});

test('garbage is dropped at once; silence and half a hello hold nothing up', async () => {
  const listeners = [openListener('127.0.0.1'), openListener('127.0.0.1')];
  const strangers = Array.from({ length: 20 }, () => net.connect(listeners[0]!.port, '127.0.0.1'));
  for (const stranger of strangers) stranger.on('error', () => {});
  strangers[0]!.write('GET / HTTP/1.1\r\n\r\n');
  strangers[1]!.write('lngscan\x1a half a hello', 'latin1');
  strangers[2]!.write(Buffer.alloc(1 << 20, 0xff));
  const dropped = [strangers[0]!, strangers[2]!].map(
    (stranger) => new Promise((done) => stranger.on('close', done)),
  );
  const both = [tryToConnect(0, listeners, {}, 20_000), tryToConnect(1, listeners, {}, 20_000)];
  assert.equal(await Promise.all(both), [null, null]);
  await Promise.all(dropped);
  for (const stranger of strangers) stranger.destroy();
  for (const listener of listeners) listener.close();
});

test('one listener serves several axes and several ranks of a process', async () => {
  const listener = openListener('127.0.0.1');
  const devices = [0, 1, 2].map(() => openCpuDevice());
  const addresses = devices.map(() => ({ host: '127.0.0.1', port: listener.port }));
  const axes = ['sp', 'dp', 'world'];
  const comms = await Promise.all(
    axes.flatMap((axis) =>
      devices.map((device, rank) => connectTcp({ ...testJob, device, listener, axis, rank, addresses })),
    ),
  );
  listener.close();
  for (const comm of comms) comm.barrier();
  await settle(comms);
  for (const comm of comms) comm.close();
  for (const device of devices) device.close();
});

test('the same rank twice on one listener ~> refused at the second', async () => {
  const listener = openListener('127.0.0.1');
  const [first, second] = [tryToConnect(0, [listener, listener]), tryToConnect(0, [listener, listener])];
  const messages = [(await first)!.message, (await second)!.message].join('\n');
  assert.match(messages, /axis "sp" rank 0 is being connected already on this listener/);
  listener.close();
});

test('a listener closed while a group forms ~> an error, not a wait', async () => {
  const listener = openListener('127.0.0.1');
  const pending = tryToConnect(0, [listener, listener], {}, 20_000);
  setTimeout(() => listener.close(), 20);
  assert.match((await pending)!.message, /sp rank 0 of 2: the listener was closed/);
});

test('a device closed while its group forms ~> an error, not a wait', async () => {
  const listener = openListener('127.0.0.1');
  const device = openCpuDevice();
  const addresses = [listener, listener].map(({ port }) => ({ host: '127.0.0.1', port }));
  const pending = connectTcp({ ...testJob, device, listener, rank: 0, addresses });
  device.close();
  const error = await pending.then(
    () => null,
    (reason: LongscanError) => reason,
  );
  assert.match(error!.message, /the device was closed with work under way/);
  listener.close();
});

test('a host that is not here, a short token ~> clear errors', async () => {
  assert.throws(
    () => openListener('192.0.2.1'),
    /cannot listen on host "192.0.2.1": Cannot assign requested address/,
  );
  const listener = openListener('127.0.0.1');
  const error = await tryToConnect(0, [listener, listener], { token: 'short' });
  assert.match(error!.message, /commConnectTcp: token is shorter than 16 bytes/);
  listener.close();
});

test('fifty groups opened and closed leave no descriptor behind', async () => {
  const numDescriptors = () => readdirSync('/proc/self/fd').length;
  const cycle = async () => (await openTcpGroup(2)).close();
  await cycle();
  const before = numDescriptors();
  for (let i = 0; i < 50; i++) await cycle();
  assert.is(numDescriptors(), before);
});

test.run();
