import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { openCpuDevice } from '../../device.js';
import { LongscanError } from '../../errors.js';
import { fromArray } from '../../tensor.js';
import { linear } from './index.js';

test('a missing oneDNN is an error that names the path and the remedies, at every call', () => {
  process.env.LONGSCAN_ONEDNN = '/nowhere/libdnnl.so.9';
  const device = openCpuDevice();
  try {
    for (let attempt = 0; attempt < 2; attempt++) {
      const x = fromArray(device, [1, 2], [1, 2]);
      try {
        linear({ x, weight: x, bias: null });
        assert.unreachable();
      } catch (error) {
        assert.instance(error, LongscanError);
        assert.is((error as LongscanError).code, 'E-ONEDNN');
        assert.is((error as LongscanError).exitCode, 3);
        for (const part of [
          '/nowhere/libdnnl.so.9',
          'libdnnl2',
          'LONGSCAN_ONEDNN',
          'LONGSCAN_GEMM=builtin',
        ]) {
          assert.ok((error as Error).message.includes(part), `${part} in ${(error as Error).message}`);
        }
      }
    }
  } finally {
    device.close();
  }
});

test.run();
