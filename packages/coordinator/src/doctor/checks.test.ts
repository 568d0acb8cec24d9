import { mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { type AddressInfo, createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type Known, LongscanError } from '@longscan/worker/protocol';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { coreQuota } from '../plan/control-groups.js';
import { askFact } from './ask-fact.js';
import { formatChecks } from './check.js';
import { checkLinks } from './gpu-group.js';
import { guarded } from './guarded.js';
import { checkCores, checkDisk, checkMemory } from './host.js';

const folder = mkdtempSync(join(tmpdir(), 'longscan-checks-'));
const test = suite('checks');
test.after(() => rmSync(folder, { recursive: true }));

test('a check that fails or never ends is told and keeps nobody', async () => {
  const fails = () => {
    throw new LongscanError({ code: 'E-DISK', where: '/place', found: 'full', fix: 'free some' });
  };
  const told = [{ name: 'disk', status: 'failed', found: '/place: full', fix: 'free some' }];
  assert.equal(await guarded('disk', fails), told);
  let isEnded = false;
  const endless = (signal: AbortSignal) =>
    new Promise<never>(() => {
      signal.addEventListener('abort', () => {
        isEnded = true;
      });
    });
  const never = await guarded('gpus', endless, 20);
  assert.ok(isEnded);
  assert.equal(never, [{ name: 'gpus', status: 'failed', found: 'no answer within 0.02 s' }]);
});

test('a fact whose process hangs is killed at its deadline; one that dies says how', async () => {
  const server = createServer(() => {}).listen(0, '127.0.0.1');
  await new Promise((resolve) => server.on('listening', resolve));
  const { port } = server.address() as AddressInfo;
  const late = await askFact('loopback', [String(port)], { deadlineMs: 2000 });
  server.close();
  assert.equal(late, { ok: false, code: 'E-DEADLINE', found: 'no answer within 2 s' });
  const env = { ...process.env, NODE_OPTIONS: '--no-such-flag' };
  const died = await askFact('addon', [], { env, deadlineMs: 60_000 });
  assert.ok(!died.ok && died.code === 'E-DIED');
  assert.match(died.found, /exit code 9.*--no-such-flag/);
});

test('a disk: one that can be written keeps nothing; too little room, and no folder, are refused', async () => {
  assert.is(checkDisk(0, join(folder, 'runs', 'deep')).name, 'disk');
  assert.equal(readdirSync(folder), []);
  const [full] = await guarded('disk', () => [checkDisk(2 ** 60, folder)]);
  assert.is(full!.status, 'failed');
  assert.match(full!.found, /bytes free$/);
  writeFileSync(join(folder, 'file'), '');
  const [noFolder] = await guarded('disk', () => [checkDisk(0, join(folder, 'file', 'runs'))]);
  assert.is(noFolder!.status, 'failed');
  assert.match(noFolder!.found, 'ENOTDIR');
});

test('what a container leaves of the cores and the memory', () => {
  const files = { proc: join(folder, 'proc'), cgroup: join(folder, 'cgroup') };
  mkdirSync(join(files.proc, 'self'), { recursive: true });
  mkdirSync(join(files.cgroup, 'a/b'), { recursive: true });
  writeFileSync(join(files.proc, 'self/cgroup'), '0::/a/b\n');
  writeFileSync(join(files.cgroup, 'a/b/cpu.max'), 'max 100000\n');
  assert.is(coreQuota(files), null);
  writeFileSync(join(files.cgroup, 'a/cpu.max'), '150000 100000\n');
  assert.is(coreQuota(files), 1.5);
  assert.is(checkCores(1.5, 8).status, 'warning');
  assert.match(checkCores(1.5, 8).found, 'the time of 1.5');
  assert.is(checkCores(null, 8).status, 'ok');
  assert.is(checkMemory(2 ** 20).status, 'warning');
  assert.is(checkMemory(2 ** 34).status, 'ok');
});

test('GPUs that NCCL connects ~> a warning where chains go by messages and nobody chose so', () => {
  const groupOf = (value: Known<'group'>) => checkLinks({ ok: true, value }, [{ ok: true, value }]);
  const mapped = groupOf({ carrier: 'mapped-memory' });
  const connects = 'NCCL connects 2 GPUs; chains';
  assert.equal([mapped.status, mapped.found], ['ok', `${connects} through the neighbours' mapped memory`]);
  const messages = { carrier: 'messages', reason: 'rank 0: so it is' } as const;
  const found = `${connects} over NCCL: rank 0: so it is`;
  assert.equal(groupOf({ ...messages, isChosen: true }), { name: 'gpu links', status: 'ok', found });
  const slow = groupOf({ ...messages, isChosen: false });
  assert.equal([slow.status, slow.found], ['warning', found]);
  assert.match(slow.fix!, 'IPC and process namespaces');
  const refused = { ok: false, code: 'E-NCCL', found: 'no route' } as const;
  const failed = checkLinks({ ok: true, value: { carrier: 'mapped-memory' } }, [refused]);
  assert.equal([failed.status, failed.found], ['failed', 'NCCL does not connect: no route']);
  assert.match(failed.fix!, 'NCCL_DEBUG=INFO');
});

test('one line each, whatever an error says', () => {
  const text = formatChecks([
    { name: 'a', status: 'ok', found: 'x' },
    { name: 'longer', status: 'failed', found: 'two\n  lines', expected: 'one', fix: 'join them' },
  ]);
  assert.is(text, 'ok      a       x\nfailed  longer  two lines, expected one. Fix: join them');
});

test.run();
