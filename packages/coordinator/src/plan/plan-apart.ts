import { Worker } from 'node:worker_threads';
import { type ErrorParts, type JobSpec, LongscanError, type Plan } from '@longscan/worker/protocol';
import type { Fabric } from '../fabric/fabric.js';
import { TemporaryFolder } from '../run-folder/on-disk.js';

/** What `planHere` is called with. */
export interface PlanRequest {
  readonly jobSpec: JobSpec;
  readonly layerModules: Readonly<Record<string, string>>;
  readonly links: Fabric | undefined;
}

/** What the thread says last; nothing where it fails by what is no LongscanError. */
export type PlanAnswer = { readonly plan: Plan } | { readonly refused: ErrorParts };

/**
 * Plans in a thread of its own, which can be ended whatever it does: a layer file that loops for ever would keep this one from
 * hearing any signal.
 *
 * @throws LongscanError what `planHere` throws, E-RUN-KILLED when `signal` ends it, E-ENDED when code of the user's does
 */
export async function planApart(request: PlanRequest, signal: AbortSignal): Promise<Plan> {
  // Bundles that are being imported lie there: who is ended in the middle of that removes nothing.
  const folder = new TemporaryFolder('longscan-plan-');
  const thread = new Worker(new URL('./plan-thread.js', import.meta.url), {
    workerData: request,
    execArgv: [],
    env: { ...process.env, TMPDIR: folder.path },
  });
  const end = () => void thread.terminate();
  signal.addEventListener('abort', end);
  if (signal.aborted) end();
  try {
    const answer = await answerOf(thread);
    if (signal.aborted) throw stoppedError(request.jobSpec.job.name);
    if (typeof answer === 'number') throw endedError(request, answer);
    if ('refused' in answer) throw new LongscanError(answer.refused);
    return answer.plan;
  } finally {
    signal.removeEventListener('abort', end);
    // Timers of the user's may keep it.
    await thread.terminate();
    folder.remove();
  }
}

/** Its exit code where it gives none. What the user's code throws after that is nobody's. */
function answerOf(thread: Worker): Promise<PlanAnswer | number> {
  return new Promise((resolve, reject) => {
    thread.once('message', resolve);
    thread.once('exit', resolve);
    thread.on('error', reject);
  });
}

/** A stop that came before there was anything to stop. */
export function stoppedError(name: string): LongscanError {
  return new LongscanError({
    code: 'E-RUN-KILLED',
    where: name,
    found: 'the run was stopped before it was started',
    exitCode: 130,
  });
}

function endedError({ layerModules }: PlanRequest, exitCode: number): LongscanError {
  return new LongscanError({
    code: 'E-ENDED',
    where: Object.keys(layerModules).join(', '),
    found: `the planning ended before there was a plan, with exit code ${exitCode}`,
    expected: 'that nothing ends it',
    fix: 'take process.exit, and promises that never settle, out of these files',
    exitCode: 1,
  });
}
