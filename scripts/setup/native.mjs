import { existsSync, readFileSync, rmSync } from 'node:fs';
import { createRequire } from 'node:module';
import os from 'node:os';
import path from 'node:path';
import { root, run, SetupError, say, which } from './exec.mjs';
import { hashFiles, listFiles, readStamp, writeStamp } from './stamps.mjs';
import { findCompiler } from './system.mjs';

const kernels = path.join(root, 'packages/kernels');
const buildFolder = path.join(kernels, 'build');
const addon = path.join(buildFolder, 'longscan.node');
const cudaLibrary = path.join(buildFolder, 'longscan_cuda.so');
/** There where NVIDIA's driver is loaded; the second under Windows. */
const driverDevices = ['/dev/nvidiactl', '/dev/dxg'];

/** Builds the native addon, and its CUDA part where `wantedNvcc` finds a compiler for it. */
export function buildAddon() {
  const files = listFiles(
    kernels,
    (name) => /\.(cc|h|cu|cuh|cmake)$/.test(name) || name === 'CMakeLists.txt',
  );
  const nvcc = wantedNvcc();
  const options = cmakeOptions(nvcc);
  const hash = hashFiles(files, [process.arch, options]);
  const isBuilt = existsSync(addon) && (nvcc === null || existsSync(cudaLibrary));
  if (readStamp('native') === hash && isBuilt) return;
  say(
    nvcc === null ? 'building the native addon' : `building the native addon and its CUDA part with ${nvcc}`,
  );
  removeForeignBuild();
  configure(options);
  const targets = nvcc === null ? ['all'] : ['all', 'longscan_cuda'];
  const parallel = ['--parallel', String(os.availableParallelism())];
  run('cmake', ['--build', buildFolder, '--target', ...targets, ...parallel], {
    fix: 'correct the errors above',
    exitCode: 1,
  });
  writeStamp('native', hash);
}

/**
 * The compiler of the CUDA part, where it is wanted: on machines with a driver that can run it, since it takes several
 * minutes, and on others if LONGSCAN_BUILD_CUDA=1 says so (a bundle for another machine, a check that it compiles).
 */
function wantedNvcc() {
  const isForced = process.env.LONGSCAN_BUILD_CUDA === '1';
  const nvcc = isForced || driverDevices.some(existsSync) ? findNvcc() : null;
  if (isForced && nvcc === null) {
    throw new SetupError({
      code: 'E-SETUP',
      where: 'LONGSCAN_BUILD_CUDA=1',
      found: 'no nvcc in CUDA_HOME, in PATH or in /usr/local/cuda',
      fix: "install NVIDIA's CUDA toolkit, or leave LONGSCAN_BUILD_CUDA out",
    });
  }
  return nvcc;
}

/** nvcc from CUDA_HOME, from PATH or from the usual folder; null when there is none. */
function findNvcc() {
  const homes = [
    process.env.CUDA_HOME && path.join(process.env.CUDA_HOME, 'bin/nvcc'),
    'nvcc',
    '/usr/local/cuda/bin/nvcc',
  ];
  for (const candidate of homes) {
    const found = candidate ? which(candidate) : null;
    if (found !== null) return found;
  }
  return null;
}

/** What CMakeLists.txt is told; `compile_commands.json` is for editors and for the check that builds mutants. */
function cmakeOptions(nvcc) {
  const cuda =
    nvcc === null ? ['-DLONGSCAN_CUDA=OFF'] : ['-DLONGSCAN_CUDA=ON', `-DCMAKE_CUDA_COMPILER=${nvcc}`];
  return [
    '-DCMAKE_BUILD_TYPE=Release',
    '-DCMAKE_EXPORT_COMPILE_COMMANDS=ON',
    `-DNODE_INCLUDE_DIR=${findNodeHeaders()}`,
    `-DNODE_ADDON_API_DIR=${findNodeAddonApi()}`,
    ...cuda,
  ];
}

function configure(options) {
  const isConfigured = existsSync(path.join(buildFolder, 'CMakeCache.txt'));
  const generator = !isConfigured && which('ninja') !== null ? ['-G', 'Ninja'] : [];
  const compiler = isConfigured ? [] : [`-DCMAKE_CXX_COMPILER=${findCompiler()}`];
  run('cmake', ['-S', kernels, '-B', buildFolder, ...generator, ...compiler, ...options], {
    fix: 'correct the errors above; `rm -rf packages/kernels/build` starts afresh',
    exitCode: 1,
  });
}

/** A build folder that was configured elsewhere (a copied checkout) cannot be used again: CMake refuses it. */
function removeForeignBuild() {
  const cache = path.join(buildFolder, 'CMakeCache.txt');
  if (!existsSync(cache)) return;
  if (!readFileSync(cache, 'utf8').includes(`CMAKE_HOME_DIRECTORY:INTERNAL=${kernels}\n`))
    rmSync(buildFolder, { recursive: true });
}

/** Node's own headers, which every official package of Node installs beside it. */
function findNodeHeaders() {
  const folder = path.resolve(process.execPath, '../../include/node');
  if (existsSync(path.join(folder, 'node_api.h'))) return folder;
  throw new SetupError({
    code: 'E-SETUP',
    where: path.join(folder, 'node_api.h'),
    found: 'Node was installed without its headers',
    fix: 'install Node from nodejs.org or NodeSource, or the Debian package libnode-dev',
  });
}

function findNodeAddonApi() {
  // include_dir is relative to the working directory.
  return path.resolve(createRequire(path.join(kernels, 'package.json'))('node-addon-api').include_dir);
}
