import path from 'node:path';
import { pathToFileURL } from 'node:url';
import { root, SetupError, say } from './setup/exec.mjs';
import { withLock } from './setup/lock.mjs';
import { buildAddon } from './setup/native.mjs';
import { ensureNodePackages } from './setup/packages.mjs';
import { checkNode, ensureSystemPackages } from './setup/system.mjs';
import { buildTypeScript } from './setup/typescript.mjs';

/**
 * Brings a checkout from any state to one that runs: system packages, node packages, TypeScript, addon. Each stage
 * looks first whether there is something to do, so a second call takes about half a second. Throws a SetupError with
 * exit code 3 when the machine lacks something, 1 when our own code does not compile.
 */
export async function setup() {
  const start = performance.now();
  checkNode();
  try {
    await withLock(path.join(root, '.cache/setup.lock'), () => {
      ensureSystemPackages();
      ensureNodePackages();
      buildTypeScript();
      buildAddon();
    });
  } catch (error) {
    throw error.syscall === undefined ? error : describeDiskFailure(error);
  }
  say(`ready (${((performance.now() - start) / 1000).toFixed(1)} s)`);
}

function describeDiskFailure({ path: file, code, syscall }) {
  const fix = 'make the checkout writable for this user and see that the disk has space';
  return new SetupError({
    code: 'E-DISK',
    where: file ?? root,
    found: `${syscall} failed with ${code}`,
    fix,
  });
}

/** `setup`, whose failure ends the process with its message and exit code. */
export async function setupOrExit() {
  try {
    await setup();
  } catch (error) {
    if (!(error instanceof SetupError)) throw error;
    process.stderr.write(`${error.message}\n`);
    process.exit(error.exitCode);
  }
}

if (import.meta.url === pathToFileURL(process.argv[1] ?? '').href) await setupOrExit();
