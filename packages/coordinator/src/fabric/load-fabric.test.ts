import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { jobFileSchema } from '@longscan/worker/protocol';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { JobErrors } from '../spec/index.js';
import type { FabricFile } from './fabric-file.js';
import { assumedFabric, fabricOf, isFabricPath, isProbed, loadFabric } from './load-fabric.js';
import type { Machine } from './machine.js';
import { presetNames, presets } from './presets.js';

const here: Machine = { host: '0123456789ab', cpu: 'Some CPU', cores: 8 };
const link = { latencyS: 1e-5, gapS: 5e-6, bandwidthBytesPerS: 1e9 };

const measured: NonNullable<FabricFile['measured']> = {
  date: '2026-11-29T10:00:00.000Z',
  machine: { ...here, device: 'cpu' },
  engine: 'tcp',
  versions: { node: '20.20.2' },
  numRanks: 2,
  fit: { inside: { meanRelativeError: 0, worstRelativeError: 0, residuals: [] } },
  points: [{ op: 'send-recv', bytes: 8 }],
};
const file: FabricFile = { schema: 1, name: 'mine', link };

/** What a fabric file with this text is loaded as. */
function load(text: string | object, name = 'fabric.json') {
  const folder = mkdtempSync(join(tmpdir(), 'longscan-fabric-'));
  try {
    writeFileSync(join(folder, name), typeof text === 'string' ? text : JSON.stringify(text, null, 2));
    return loadFabric(join(folder, name), here);
  } finally {
    rmSync(folder, { recursive: true });
  }
}

/** What all values that are wrong have in common is left out. */
const bare = (message: string) =>
  message.replaceAll('. Fix: correct it there, or have longscan bench write the file anew (--save)', '');

function errorOf(body: () => unknown): Error {
  try {
    body();
  } catch (error) {
    return error as Error;
  }
  throw new Error('expected an error');
}

test('presets ~> each is loaded, and says what it is not', () => {
  assert.equal([...presetNames], ['loopback-tcp', 'h200-vm', 'h100', 'h200']);
  for (const name of presetNames) {
    const fabric = loadFabric(name, here);
    for (const { latencyS, gapS, bandwidthBytesPerS } of [fabric, fabric.nodes?.between ?? fabric])
      assert.ok(latencyS > 0 && gapS > 0 && bandwidthBytesPerS > 0, name);
    assert.is(fabric.notes?.length, 1, name);
    const isAssumed = presets[name].measuredOn === null;
    assert.match(fabric.notes![0]!, isAssumed ? /assumptions/ : /measured on another machine/);
    assert.is(
      /\(assumed\)$/.test(fabric.name),
      isAssumed,
      'which the name says too, wherever it stands alone',
    );
  }
  assert.equal(loadFabric('loopback-tcp', { host: 'any', cpu: 'AMD EPYC', cores: 2 }).notes, []);
});

test('presets ~> a name that is none, with what was meant', () => {
  const { message } = errorOf(() => loadFabric('h20', here));
  assert.match(
    message,
    /^error\[E-REG\] fabric: unknown fabric "h20", expected one of auto, probe, loopback-tcp, h200-vm, h100, h200, or the path/,
  );
  assert.match(message, /did you mean h[12]00\?$/);
  for (const path of ['./fabric', 'fabric.json', '/a/b', 'a.toml']) assert.ok(isFabricPath(path));
});

test('probe ~> no links before ranks have measured them; one rank has none, and nothing is assumed of nodes', () => {
  const job = (sp: number, engine: 'tcp' | 'nccl' = 'tcp') => {
    const parallel = { ...jobFileSchema.parse({ data: { path: 'x' } }).parallel, fabric: 'probe', sp };
    return { parallel, device: { engine } } as Parameters<typeof fabricOf>[0];
  };
  assert.is(isProbed(job(2)), true);
  assert.match(
    errorOf(() => fabricOf(job(2))).message,
    /^error\[E-FABRIC-PROBE\] parallel\.fabric: "probe", where no rank is started .*bench collectives --save/,
  );
  assert.is(isProbed(job(1)), false);
  assert.is(fabricOf(job(1)).name, 'tcp over loopback');
  assert.is(assumedFabric(job(16, 'nccl')).nodes, undefined);
  assert.is(assumedFabric(job(16, 'nccl')).latencyS, loadFabric('h200', here).latencyS);
});

test('fabric files ~> links and nodes; what was not measured here is said', () => {
  const nodes = { ranksPerNode: 4, between: { ...link, latencyS: 1e-4 } };
  const assumed = load({ ...file, nodes });
  assert.equal({ ...assumed, notes: [] }, { name: 'mine', ...link, nodes, notes: [] });
  assert.match(assumed.notes![0]!, /^the links of "mine" are assumptions, not measurements; measure yours/);
  assert.equal(load({ ...file, measured }), { name: 'mine', ...link, notes: [] });
  for (const machine of [{ host: 'ffffffffffff' }, { cpu: 'Other CPU' }, { cores: 9 }]) {
    const other = load({ ...file, measured: { ...measured, machine: { ...measured.machine, ...machine } } });
    assert.is(other.notes?.length, 1);
    assert.match(
      other.notes![0]!,
      /^the links of "mine" were measured on another machine \(.* cores, host [0-9a-f]+\) on 2026-11-29, not on this one \(Some CPU, 8 cores, host 0123456789ab\); measure yours/,
    );
  }
  const toml = 'schema = 1\nname = "mine"\n[link]\nlatencyS = 1e-5\ngapS = 5e-6\nbandwidthBytesPerS = 1e9\n';
  assert.is(load(toml, 'fabric.toml').bandwidthBytesPerS, 1e9);
});

