import { execFileSync } from 'node:child_process';
import { chmodSync, copyFileSync, mkdirSync } from 'node:fs';
import path from 'node:path';

/** The Node that runs this, without its symbols. */
export function addNode(folder: string): void {
  const target = path.join(folder, 'bin/node');
  mkdirSync(path.dirname(target));
  copyFileSync(process.execPath, target);
  chmodSync(target, 0o755);
  strip(target);
}

/** Takes out what only debuggers read; a file that cannot be stripped stays as it is. */
export function strip(file: string): void {
  execFileSync('strip', ['--strip-unneeded', file], { stdio: 'inherit' });
}
