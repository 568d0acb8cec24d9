import { spawnSync } from 'node:child_process';
import { cpSync, mkdtempSync, rmSync, symlinkSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';

/** A copy of the packages in a temporary folder, compiled as they are; the checkout itself is never touched. */
export class WorkspaceCopy {
  readonly root: string;

  constructor(original: string) {
    this.root = mkdtempSync(path.join(os.tmpdir(), 'longscan-mutants-'));
    const skipped = new Set([
      path.join(original, 'packages/kernels/build'),
      path.join(original, 'packages/coordinator'),
    ]);
    for (const entry of ['packages', 'tsconfig.base.json', 'package.json'])
      cpSync(path.join(original, entry), path.join(this.root, entry), {
        recursive: true,
        // pnpm's links between packages are relative: kept as they are, they point into the copy.
        verbatimSymlinks: true,
        // tsc compares times.
        preserveTimestamps: true,
        filter: (source) => !skipped.has(source),
      });
    symlinkSync(path.join(original, 'node_modules'), path.join(this.root, 'node_modules'));
  }

  /** Compiles what has changed. A mutant need not be free of type errors: its JavaScript is what counts. */
  compileTypeScript(): void {
    const tsc = path.join(this.root, 'node_modules/.bin/tsc');
    spawnSync(tsc, ['-b', 'packages/worker'], { cwd: this.root, stdio: 'ignore' });
  }

  /** Runs one compiled test file with the given addon; true when it passed within the deadline. */
  passes(testFile: string, addon: string): boolean {
    const env = { ...process.env, LONGSCAN_ADDON: addon, LONGSCAN_POISON: '1', OMP_NUM_THREADS: '1' };
    const options = {
      cwd: this.root,
      env,
      stdio: 'ignore',
      timeout: 120_000,
      killSignal: 'SIGKILL',
    } as const;
    return spawnSync(process.execPath, [testFile], options).status === 0;
  }

  remove(): void {
    rmSync(this.root, { recursive: true });
  }
}
