import { LongscanError } from '@longscan/kernels/errors';
import { readRankEnv } from './control/rank-env.js';
import { runRank } from './run-rank.js';

/** Entry of a rank process: environment, a rank's part of a job, exit code. */

try {
  process.exitCode = await runRank(readRankEnv(process.env), (text) => process.stderr.write(text));
} catch (error) {
  process.stderr.write(`${error instanceof Error ? error.message : String(error)}\n`);
  process.exitCode = error instanceof LongscanError ? error.exitCode : 1;
}
// Whatever a task left open (a listening socket, a timer) must not keep a finished rank alive.
process.exit();
