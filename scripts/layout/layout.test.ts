import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { checkImports } from './imports.js';
import { checkLineBudget, describeSizes } from './line-budget.js';
import { checkNativeBorders } from './native-borders.js';
import { checkPages } from './pages.js';
import { checkReadmeTree } from './readme-tree.js';
import { checkOpFolders, checkSeamFolders } from './seam-folders.js';
import type { LayoutRule } from './source-files.js';

/** Runs a rule on files given as `path: text`; returns its problems. */
function check(rule: LayoutRule, files: Record<string, string>): string[] {
  return rule(Object.entries(files).map(([path, text]) => ({ path, text })));
}

const layers = 'packages/worker/src/layers';
const unit = 'export default defineLayer({});';

test('a seam folder may hold units', () => {
  assert.equal(
    check(checkSeamFolders, { [`${layers}/gla.ts`]: unit, 'packages/worker/src/layer.ts': '' }),
    [],
  );
});

test('a seam folder may not hold contracts, tests, other files or folders', () => {
  for (const name of ['layer.ts', 'gla.test.ts', 'README.md', 'deep/gla.ts', 'Gla.ts']) {
    const text = name === 'layer.ts' ? 'export function defineLayer() {}' : unit;
    assert.is(check(checkSeamFolders, { [`${layers}/${name}`]: text }).length, 1, name);
  }
});

const op = 'packages/kernels/src/ops/gated-linear';
const opFiles = [
  'index.ts',
  'reference.ts',
  'native.ts',
  'gated_linear.h',
  'cpu.cc',
  'binding.cc',
  'README.md',
  'gated-linear.test.ts',
];

test('an op folder needs every one of its files', () => {
  const whole = Object.fromEntries(opFiles.map((name) => [`${op}/${name}`, '']));
  assert.equal(check(checkOpFolders, whole), []);
  for (const name of opFiles) {
    const rest = Object.fromEntries(Object.entries(whole).filter(([path]) => path !== `${op}/${name}`));
    assert.equal(check(checkOpFolders, rest), [`${op}: ${name} is missing`]);
  }
});

test('an op that only moves memory has neither header nor cpu.cc', () => {
  const moves = opFiles.filter((name) => name !== 'gated_linear.h' && name !== 'cpu.cc');
  assert.equal(check(checkOpFolders, Object.fromEntries(moves.map((name) => [`${op}/${name}`, '']))), []);
});

test('shared code does not lie among the ops', () => {
  assert.is(check(checkOpFolders, { 'packages/kernels/src/ops/shared.h': '' }).length, 1);
});

test('packages import along the arrows only', () => {
  const allowed = {
    'packages/worker/src/a.ts': "import { Tensor } from '@longscan/kernels';\nimport './b.js';",
    'packages/coordinator/src/a.ts': "export type { Plan } from '@longscan/worker/protocol';",
    'packages/coordinator/src/template.ts': "const file = `\nimport { x } from '@longscan/kernels';\n`;",
    'scripts/a.ts': "import '@longscan/coordinator';",
  };
  assert.equal(check(checkImports, allowed), []);
  const forbidden: Record<string, string> = {
    'packages/kernels/src/a.ts': "import {\n  type Plan,\n} from '@longscan/worker';",
    'packages/kernels/src/b.ts': "await import('@longscan/coordinator');",
    'packages/worker/src/c.ts': "export * from '@longscan/coordinator';",
    'packages/coordinator/src/d.ts': "import { LongscanError } from '@longscan/kernels';",
    'packages/worker/src/e.ts': "import job from '../../../examples/moby-dick/job.js';",
    'packages/worker/src/f.ts': "import '../../kernels/src/tensor.js';",
    'packages/coordinator/src/g.ts': "import { loadAddon } from '@longscan/worker/load-addon.js';",
  };
  for (const [path, text] of Object.entries(forbidden))
    assert.is(check(checkImports, { [path]: text }).length, 1, path);
});

test('layers see no ranks and strategies no layers', () => {
  const forbidden: [string, string][] = [
    [`${layers}/a.ts`, "import { ring } from '../sp/ring.js';"],
    [`${layers}/b.ts`, "import { group } from '../comm/group.js';"],
    [`${layers}/d.ts`, "import { recurrence } from '../sequence/recurrence.js';"],
    ['packages/worker/src/layer-parts/e.ts', "import { withHalo } from '../sequence/halo.js';"],
    [`${layers}/c.ts`, "import type { Communicator } from '@longscan/kernels';"],
    ['packages/worker/src/sp/ring.ts', "import gla from '../layers/gla.js';"],
  ];
  for (const [path, text] of forbidden) assert.is(check(checkImports, { [path]: text }).length, 1, path);
});

test('only bindings and addon/ include napi.h, and no op reads the environment', () => {
  const napi = '#include <napi.h>\n';
  assert.equal(
    check(checkNativeBorders, { [`${op}/binding.cc`]: napi, 'packages/kernels/src/addon/args.h': napi }),
    [],
  );
  assert.is(check(checkNativeBorders, { [`${op}/cpu.cc`]: napi }).length, 1);
  assert.is(
    check(checkNativeBorders, { 'packages/kernels/src/core/stream.h': '#include "node_api.h"' }).length,
    1,
  );
  assert.is(check(checkNativeBorders, { [`${op}/cpu.cc`]: 'std::getenv("X")' }).length, 1);
});

test('a file over 400 lines is named', () => {
  assert.equal(check(checkLineBudget, { 'a.ts': 'x\n'.repeat(400) }), []);
  assert.match(check(checkLineBudget, { 'a.ts': 'x\n'.repeat(401) }).join(), /^a\.ts: 401 lines/);
  assert.match(describeSizes([{ path: 'a.ts', text: 'x\n' }]), '1 files of code, median 1 lines');
});

const tree =
  '# longscan\n\n```\nlongscan/\n  docs/       notes\n  packages/\n    worker/   one rank\n      src/data/  batches\n```\n';
const disk = { 'docs/a.md': '', 'packages/worker/src/data/a.ts': '' };

test('the README lists the folders that are there', () => {
  assert.equal(check(checkReadmeTree, { 'README.md': tree, ...disk }), []);
  assert.match(
    check(checkReadmeTree, { 'README.md': tree, 'docs/a.md': '' }).join(),
    /lists packages\/worker\/src\/data\//,
  );
  const more = check(checkReadmeTree, {
    'README.md': tree,
    ...disk,
    'packages/worker/src/sp/a.ts': '',
    'examples/a.ts': '',
  });
  assert.equal(more, [
    "packages/worker/src/sp/: is missing in README.md's file tree",
    "examples/: is missing in README.md's file tree",
  ]);
  assert.is(check(checkReadmeTree, disk).length, 1);
});

test('every page of docs is linked, and links lead somewhere', () => {
  const pages = {
    'README.md': '[docs](docs/README.md), `[code](nowhere.md)`, [site](https://example.org)',
    'docs/README.md': '[a](a.md#part) [figures](figures/README.md) [the tree](../packages/)',
    'docs/a.md': '',
    'docs/figures/README.md': '[one](one.md)',
    'docs/figures/one.md': '[home](../../README.md)',
    'packages/x.ts': '',
  };
  assert.equal(check(checkPages, pages), []);
  const more = { ...pages, 'docs/figures/two.md': '[gone](three.md)', 'docs/sub/README.md': '' };
  assert.equal(check(checkPages, more), [
    'docs/figures/two.md: links docs/figures/three.md, which is not there',
    'docs/figures/two.md: no link from docs/figures/README.md',
    'docs/sub/README.md: no link from docs/README.md',
  ]);
});

test.run();
