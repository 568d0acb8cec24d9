import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { failureOf, fakeNccl, withFakeGpu } from '../testing/fake-gpu.js';
import { connectNccl, createNcclGroupId, openNccl } from './nccl.js';

// NCCL is opened once in a process, so what keeps it from opening comes first.

test('no NCCL: what was tried and what to do', () => {
  process.env.LONGSCAN_NCCL = '/nowhere/libnccl.so.2';
  const error = failureOf(() => openNccl());
  assert.is(error.code, 'E-NCCL');
  assert.is(error.exitCode, 3);
  assert.match(error.message, /Tried: \/nowhere\/libnccl\.so\.2.*Fix: .*pip install.*LONGSCAN_NCCL/);
});

test('a library that is no NCCL', () => {
  process.env.LONGSCAN_NCCL = 'libm.so.6';
  assert.match(failureOf(() => openNccl()).message, /E-NCCL.*libm\.so\.6 has no ncclGetVersion.*Fix/);
});

test('an NCCL that is too old: its version and the one that is needed', () => {
  process.env.LONGSCAN_NCCL = fakeNccl;
  process.env.LONGSCAN_FAKE_NCCL = 'version=21304';
  const error = failureOf(() => openNccl());
  assert.match(error.message, /E-NCCL.*is NCCL 2\.13\.4, expected 2\.14\.0 or newer.*Fix/);
  assert.is(error.exitCode, 3);
  process.env.LONGSCAN_FAKE_NCCL = 'version=2708';
  assert.match(failureOf(() => openNccl()).message, /is NCCL 2\.7\.8/);
});

test('version and path are told', () => {
  process.env.LONGSCAN_FAKE_NCCL = '';
  assert.equal(openNccl(), { version: '2.28.3', path: fakeNccl });
});

test('an id of another version, or none at all, is refused at the call', () =>
  withFakeGpu({}, async (device) => {
    const id = createNcclGroupId();
    assert.match(id, /^22803-[0-9a-f]{256}$/);
    const group = { device, axis: 'sp', rank: 0, size: 2 };
    const codeOf = async (text: string) => {
      try {
        await connectNccl({ ...group, id: text });
      } catch (error) {
        return error as Error & { code: string };
      }
      throw new Error('nothing was thrown');
    };
    const other = await codeOf(id.replace('22803', '22707'));
    assert.is(other.code, 'E-NCCL');
    assert.match(other.message, /sp rank 0: .* is NCCL 2\.28\.3, the group's is 2\.27\.7.*Fix/);
    for (const text of ['', '22803', '22803-12', `x-${id.slice(6)}`]) {
      assert.match((await codeOf(text)).message, /E-ARGUMENT.*not the id of an NCCL group/);
    }
  }));

test.run();
