import { test } from 'uvu';
import { deltaRule } from './ops/delta-rule/index.js';
import { ltiScan } from './ops/lti-scan/index.js';
import { empty } from './tensor.js';
import { checkKept } from './testing/check-kept.js';
import { withFakeGpu } from './testing/fake-gpu.js';

// Without a GPU, over kernels that lay out what they keep as the real ones do, and refuse any other size: what is kept
// between forward and backward pass is as large as plans count.

for (const gate of ['none', 'scalar', 'diagonal'] as const) {
  test(`delta rule, gate: ${gate}`, () =>
    withFakeGpu({ kernels: true }, (device) => {
      for (const [B, T, H, K, V] of [
        [1, 1, 1, 8, 8],
        [2, 63, 3, 40, 72],
        [3, 500, 40, 128, 128],
        // In segments: of few heads, of several a head, of which the last is short.
        [1, 1000, 2, 128, 64],
        [1, 4300, 1, 128, 64],
        [1, 8192, 2, 256, 512],
        [2, 8256, 3, 64, 64],
      ] as const) {
        const rows = [B, T, H] as const;
        checkKept(device, deltaRule({ gate }), (on) => {
          const gateShape = { none: null, scalar: rows, diagonal: [...rows, K] }[gate];
          const k = empty(on, [...rows, K], 'bf16');
          return {
            ...{ q: k, k, v: empty(on, [...rows, V], 'bf16'), b: null, e: null },
            ...{ beta: empty(on, rows), g: gateShape && empty(on, gateShape) },
          };
        });
      }
    }));
}

for (const [gate, erase] of [
  ['none', 'own'],
  ['scalar', 'own'],
  ['diagonal', 'own'],
  ['diagonal', 'dplr'],
] as const) {
  test(`delta rule that erases with keys of their own, ${erase}, gate ${gate}`, () =>
    withFakeGpu({ kernels: true }, (device) => {
      for (const [B, T, H, K, V] of [
        [1, 1, 1, 8, 8],
        [2, 63, 3, 72, 72],
        [3, 500, 40, 64, 64],
        [1, 1000, 2, 128, 256],
      ] as const) {
        checkKept(device, deltaRule({ gate, erase }), (on) => {
          const gateShape = { none: null, scalar: [B, T, H], diagonal: [B, T, H, K] }[gate];
          const k = empty(on, [B, T, H, K], 'bf16');
          return {
            ...{ q: k, k, v: empty(on, [B, T, H, V], 'bf16'), b: k, e: erase === 'dplr' ? k : null },
            ...{ beta: empty(on, [B, T, H]), g: gateShape && empty(on, gateShape) },
          };
        });
      }
    }));
}

for (const signal of ['real', 'complex'] as const) {
  test(`time-invariant scan, ${signal}`, () =>
    withFakeGpu({ kernels: true }, (device) => {
      for (const [B, T, C, N] of [
        [1, 1, 1, 1],
        [2, 1000, 768, 1],
        [1, 65_536, 64, 64],
        [3, 10_007, 33, 20],
        [4, 300, 1024, 256],
      ] as const) {
        checkKept(device, ltiScan(signal), (on) => ({
          u: empty(on, [B, T, signal === 'real' ? C : 2 * C]),
          ...{ logLambda: empty(on, [C, N, 2]), w: empty(on, [C, N, 2]) },
        }));
      }
    }));
}

test.run();
