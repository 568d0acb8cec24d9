import { cpSync, existsSync, mkdirSync, readFileSync, realpathSync } from 'node:fs';
import path from 'node:path';
import { strip } from './runtime.js';

interface Manifest {
  readonly name: string;
  readonly version: string;
  readonly dependencies?: Readonly<Record<string, string>>;
  readonly optionalDependencies?: Readonly<Record<string, string>>;
}

/** Needed to build and not to run, or by command lines of the plotting library's packages that nobody calls. */
const leftOut: readonly string[] = ['node-addon-api', 'vega-typings', 'commander', 'iconv-lite'];

/** Types, maps, descriptions and builds for browsers, and our tests but for those of the CUDA kernels. */
const uselessFile = /\.d\.[cm]?ts$|\.map$|\.md$|\.tsbuildinfo$|\.min\.js$|(?<!\.cuda)\.test\.js$/;

/** Of some packages only a part is run: paths inside the package that are kept. */
const parts: Readonly<Record<string, RegExp>> = {
  // Of its addons, all of which any Node.js loads, the one that is content with the oldest glibc.
  zeromq:
    /^(package\.json|LICENSE.*|lib(\/.*)?|build(\/manifest\.json|\/linux(\/x64(\/node(\/glibc-127.*)?)?)?)?)$/,
  zod: /^(?!src(\/|$))/,
  'cmake-ts': /^(package\.json|build(\/loader\..*)?)$/,
  '@longscan/kernels': /^(package\.json|dist(\/.*)?|build(\/longscan(\.node|_cuda\.so))?)$/,
  '@longscan/worker': /^(package\.json|dist(\/.*)?)$/,
  '@longscan/coordinator': /^(package\.json|dist(\/.*)?|bin(\/.*)?)$/,
  vega: /^(package\.json|LICENSE|build(\/vega\.module\.js)?)$/,
  'vega-lite': /^(package\.json|LICENSE|build(\/index\.js)?)$/,
};

/** The same by family: packages with what is built beside its sources, or in several forms. */
const partsOfFamilies: readonly (readonly [RegExp, RegExp])[] = [
  [/^vega-/, /^(package\.json|LICENSE|build(\/.*)?)$/],
  [/^d3-/, /^(package\.json|LICENSE|src(\/.*)?|dist(\/[^/]*\.mjs)?)$/],
];

function partOf(name: string): RegExp | undefined {
  return parts[name] ?? partsOfFamilies.find(([family]) => family.test(name))?.[1];
}

/**
 * The command line, everything it imports, and what runs the CUDA kernels' tests, side by side in one node_modules; a second
 * version of a package lies inside the package that needs it.
 */
export function addPackages(root: string, folder: string): void {
  const versions = new Map<string, string>();
  add(path.join(root, 'packages/coordinator'), folder);
  add(path.join(root, 'node_modules/uvu'), folder);
  for (const file of ['longscan.node', 'longscan_cuda.so']) {
    const built = path.join(folder, 'node_modules/@longscan/kernels/build', file);
    if (existsSync(built)) strip(built);
  }

  function add(source: string, parent: string): void {
    const from = realpathSync(source);
    const { name, version, dependencies = {}, optionalDependencies = {} } = readManifest(from);
    const before = versions.get(name);
    if (before === version) return;
    if (before === undefined) versions.set(name, version);
    const to = path.join(before === undefined ? folder : parent, 'node_modules', name);
    copyPackage(from, to, partOf(name));
    for (const dependency of Object.keys({ ...dependencies, ...optionalDependencies })) {
      if (leftOut.includes(dependency)) continue;
      const found = findPackage(from, dependency);
      if (found !== null) add(found, to);
      else if (dependency in dependencies && !(dependency in optionalDependencies))
        throw new Error(`${name} needs ${dependency}, which is not installed`);
    }
  }
}

function readManifest(folder: string): Manifest {
  return JSON.parse(readFileSync(path.join(folder, 'package.json'), 'utf8')) as Manifest;
}

/** A dependency as Node finds it from a package's real folder; null: not there (of another platform). */
function findPackage(from: string, name: string): string | null {
  for (let folder = from; ; folder = path.dirname(folder)) {
    const candidate = path.join(folder, 'node_modules', name);
    if (existsSync(path.join(candidate, 'package.json'))) return candidate;
    if (folder === path.dirname(folder)) return null;
  }
}

function copyPackage(from: string, to: string, part: RegExp | undefined): void {
  mkdirSync(path.dirname(to), { recursive: true });
  cpSync(from, to, {
    recursive: true,
    dereference: true,
    filter: (source) => {
      const inside = path.relative(from, source);
      if (inside === '') return true;
      return (
        !/(^|\/)node_modules(\/|$)/.test(inside) && !uselessFile.test(inside) && (part?.test(inside) ?? true)
      );
    },
  });
}
