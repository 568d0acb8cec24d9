import { spawnSync } from 'node:child_process';
import { existsSync, readdirSync } from 'node:fs';
import path from 'node:path';
import { capture, runStatus, SetupError, say, which } from './exec.mjs';

const minNode = [20, 19];

/** Throws unless this Node can run longscan. Called before anything newer than Node 14 is used. */
export function checkNode() {
  const [major, minor] = process.versions.node.split('.').map(Number);
  if (major > minNode[0] || (major === minNode[0] && minor >= minNode[1])) return;
  throw new SetupError({
    code: 'E-NODE',
    where: process.execPath,
    found: `Node ${process.versions.node}`,
    expected: `Node ${minNode.join('.')} or newer`,
    fix: 'install Node 20 LTS or newer and run this again',
  });
}

/** Makes sure that cmake, a build program, a C++17 compiler and oneDNN are there, installing Debian packages. */
export function ensureSystemPackages() {
  const missing = missingPackages();
  if (missing.length === 0) return;
  installDebianPackages(missing);
  const stillMissing = missingPackages();
  if (stillMissing.length > 0) throw missingError(stillMissing, 'still missing after the installation');
}

/** The C++ compiler that CMake will use, or null when none compiles C++17. */
export function findCompiler() {
  for (const name of [process.env.CXX, 'c++', 'g++', 'clang++']) {
    if (!name || which(name) === null) continue;
    const args = ['-std=c++17', '-fsyntax-only', '-x', 'c++', '-'];
    if (
      spawnSync(name, args, { input: '#include <filesystem>\n', stdio: ['pipe', 'ignore', 'ignore'] })
        .status === 0
    )
      return name;
  }
  return null;
}

/** True when the addon will find oneDNN's shared library, or was told to do without. */
function hasOneDnn() {
  if (process.env.LONGSCAN_GEMM === 'builtin') return true;
  const named = process.env.LONGSCAN_ONEDNN;
  if (named && existsSync(named)) return true;
  const multiarch = { x64: 'x86_64-linux-gnu', arm64: 'aarch64-linux-gnu' }[process.arch] ?? '';
  const folders = [
    ...(process.env.LD_LIBRARY_PATH ?? '').split(':').filter(Boolean),
    ...['/usr/lib', '/lib', '/usr/local/lib'].flatMap((lib) => [path.join(lib, multiarch), lib]),
    '/usr/lib64',
  ];
  return folders.some(
    (folder) => existsSync(folder) && readdirSync(folder).some((f) => /^libdnnl\.so\.[23]$/.test(f)),
  );
}

function missingPackages() {
  const missing = [];
  if (which('cmake') === null) missing.push('cmake');
  if (which('ninja') === null && which('make') === null) missing.push('ninja-build');
  if (findCompiler() === null) missing.push('g++');
  if (!hasOneDnn()) missing.push('libdnnl');
  return missing;
}

function installDebianPackages(missing) {
  const prefix = rootPrefix();
  if (prefix === null || which('apt-get') === null) throw missingError(missing, 'missing');
  const apt = (...args) => runStatus(prefix[0], [...prefix.slice(1), 'apt-get', ...args]);
  say(`installing ${missing.join(', ')}`);
  // A mirror that is down for one list need not stop the packages that the other lists offer.
  apt('-o', 'DPkg::Lock::Timeout=120', '-qq', 'update');
  const packages = missing.map((name) => (name === 'libdnnl' ? oneDnnPackage() : name));
  const status = apt(
    '-o',
    'DPkg::Lock::Timeout=120',
    '-qq',
    '-y',
    '--no-install-recommends',
    'install',
    ...packages,
  );
  if (status !== 0) throw missingError(missing, 'missing, and apt-get could not install it');
}

/** What to put before apt-get to run it as root: nothing, sudo without a password, or null when neither works. */
function rootPrefix() {
  const environment = ['env', 'DEBIAN_FRONTEND=noninteractive'];
  if (process.getuid?.() === 0) return environment;
  return which('sudo') !== null && capture('sudo', ['-n', 'true']) !== null
    ? ['sudo', '-n', ...environment]
    : null;
}

/** Debian and Ubuntu name the package after the library's version: libdnnl2, libdnnl3, libdnnl3.6. */
function oneDnnPackage() {
  const lines = capture('apt-cache', ['search', '--names-only', '^libdnnl[0-9.]+$']) ?? '';
  const names = lines
    .split('\n')
    .map((line) => line.split(' ')[0])
    .filter(Boolean);
  const version = (name) => Number.parseFloat(name.slice('libdnnl'.length));
  return names.sort((a, b) => version(a) - version(b)).at(-1) ?? 'libdnnl2';
}

function missingError(missing, found) {
  const packages = missing.map((name) => (name === 'libdnnl' ? oneDnnPackage() : name)).join(' ');
  const builtin = missing.includes('libdnnl') ? '; LONGSCAN_GEMM=builtin does without oneDNN, slower' : '';
  return new SetupError({
    code: 'E-SETUP',
    where: missing.join(', '),
    found,
    fix: `run \`sudo apt-get update && sudo apt-get install -y ${packages}\`, then this command again${builtin}`,
  });
}
