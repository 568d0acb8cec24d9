import { execFileSync } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { addEntryPoints } from './bundling/entry-points.js';
import { addLibraries } from './bundling/libraries.js';
import { addPackages } from './bundling/packages.js';
import { addNode } from './bundling/runtime.js';

/** What `scripts/bundle` runs once everything is built. */

const root = path.resolve(import.meta.dirname, '../..');
const words = process.argv.slice(2);
const withLibraries = words.includes('--with-libs');
const [output, ...rest] = words.filter((word) => word !== '--with-libs');
if (rest.length > 0 || output?.startsWith('-')) {
  console.error('usage: scripts/bundle [--with-libs] [OUTPUT.tar.gz]');
  process.exit(2);
}

const { version } = JSON.parse(readFileSync(path.join(root, 'package.json'), 'utf8')) as { version: string };
const name = `longscan-${version}-linux-x64`;
const archive = path.resolve(output ?? path.join(root, '.cache', `${name}.tar.gz`));
const staging = mkdtempSync(path.join(tmpdir(), 'longscan-bundle-'));
try {
  const folder = path.join(staging, name);
  mkdirSync(folder);
  addNode(folder);
  addPackages(root, folder);
  addEntryPoints(root, folder);
  if (withLibraries) addLibraries(folder);
  mkdirSync(path.dirname(archive), { recursive: true });
  // The same contents give the same archive, whoever packs it.
  const stable = ['--sort=name', '--owner=0', '--group=0', '--numeric-owner', '--mtime=@0'];
  execFileSync('tar', [...stable, '-I', 'gzip -9n', '-cf', archive, '-C', staging, name], {
    stdio: 'inherit',
  });
} finally {
  rmSync(staging, { recursive: true, force: true });
}
const kernels = path.join(root, 'packages/kernels/build/longscan_cuda.so');
console.log(`${archive}: ${(statSync(archive).size / 1e6).toFixed(1)} MB`);
if (!existsSync(kernels)) console.log('without CUDA kernels: there was no nvcc to build them');
