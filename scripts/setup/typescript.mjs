import { existsSync, rmSync } from 'node:fs';
import path from 'node:path';
import { root, run, say } from './exec.mjs';
import { workspaceFolders } from './packages.mjs';
import { hashFiles, listFiles, readStamp, writeStamp } from './stamps.mjs';

const outputEndings = ['.js', '.js.map', '.d.ts', '.d.ts.map'];

/** Compiles every project; before that, removes outputs that lost their source, which a listing would still find. */
export function buildTypeScript() {
  const projects = workspaceFolders()
    .filter((folder) => existsSync(path.join(folder, 'tsconfig.json')))
    .map(describeProject);
  for (const project of projects) removeOrphans(project);
  const configs = listFiles(root, (name) => /^tsconfig.*\.json$/.test(name));
  const sources = projects.flatMap((project) => project.sources);
  const hash = hashFiles([...configs, ...sources, path.join(root, 'pnpm-lock.yaml')]);
  const incomplete = projects.filter((project) => project.outputs.some((file) => !existsSync(file)));
  if (readStamp('typescript') === hash && incomplete.length === 0) return;
  // tsc looks only at its build record, so a project with a deleted output would count as up to date.
  for (const { folder } of incomplete) rmSync(path.join(folder, 'tsconfig.tsbuildinfo'), { force: true });
  say('compiling TypeScript');
  run(path.join(root, 'node_modules/.bin/tsc'), ['-b'], { fix: 'correct the errors above', exitCode: 1 });
  writeStamp('typescript', hash);
}

/** Packages keep their sources in src/; examples and scripts have them at their top. */
function describeProject(folder) {
  const src = path.join(folder, 'src');
  const sourceRoot = existsSync(src) ? src : folder;
  const dist = path.join(folder, 'dist');
  const sources = listFiles(sourceRoot, (name) => name.endsWith('.ts') && !name.endsWith('.d.ts'));
  const outputs = sources.map((file) =>
    path.join(dist, path.relative(sourceRoot, file).replace(/\.ts$/, '.js')),
  );
  return { folder, dist, sources, outputs };
}

/** Deletes compiled files in dist/ whose .ts source is gone. */
function removeOrphans({ dist, outputs }) {
  if (!existsSync(dist)) return;
  const kept = new Set(
    outputs.flatMap((file) => outputEndings.map((ending) => file.slice(0, -'.js'.length) + ending)),
  );
  const built = listFiles(dist, (name) => outputEndings.some((ending) => name.endsWith(ending)));
  for (const file of built.filter((built) => !kept.has(built))) {
    say(`removing ${path.relative(root, file)}, which has lost its source`);
    rmSync(file);
  }
}
