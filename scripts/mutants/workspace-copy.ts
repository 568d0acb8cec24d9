import { type ChildProcess, spawn } from 'node:child_process';
import { cpSync, mkdtempSync, rmSync, symlinkSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';

/** `broken`: the file did not come to run its tests, which says nothing about them. A hang is a failure. */
export type Outcome = 'passed' | 'failed' | 'broken';

/** Only a file that hangs runs into it, on a machine that is busy too. */
const deadlineMs = 600_000;

/** What uvu prints for a test that has failed, before it runs the next one. */
const failureMark = '✘';

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

  /**
   * Compiles what has changed. A mutant need not be free of type errors: its JavaScript is what counts.
   * @throws Error where there may be none, so that the mutant before is not taken for this one.
   */
  async compileTypeScript(): Promise<void> {
    const tsc = path.join(this.root, 'node_modules/.bin/tsc');
    const { status, signal } = await ended(
      spawn(tsc, ['-b', 'packages/worker'], { cwd: this.root, stdio: 'ignore' }),
    );
    const [clean, withTypeErrors] = [0, 2];
    if (status !== clean && status !== withTypeErrors) throw new Error(`tsc ended with ${status ?? signal}`);
  }

  /** Runs one compiled test file with the given addon, up to the first of its tests that fails. */
  async run(testFile: string, addon: string): Promise<Outcome> {
    const env = { ...process.env, LONGSCAN_ADDON: addon, LONGSCAN_POISON: '1', OMP_NUM_THREADS: '1' };
    const child = spawn(process.execPath, [testFile], {
      cwd: this.root,
      env,
      stdio: ['ignore', 'pipe', 'ignore'],
    });
    // By us: what the system kills for want of memory says nothing.
    let isKilled = false;
    const kill = () => {
      isKilled = true;
      child.kill('SIGKILL');
    };
    const deadline = setTimeout(kill, deadlineMs);
    let output = '';
    child.stdout.setEncoding('utf8').on('data', (text: string) => {
      output += text;
      if (output.includes(failureMark)) kill();
    });
    const { status } = await ended(child);
    clearTimeout(deadline);
    if (status === 0) return 'passed';
    return isKilled || /^\s*Total:/m.test(output) ? 'failed' : 'broken';
  }

  remove(): void {
    rmSync(this.root, { recursive: true });
  }
}

interface End {
  readonly status: number | null;
  readonly signal: NodeJS.Signals | null;
}

function ended(child: ChildProcess): Promise<End> {
  return new Promise((resolve, reject) => {
    child.once('error', reject).once('close', (status, signal) => resolve({ status, signal }));
  });
}
