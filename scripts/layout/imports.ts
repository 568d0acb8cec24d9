import path from 'node:path';
import type { LayoutRule, SourceFile } from './source-files.js';

/** What each package may import of the others: kernels <- worker <- coordinator, one way. */
const arrows: Readonly<Record<string, readonly string[]>> = {
  kernels: [],
  worker: ['kernels'],
  coordinator: ['worker'],
};

/** The arrows between packages, and the borders inside them that keep the seams independent. */
export const checkImports: LayoutRule = (files) => {
  const problems: string[] = [];
  for (const file of files) {
    const home = /^packages\/([^/]+)\/src\/.*\.ts$/.exec(file.path)?.[1];
    if (home === undefined) continue;
    for (const { clause, specifier } of listImports(file)) {
      const target = resolve(file.path, specifier);
      const complain = (rule: string) => problems.push(`${file.path}: imports ${specifier}; ${rule}`);
      const other = /^@longscan\/([^/]+)/.exec(specifier)?.[1];
      if (other !== undefined && !arrows[home]?.includes(other))
        complain(`${home} may import ${arrows[home]?.join(', ') || 'no other package'}`);
      if (specifier.startsWith('.') && !target.startsWith(`packages/${home}/`))
        complain('packages reach each other by name, and nothing outside packages/');
      if (home === 'coordinator' && /load-addon/.test(specifier))
        complain('the coordinator never opens the native library');
      if (/^packages\/worker\/src\/(layers|layer-parts)\//.test(file.path) && touchesRanks(clause, target))
        complain('a layer never sees a rank: use ctx');
      if (file.path.startsWith('packages/worker/src/sp/') && target.startsWith('packages/worker/src/layers/'))
        complain('a strategy knows segments, not layers');
    }
  }
  return problems;
};

function touchesRanks(clause: string, target: string): boolean {
  return (
    /^packages\/worker\/src\/(sp|sequence|training)\//.test(target) ||
    /\/comm(\/|\.js|$)/.test(target) ||
    /\bCommunicator\b/.test(clause)
  );
}

/** The file that a relative specifier means, from the root; other specifiers as they are. */
function resolve(from: string, specifier: string): string {
  return specifier.startsWith('.') ? path.posix.join(path.posix.dirname(from), specifier) : specifier;
}

/** Import statements and calls; text in backquotes may show code (a template for users' files) and is skipped. */
function listImports(file: SourceFile): { clause: string; specifier: string }[] {
  const text = file.text.replaceAll(/`[^`]*`/g, '``');
  const statements = text.matchAll(/^(?:import|export)\b([^;'"]*?)\bfrom\s*['"]([^'"]+)['"]/gm);
  const others = text.matchAll(/\bimport\s*(\()?\s*['"]([^'"]+)['"]/g);
  return [...statements, ...others].map(([, clause, specifier]) => ({
    clause: clause ?? '',
    specifier: specifier!,
  }));
}
