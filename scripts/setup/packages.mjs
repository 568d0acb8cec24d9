import { existsSync, readdirSync } from 'node:fs';
import path from 'node:path';
import { capture, root, run, say } from './exec.mjs';
import { hashFiles, readStamp, writeStamp } from './stamps.mjs';

// pnpm 11 does not start on Node 20, and a packageManager field breaks --frozen-lockfile in 12: so npm installs
// this one version beside the repository.
const pnpmVersion = '12.21.0';
const pnpm = path.join(root, '.tools/node_modules/.bin/pnpm');

/** Installs pnpm and the workspace's dependencies, unless the lockfile is what it was when they were installed. */
export function ensureNodePackages() {
  const manifests = [root, ...workspaceFolders()].map((folder) => path.join(folder, 'package.json'));
  const files = [...manifests, path.join(root, 'pnpm-lock.yaml'), path.join(root, 'pnpm-workspace.yaml')];
  const hash = hashFiles(files, [pnpmVersion]);
  if (readStamp('packages') === hash && hasModules()) return;
  if (capture(pnpm, ['--version'])?.trim() !== pnpmVersion) {
    say(`installing pnpm ${pnpmVersion} into .tools`);
    run(
      'npm',
      ['install', '--no-save', '--no-audit', '--no-fund', '--prefix', '.tools', `pnpm@${pnpmVersion}`],
      {
        fix: 'see the message of npm above; the npm registry must be reachable',
      },
    );
  }
  say('installing node packages');
  run(pnpm, ['install', '--frozen-lockfile'], {
    // Without CI pnpm asks before it replaces a node_modules that it did not make; nobody can answer here.
    env: { CI: 'true' },
    fix: 'see the message of pnpm above; the npm registry must be reachable',
  });
  writeStamp('packages', hash);
}

/** Folders of the workspace's packages, absolute. */
export function workspaceFolders() {
  const packages = path.join(root, 'packages');
  return [
    ...readdirSync(packages).map((name) => path.join(packages, name)),
    path.join(root, 'examples'),
    path.join(root, 'scripts'),
  ].filter((folder) => existsSync(path.join(folder, 'package.json')));
}

/** False when somebody removed a node_modules since the stamp was written. */
function hasModules() {
  return [root, ...workspaceFolders()].every((folder) => existsSync(path.join(folder, 'node_modules')));
}
