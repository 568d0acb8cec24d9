import { hostname } from 'node:os';
import { LongscanError } from '@longscan/kernels/errors';
import { ControlClient } from './control/control-client.js';
import { describeFailure } from './control/describe-failure.js';
import type { RankEnv } from './control/rank-env.js';
import type { Task } from './protocol/assignment.js';
import type { RankContext } from './rank-context.js';

type RunTask = (context: RankContext) => Promise<void>;

/** A task's code is loaded when it is asked for, so that one task's needs are no other's. */
const tasks: Readonly<Record<Task['kind'], () => Promise<RunTask>>> = {
  train: async () => (await import('./training/trainer.js')).runTraining,
  generate: async () => (await import('./generation/generate.js')).runGenerate,
  'bench-kernels': async () => (await import('./bench/kernels.js')).runBenchKernels,
  'bench-step': async () => (await import('./bench/step.js')).runBenchStep,
  'bench-collectives': async () => (await import('./bench/collectives.js')).runBenchCollectives,
  'bench-recurrences': async () => (await import('./bench/recurrences.js')).runBenchRecurrences,
  'probe-links': async () => (await import('./bench/probe-links.js')).runProbeLinks,
  'layers-check': async () => (await import('./layers-check.js')).runLayersCheck,
};

/**
 * One rank's part of a job: coordinator, task, exit code. Where that is 0, on a CPU, nothing of it is left: another rank's part
 * can follow in the same process.
 *
 * @param write Appends to this rank's log.
 * @throws LongscanError what `ControlClient.connect` throws
 */
export async function runRank(env: RankEnv, write: (text: string) => void): Promise<number> {
  const { control, assignment } = await ControlClient.connect(env);
  const context: RankContext = {
    assignment,
    env,
    control,
    runDir: assignment.runDir,
    log: (line) => write(`${new Date().toISOString()} ${line}\n`),
    progress: control.progress,
  };
  let aborted: string | null = null;
  control.onAbort((reason) => {
    aborted = reason;
  });
  context.log(
    `rank ${env.rank} of ${env.worldSize} on ${hostname()}, process ${process.pid}: ${assignment.task.kind}`,
  );
  try {
    const runTask = await tasks[assignment.task.kind]();
    await runTask(context);
    return 0;
  } catch (error) {
    context.log(described(error));
    if (aborted !== null) {
      context.log(`ended: ${aborted}`);
      return 8;
    }
    const failed = describeFailure(error);
    control.report(failed);
    return failed.exitCode;
  } finally {
    await control.close();
  }
}

/** An error of ours says itself what is wrong; of a bug, the place in the code does. */
function described(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  const isOurs = error instanceof LongscanError && error.code !== 'E-BUG';
  return isOurs ? error.message : (error.stack ?? error.message);
}
