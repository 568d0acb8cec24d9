import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { formatRows, rowsForJson } from './kernel-rows.js';
import { readPeerTimes } from './peer-times.js';

const machine = { gpu: 'NVIDIA H200', torch: '2.11.0', triton: '3.6.0', fla: '0.5.2', refusalLifted: true };
const peerRows = [
  {
    ...{ op: 'gla', T: 8192, H: 16, K: 128, V: 128, bytes: [1, 2], flops: null },
    ours: { missing: 'LookupError: not in this library' },
    peer: { forward: [0.6, 0.5, 0.7], both: [2, 1.9, 2.1], graph: [1.6, 1.5, 1.7], peakBytes: 1e9 },
  },
  { op: 'delta', T: 8192, H: 16, K: 128, V: 128, peer: { missing: 'RuntimeError: refused' } },
];
const measured = {
  ...{ op: 'gla', B: 1, T: 8192, H: 16, K: 128, V: 128, dtype: 'bf16', pass: 'both' },
  ...{ medianMs: 0.8, lowMs: 0.7, highMs: 0.9, graphMs: 0.4, bytesFloorMs: 0.2, bytesFraction: 0.25 },
  ...{ flopsFloorMs: 0.1, flopsFraction: 0.125, extraBytes: 1024 },
};
const rows = [
  measured,
  { ...measured, pass: 'forward', graphMs: null },
  { ...measured, op: 'deltanet' },
  { ...measured, B: 2 },
  { ...measured, dtype: 'f32' },
  { op: 'kda', T: 8192, pass: null, missing: 'error[E-CUDA-KERNEL] kda: no CUDA kernel' },
];
const result = {
  machine: { device: 'cuda', name: 'NVIDIA H200' },
  ceilings: { bytesPerSecond: 4e12, flopsPerSecond: 8e14 },
  rows,
};

function peerTimes(content: string) {
  const folder = mkdtempSync(path.join(tmpdir(), 'longscan-peers-'));
  try {
    const file = path.join(folder, 'kernels.json');
    writeFileSync(file, content);
    return readPeerTimes(file);
  } finally {
    rmSync(folder, { recursive: true });
  }
}

const peer = peerTimes(JSON.stringify({ machine, ceilings: {}, rows: peerRows, errors: [] }));

test("bench rows ~> the peer's times stand beside ours at the same op, sizes and type, and nowhere else", () => {
  const ratios = rowsForJson(result, peer).map(({ peerMs, ratio, graphRatio }) => [
    peerMs,
    ratio,
    graphRatio,
  ]);
  assert.equal(ratios, [
    [2, 0.4, 0.25],
    [0.6, 0.8 / 0.6, null],
    [null, null, null],
    [null, null, null],
    [null, null, null],
    [undefined, undefined, undefined],
  ]);
  assert.not('ratio' in rowsForJson(result, null)[0]!);
});

test('bench rows ~> a table with fractions of both floors, ratios, what is missing and what it was compared with', () => {
  const [header, first, ...rest] = formatRows(rows, peer).split('\n');
  assert.match(header!, /graph +bytes floor +FLOP floor +extra memory +peer +ratio +graph ratio$/);
  assert.match(
    first!,
    /^gla +8192 +forward \+ backward +0\.8000.* 0\.4000 .*= 25 %.*= 13 %.*KiB +2\.000 +0\.40 +0\.25$/,
  );
  assert.match(
    rest.join('\n'),
    /\nkda, T = 8192: error\[E-CUDA-KERNEL\].*\npeer: flash-linear-attention 0\.5\.2.*computes them wrongly/,
  );
  assert.match(formatRows(rows, null).split('\n')[0]!, /extra memory$/);
});

test('bench rows ~> a file of another kind is told what is wrong with it', () => {
  for (const [content, expected] of [
    [
      '{',
      /E-CLI-USAGE.*--beside .*kernels\.json: .*JSON.*expected kernels\.json as scripts\/peers\/bench_kernels\.py/,
    ],
    ['{"machine":{}}', /E-CLI-USAGE.*machine\.gpu: /],
    [JSON.stringify({ machine, rows: [{ ...peerRows[0], T: 'long' }] }), /rows\.0\.T: /],
  ] as const)
    assert.throws(() => peerTimes(content), expected);
  assert.throws(() => readPeerTimes('/nowhere/kernels.json'), /E-CLI-USAGE.*no such file/);
});

test.run();