test('fabric files ~> chains through mapped memory where the file has them, and none of an older file', () => {
  const chains = { launchS: 2e-5, latencyS: 0, bandwidthBytesPerS: 1e11 };
  assert.equal(load({ ...file, chains }).chains, chains);
  assert.is(load({ ...file, chains: { ...chains, denseFlopsPerS: 1e12 } }).chains?.denseFlopsPerS, 1e12);
  assert.is('chains' in load(file), false);
  const fit = { meanRelativeError: 0, worstRelativeError: 0, residuals: [] };
  const fits = { ...measured, fit: { ...measured.fit, chains: fit } };
  assert.equal(load({ ...file, chains, measured: fits }).notes, []);
  const toml =
    'schema = 1\nname = "mine"\n[link]\nlatencyS = 1e-5\ngapS = 5e-6\nbandwidthBytesPerS = 1e9\n' +
    '[chains]\nlaunchS = -1\nbandwidthBytesPerS = 0\nlatency = 3\ndenseFlopsPerS = "fast"\n';
  const lines = bare(errorOf(() => load(toml, 'fabric.toml')).message).split('\n');
  const expected = [
    /:8:11 chains\.launchS: -1, expected a finite number >= 0$/,
    /:7:1 chains\.latencyS: missing, expected a finite number >= 0$/,
    /:9:22 chains\.bandwidthBytesPerS: 0, expected a finite number > 0$/,
    /:11:18 chains\.denseFlopsPerS: "fast" \(a string\), expected a finite number > 0$/,
    /:10:1 chains\.latency: unknown key\. Fix: did you mean latencyS\?$/,
  ];
  assert.is(lines.length, expected.length, lines.join('\n'));
  for (const [i, pattern] of expected.entries()) assert.match(lines[i]!, pattern);
  assert.match(
    bare(errorOf(() => load({ ...file, chains: 'fast' })).message),
    /chains: "fast" \(a string\), expected a table of settings$/,
  );
});

test('fabric files ~> every bad number is told, each with its line and key path', () => {
  const text = `{
  "schema": 1,
  "name": "",
  "link": { "latencyS": -1e-5, "gapS": 0, "bandwidthBytesPerS": 1e999 },
  "nodes": {
    "ranksPerNode": 0.5,
    "between": { "latencyS": "10us", "gapS": null, "bandwidthBytes": 3 }
  }
}`;
  const error = errorOf(() => load(text));
  assert.instance(error, JobErrors);
  const expected = [
    /^error\[E-FABRIC\] \S+fabric\.json:3:11 name: "" \(a string\), expected a string that is not empty$/,
    /:4:25 link\.latencyS: -0\.00001, expected a finite number > 0$/,
    /:4:40 link\.gapS: 0, expected a finite number > 0$/,
    /:4:65 link\.bandwidthBytesPerS: Infinity, expected a finite number > 0$/,
    /:6:21 nodes\.ranksPerNode: 0\.5, expected an integer >= 1$/,
    /:7:30 nodes\.between\.latencyS: "10us" \(a string\), expected a finite number > 0$/,
    /:7:46 nodes\.between\.gapS: nothing, expected a finite number > 0$/,
    /:7:16 nodes\.between\.bandwidthBytesPerS: missing, expected a finite number > 0$/,
    /:7:52 nodes\.between\.bandwidthBytes: unknown key\. Fix: did you mean bandwidthBytesPerS\?$/,
  ];
  assert.match(error.message, /\. Fix: correct it there, or .* \(--save\)$/m);
  const lines = bare(error.message).split('\n');
  assert.is(lines.length, expected.length, error.message);
  for (const [i, pattern] of expected.entries()) assert.match(lines[i]!, pattern);
});

test('fabric files ~> other versions, shapes and syntax; files that are none', () => {
  for (const [text, expected] of [
    [{ ...file, schema: 2 }, /schema: 2, expected 1, which is all that this version of longscan reads$/],
    [{ ...file, link: [1, 2, 3] }, /link: a list of 3, expected a table of settings$/],
    [{ ...file, links: link }, /links: unknown key\. Fix: did you mean link\?$/],
    [{ schema: 1, name: 'mine' }, /link: missing, expected a table of settings$/],
    [{ ...file, measured: { ...measured, numRanks: 1 } }, /measured\.numRanks: 1, expected an integer >= 2$/],
    [{ ...file, measured: { ...measured, points: 3 } }, /measured\.points: 3, expected a list$/],
    ['{ "schema": 1, ', /E-CFG-PARSE/],
    ['[1, 2]', /E-CFG-PARSE.*not a table of sections/s],
    ['', /E-CFG-PARSE/],
    ['{ "schema": 1, "__proto__": { "name": "x" } }', /__proto__/],
  ] as const)
    assert.match(bare(errorOf(() => load(text)).message), expected);
  assert.match(
    errorOf(() => loadFabric('/nowhere/fabric.json', here)).message,
    /^error\[E-CFG-READ\] \/nowhere\/fabric\.json: no such file, expected a fabric file \(\.toml, /,
  );
  assert.match(
    errorOf(() => loadFabric('/tmp/x.csv', here)).message,
    /the extension \.csv, expected a fabric file/,
  );
  assert.match(errorOf(() => loadFabric('/tmp/', here)).message, /E-CFG-READ/);
});

test.run();
