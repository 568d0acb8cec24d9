import type { LayoutRule } from './source-files.js';

/** Folders whose listing is the registry: each file in them is a unit, so nothing else may lie there. */
const seams: Readonly<Record<string, string>> = {
  'packages/worker/src/layers': 'defineLayer',
  'packages/worker/src/sp': 'defineStrategy',
  'packages/worker/src/attention-strategies': 'defineAttentionStrategy',
  'packages/coordinator/src/launchers': 'defineLauncher',
};

const opsFolder = 'packages/kernels/src/ops/';
const unitName = /^[a-z0-9-]+$/;

/** Seam folders hold units only: contracts and helpers live one level up, tests elsewhere. */
export const checkSeamFolders: LayoutRule = (files) => {
  const problems: string[] = [];
  for (const { path, text } of files) {
    const folder = path.slice(0, path.lastIndexOf('/'));
    const seam = Object.keys(seams).find((seam) => path.startsWith(`${seam}/`));
    if (seam === undefined) continue;
    const name = path.slice(seam.length + 1);
    if (folder !== seam) problems.push(`${path}: a seam folder has no folders inside`);
    else if (!name.endsWith('.ts') || !unitName.test(name.slice(0, -'.ts'.length)))
      problems.push(
        `${path}: no unit's name, which is [a-z0-9-]+.ts; contracts live one level up, tests elsewhere`,
      );
    else if (!text.includes(`export default ${seams[seam]}(`))
      problems.push(
        `${path}: no unit, which has \`export default ${seams[seam]}(\`; contracts live one level up`,
      );
  }
  return problems;
};

/**
 * A kernel is a folder with these files; the definition, the native code and the maths are never missing. What only moves
 * memory has its code in the binding, with neither header nor cpu.cc.
 */
export const checkOpFolders: LayoutRule = (files) => {
  const problems: string[] = [];
  const paths = new Set(files.map(({ path }) => path));
  const inOps = [...paths].filter((path) => path.startsWith(opsFolder));
  const ops = new Set(inOps.map((path) => path.slice(opsFolder.length).split('/')[0]!));
  for (const op of ops) {
    if (!unitName.test(op) || paths.has(opsFolder + op)) {
      problems.push(
        `${opsFolder}${op}: only folders named [a-z0-9-]+ lie here; shared code lives one level up`,
      );
      continue;
    }
    const header = `${op.replaceAll('-', '_')}.h`;
    const isMove = ![header, 'cpu.cc'].some((name) => paths.has(`${opsFolder}${op}/${name}`));
    const required = [
      'index.ts',
      'reference.ts',
      'native.ts',
      ...(isMove ? [] : [header, 'cpu.cc']),
      'binding.cc',
      'README.md',
      `${op}.test.ts`,
    ];
    for (const name of required)
      if (!paths.has(`${opsFolder}${op}/${name}`)) problems.push(`${opsFolder}${op}: ${name} is missing`);
  }
  return problems;
};
